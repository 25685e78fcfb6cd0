//! Refuses requests of HTTP/1.1 that say twice how long they are.
//!
//! `Content-Length` beside `Transfer-Encoding`, or twice, is how a request is smuggled past a proxy in front
//! (RFC 9112, 6.3 and 11.2). The HTTP library takes some of these silently and shows nobody what it has left out. So heads are
//! read on their way to it: where a second length begins, the colon behind its name is overwritten, and the library
//! answers what is no header any more with a 400 and closes the connection. To know where a head begins, bodies are
//! counted by the one length that is left. Nothing else is changed, and nothing is kept but a name.
//!
//! HTTP/2 has frames, and its library refuses a length that they contradict.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::flood::PREFACE;
use crate::idle::Activity;

/// A client's connection whose heads are read.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    io: S,
    heads: Heads,
    activity: Arc<Activity>,
    /// It has become another protocol's.
    is_switched: Arc<AtomicBool>,
}

impl<S> Guarded<S> {
    pub(crate) fn new(io: S, activity: Arc<Activity>, is_switched: Arc<AtomicBool>) -> Self {
        Self { io, heads: Heads::default(), activity, is_switched }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, to))?;
        let this = &mut *self;
        if !this.is_switched.load(Ordering::Relaxed) {
            this.heads.pass(&mut to.filled_mut()[before..]);
            if this.heads.is_in_head() {
                this.activity.head_begins();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Longest name that is told from others, in bytes.
const LONGEST_NAME: usize = "transfer-encoding".len();

/// What is known of the requests on a connection.
#[derive(Debug, Default)]
struct Heads {
    state: State,
    /// Bytes of HTTP/2's preface that have come, from the connection's first on; `None` once another came.
    preface: Preface,
    /// How long the request in hand is, as far as its head says.
    length: Option<u64>,
    is_chunked: bool,
}

#[derive(Debug, Default)]
enum Preface {
    #[default]
    Begins,
    Come(usize),
    Other,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// At the beginning of a request, behind blank lines.
    #[default]
    Before,
    /// In its first line, or in a line that matters no more.
    Line,
    /// At the beginning of a header's line, `\r` having come or not.
    Start {
        is_return: bool,
    },
    Name {
        name: [u8; LONGEST_NAME],
        length: usize,
    },
    /// In the value of `content-length`.
    Length,
    /// So many bytes of a body, or of a chunk, are still to come.
    Body(u64),
    Chunk(u64),
    /// In the line that says a chunk's size; its digits are over or not.
    Size {
        size: u64,
        is_over: bool,
    },
    /// Between the bytes of a chunk and the next size.
    Between,
    /// Behind the last chunk.
    Trailer(Trailer),
    /// What comes is read by nobody, or is not HTTP/1.1.
    Off,
}

/// Where in the lines behind the last chunk. As the library reads them, a line ends in both signs and in no other.
#[derive(Clone, Copy, Debug)]
enum Trailer {
    Start,
    Line,
    /// The first sign of a line's end has come.
    Return,
    /// That of the blank line.
    End,
}

impl Heads {
    fn pass(&mut self, mut bytes: &mut [u8]) {
        self.see_preface(bytes);
        while !bytes.is_empty() && !matches!(self.state, State::Off) {
            let taken = self.step(bytes).clamp(1, bytes.len());
            bytes = &mut bytes[taken..];
        }
    }

    /// Whether a head has begun and is not whole.
    const fn is_in_head(&self) -> bool {
        match self.state {
            State::Line | State::Start { .. } | State::Name { .. } | State::Length => true,
            State::Before
            | State::Body(_)
            | State::Chunk(_)
            | State::Size { .. }
            | State::Between
            | State::Trailer(_)
            | State::Off => false,
        }
    }

    fn see_preface(&mut self, bytes: &[u8]) {
        let come = match self.preface {
            Preface::Begins => 0,
            Preface::Come(come) => come,
            Preface::Other => return,
        };
        let wanted = &PREFACE[come..];
        let length = wanted.len().min(bytes.len());
        if bytes[..length] != wanted[..length] {
            self.preface = Preface::Other;
        } else if length == wanted.len() {
            (self.preface, self.state) = (Preface::Other, State::Off);
        } else {
            self.preface = Preface::Come(come + length);
        }
    }

    /// Reads on; gives how many bytes of `bytes`, which are not empty.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        let byte = bytes[0];
        match &mut self.state {
            State::Before => {
                if !matches!(byte, b'\r' | b'\n') {
                    (self.length, self.is_chunked) = (None, false);
                    self.state = State::Line;
                }
                return 1;
            }
            State::Line => return self.pass_line(bytes),
            State::Start { is_return } => match byte {
                b'\n' => self.state = self.body(),
                b'\r' if !*is_return => *is_return = true,
                _ => {
                    let mut name = [0; LONGEST_NAME];
                    name[0] = byte.to_ascii_lowercase();
                    self.state = State::Name { name, length: 1 };
                }
            },
            State::Name { name, length } => match byte {
                b':' => {
                    let name = &name[..(*length).min(LONGEST_NAME)];
                    let is_named = |wanted: &str| *length == wanted.len() && name == wanted.as_bytes();
                    let (is_length, is_coding) = (is_named("content-length"), is_named("transfer-encoding"));
                    let is_framed = self.length.is_some() || self.is_chunked;
                    if (is_length || is_coding) && is_framed {
                        bytes[0] = 0;
                        self.state = State::Off;
                    } else if is_length {
                        (self.length, self.state) = (Some(0), State::Length);
                    } else {
                        self.is_chunked |= is_coding;
                        self.state = State::Line;
                    }
                }
                b'\n' => self.state = State::Start { is_return: false },
                byte => {
                    if let Some(place) = name.get_mut(*length) {
                        *place = byte.to_ascii_lowercase();
                    }
                    *length = length.saturating_add(1);
                }
            },
            State::Length => match byte {
                b'0'..=b'9' => {
                    let so_far = self.length.unwrap_or_default();
                    self.length = Some(so_far.saturating_mul(10).saturating_add(u64::from(byte - b'0')));
                }
                b'\n' => self.state = State::Start { is_return: false },
                _ => {}
            },
            State::Body(left) => {
                return Self::pass_body(left, bytes.len()).unwrap_or_else(|taken| {
                    self.state = State::Before;
                    taken
                });
            }
            State::Chunk(left) => {
                return Self::pass_body(left, bytes.len()).unwrap_or_else(|taken| {
                    self.state = State::Between;
                    taken
                });
            }
            State::Between => {
                if byte == b'\n' {
                    self.state = State::Size { size: 0, is_over: false };
                }
            }
            State::Size { size, is_over } => match (byte, char::from(byte).to_digit(16)) {
                (b'\n', _) if *size == 0 => self.state = State::Trailer(Trailer::Start),
                (b'\n', _) => self.state = State::Chunk(*size),
                (_, Some(digit)) if !*is_over => {
                    *size = size.saturating_mul(16).saturating_add(u64::from(digit));
                }
                _ => *is_over = true,
            },
            State::Trailer(at) => match (&at, byte) {
                (Trailer::Start, b'\r') => *at = Trailer::End,
                (Trailer::Line, b'\r') => *at = Trailer::Return,
                (Trailer::Start | Trailer::Line, _) => *at = Trailer::Line,
                (Trailer::Return, b'\n') => *at = Trailer::Start,
                (Trailer::End, b'\n') => self.state = State::Before,
                // The library refuses it.
                (Trailer::Return | Trailer::End, _) => self.state = State::Off,
            },
            State::Off => return bytes.len(),
        }
        1
    }

    fn pass_line(&mut self, bytes: &[u8]) -> usize {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return bytes.len() };
        self.state = State::Start { is_return: false };
        end + 1
    }

    /// How many of `come` bytes are a body's; `Err` where they are its last.
    fn pass_body(left: &mut u64, come: usize) -> Result<usize, usize> {
        match usize::try_from(*left) {
            Ok(left) if left <= come => Err(left),
            Ok(_) | Err(_) => {
                *left -= come as u64;
                Ok(come)
            }
        }
    }

    /// What comes behind the head.
    fn body(&self) -> State {
        match (self.is_chunked, self.length) {
            (true, _) => State::Size { size: 0, is_over: false },
            (false, None | Some(0)) => State::Before,
            (false, Some(length)) => State::Body(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out, with the bytes arriving in pieces of that many.
    fn passed(text: &str, pieces: usize) -> String {
        let (mut heads, mut bytes) = (Heads::default(), text.as_bytes().to_vec());
        bytes.chunks_mut(pieces).for_each(|piece| heads.pass(piece));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_second_length_is_made_no_header() {
        for (label, text) in [
            ("two lengths", "POST / HTTP/1.1\r\nContent-Length: 2\r\ncontent-length^ 2\r\n\r\nab"),
            (
                "length and coding",
                "POST / HTTP/1.1\r\ncontent-length: 2\r\nTransfer-Encoding^ chunked\r\n\r\n",
            ),
            (
                "coding and length",
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nx: y\r\ncontent-length^ 2\r\n\r\n",
            ),
            ("two codings", "POST / HTTP/1.1\ntransfer-encoding: chunked\ntransfer-encoding^ chunked\n\n"),
            (
                "behind a body",
                "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcPOST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length^ 0\r\n\r\n",
            ),
            (
                "behind no body",
                "GET / HTTP/1.1\r\nhost: a\r\n\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length^ 0\r\n\r\n",
            ),
            (
                "behind a trailer with a line feed of its own",
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\nx: y\r\ncontent-length: 100000\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length^ 0\r\n\r\n",
            ),
            (
                "behind chunks",
                "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nA;x=1\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length^ 0\r\n\r\n",
            ),
        ] {
            let sent = text.replace('^', ":");
            for pieces in [1, 2, 3, 7, 1000] {
                assert_eq!(passed(&sent, pieces), text.replace('^', "\0"), "{label}, by {pieces}");
            }
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        let body = "content-length: 1\r\ncontent-length: 1\r\n\r\n";
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        for text in [
            format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}GET / HTTP/1.1\r\n\r\n", body.len()),
            format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunk}GET / HTTP/1.1\r\n\r\n"),
            format!("{}{body}{body}", str::from_utf8(PREFACE).unwrap()),
            "GET /content-length: HTTP/1.1\r\ncontent-lengths: 1\r\nx-content-length: 1\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\na: content-length: 1\r\nb: content-length: 2\r\n\r\n".to_owned(),
        ] {
            for pieces in [1, 2, 5, 1000] {
                assert_eq!(passed(&text, pieces), text);
            }
        }
    }
}

//! Ends an HTTP/2 connection whose client sends little but control frames.
//!
//! PING and SETTINGS each want an answer and cost a client nothing (CVE-2019-9512, CVE-2019-9515). The HTTP/2 library
//! bounds resets, empty DATA and CONTINUATION, and answers these for ever. So the heads of frames are counted on
//! their way through: who sends a thousand without a request or a byte of an answer between them is told
//! `ENHANCE_YOUR_CALM`, as for the library's own bounds. A connection of HTTP/1.1 passes unseen.

mod frames;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use self::frames::{Frames, Kind};

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Control frames in a row.
const BURST: u32 = 1000;

/// So many more each second: what keeps a connection alive, or measures it.
const EACH_SECOND: u64 = 10;

/// So many more for each frame of a request or an answer: clients measure the way by a PING for what they read.
const EACH_FRAME: u32 = 5;

/// A client's connection, counted.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    io: S,
    protocol: Protocol,
}

#[derive(Debug)]
enum Protocol {
    /// So many bytes of the preface have come.
    Unknown(usize),
    /// Not HTTP/2.
    Other,
    Http2(Box<Connection>),
}

#[derive(Debug)]
struct Connection {
    inbound: Frames,
    outbound: Frames,
    allowance: Allowance,
    /// The last stream that the client has opened.
    last_stream: u32,
}

/// How many more control frames are taken.
#[derive(Debug)]
struct Allowance {
    left: u32,
    at: Instant,
}

impl Allowance {
    fn grow(&mut self, more: u64) {
        let left = u64::from(self.left).saturating_add(more).min(u64::from(BURST));
        self.left = u32::try_from(left).unwrap_or(BURST);
    }

    /// `false` when there are none.
    fn spend(&mut self) -> bool {
        if self.left == 0 {
            let seconds = self.at.elapsed().as_secs();
            self.grow(seconds.saturating_mul(EACH_SECOND));
            self.at = Instant::now();
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

impl Connection {
    fn new() -> Self {
        let allowance = Allowance { left: BURST, at: Instant::now() };
        Self { inbound: Frames::default(), outbound: Frames::default(), allowance, last_stream: 0 }
    }

    /// `false` when the client has sent too many.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        let Self { inbound, allowance, last_stream, .. } = self;
        let mut is_well = true;
        inbound.pass(bytes, |head| match head.kind {
            Kind::Headers => {
                *last_stream = head.stream.max(*last_stream);
                allowance.grow(EACH_FRAME.into());
            }
            Kind::Data => allowance.grow(EACH_FRAME.into()),
            Kind::Control => is_well &= allowance.spend(),
            Kind::Bounded => {}
        });
        is_well
    }

    fn send(&mut self, bytes: &[u8]) {
        let Self { outbound, allowance, .. } = self;
        outbound.pass(bytes, |head| match head.kind {
            Kind::Headers | Kind::Data => allowance.grow(EACH_FRAME.into()),
            Kind::Control | Kind::Bounded => {}
        });
    }
}

impl<S> Counted<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, protocol: Protocol::Unknown(0) }
    }

    /// `false` when the client has sent too many control frames.
    fn receive(&mut self, mut bytes: &[u8]) -> bool {
        if let Protocol::Unknown(come) = &mut self.protocol {
            let wanted = &PREFACE[*come..];
            let length = wanted.len().min(bytes.len());
            if bytes[..length] != wanted[..length] {
                self.protocol = Protocol::Other;
                return true;
            }
            *come += length;
            if *come < PREFACE.len() {
                return true;
            }
            bytes = &bytes[length..];
            self.protocol = Protocol::Http2(Box::new(Connection::new()));
        }
        match &mut self.protocol {
            Protocol::Http2(connection) => connection.receive(bytes),
            Protocol::Unknown(_) | Protocol::Other => true,
        }
    }
}

impl<S: AsyncWrite + Unpin> Counted<S> {
    /// Says why, if it can be said at once and in no other frame's middle.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        let Protocol::Http2(connection) = &self.protocol else { return };
        if connection.outbound.is_between() {
            let frame = frames::enhance_your_calm(connection.last_stream);
            // The connection ends either way.
            let _ = Pin::new(&mut self.io).poll_write(cx, &frame);
        }
        let _ = Pin::new(&mut self.io).poll_shutdown(cx);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, to))?;
        if matches!(self.protocol, Protocol::Other) || self.receive(&to.filled()[before..]) {
            return Poll::Ready(Ok(()));
        }
        self.say_goodbye(cx);
        Poll::Ready(Err(io::Error::other("too many control frames")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        if let Protocol::Http2(connection) = &mut self.protocol {
            connection.send(&bytes[..written.min(bytes.len())]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        if let Protocol::Http2(connection) = &mut self.protocol {
            let mut rest = written;
            for slice in slices {
                let length = slice.len().min(rest);
                connection.send(&slice[..length]);
                rest -= length;
            }
        }
        Poll::Ready(Ok(written))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEADERS: [u8; 10] = [0, 0, 1, 1, 4, 0, 0, 0, 5, 0x82];

    fn connection() -> Counted<()> {
        let mut counted = Counted::new(());
        assert!(counted.receive(PREFACE));
        counted
    }

    /// So many were taken.
    fn taken(counted: &mut Counted<()>, frame: &[u8], most: usize) -> usize {
        (0..most).take_while(|_| counted.receive(frame)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_control_frames_in_a_row_are_taken_and_no_more() {
        for frame in [&PING[..], &SETTINGS, &[&SETTINGS[..], &PING].concat()] {
            let each = if frame.len() > 17 { 2 } else { 1 };
            assert_eq!(taken(&mut connection(), frame, 2000), BURST as usize / each);
        }
        let mut in_pieces = connection();
        let all: Vec<u8> = PING.repeat(2000);
        let pieces: Vec<_> = all.chunks(7).collect();
        let taken = pieces.iter().take_while(|piece| in_pieces.receive(piece)).count();
        assert!((2420..2440).contains(&taken), "{taken} pieces of 7 bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_answers_and_time_allow_for_more() {
        let mut counted = connection();
        for _ in 0..10_000 {
            assert_eq!(taken(&mut counted, &PING, 5), 5);
            assert!(counted.receive(&HEADERS));
        }
        assert_eq!(taken(&mut counted, &PING, 2000), BURST as usize);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(taken(&mut counted, &PING, 2000), 30);
        let Protocol::Http2(connection) = &mut counted.protocol else { panic!() };
        connection.send(&[0, 0, 1, 0, 0, 0, 0, 0, 5, b'x']);
        assert_eq!(connection.last_stream, 5);
        assert_eq!(taken(&mut counted, &PING, 2000), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_http_2_is_not_looked_at() {
        let mut counted = Counted::new(());
        assert!(counted.receive(b"PRI * HTTP/1.1\r\n"));
        assert_eq!(taken(&mut counted, &PING, 5000), 5000);
    }
}

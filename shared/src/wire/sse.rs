//! Server-sent events, read beside the bytes (WHATWG HTML, 9.2.6).
//!
//! [`Splitter`] cuts what comes, in whatever chunks it comes, at the borders of events; the bytes stay as
//! they are. [`frames`] looks into them.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// Holds back the part of an event that has not come completely.
#[derive(Debug)]
pub struct Splitter {
    partial: BytesMut,
    /// Where the last, unfinished line of `partial` begins.
    line: usize,
    /// How far `partial` was looked through: no line ends before it that has not been found.
    seen: usize,
    limit: usize,
    /// Bytes that were looked at, of which each should be looked at once.
    #[cfg(test)]
    looked_at: usize,
}

/// One event is larger than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Splitter {
    /// `limit` bounds the bytes of one event.
    pub fn new(limit: usize) -> Self {
        Self {
            partial: BytesMut::new(),
            line: 0,
            seen: 0,
            limit,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// Takes the bytes that came; gives all whole events there are by now, in one piece, untouched. The rest
    /// is kept.
    pub fn push(&mut self, mut chunk: Bytes) -> Result<Bytes, TooLarge> {
        let whole = if self.partial.is_empty() {
            let (end, line) = self.last_border(&chunk, 0, 0);
            let whole = chunk.split_to(end);
            self.partial.extend_from_slice(&chunk);
            (self.line, self.seen) = (line - end, looked_through(&self.partial));
            whole
        } else {
            self.partial.extend_from_slice(&chunk);
            let (line, seen) = (self.line, self.seen);
            let partial = std::mem::take(&mut self.partial);
            let (end, line) = self.last_border(&partial, line, seen);
            self.partial = partial;
            let whole = self.partial.split_to(end).freeze();
            (self.line, self.seen) = (line - end, looked_through(&self.partial));
            whole
        };
        if self.partial.len() > self.limit { Err(TooLarge) } else { Ok(whole) }
    }

    /// Bytes of the largest event.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are held back.
    pub fn held(&self) -> usize {
        self.partial.len()
    }

    /// What is left when nothing more comes: an event that lacks its blank line.
    pub fn take_rest(&mut self) -> Bytes {
        (self.line, self.seen) = (0, 0);
        self.partial.split().freeze()
    }

    /// Where the last whole event in `bytes` ends, and where the unfinished line behind it begins. `line` is the
    /// beginning of a line, and from `seen` on its end is looked for.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests count what is looked at"))]
    fn last_border(&mut self, bytes: &[u8], mut line: usize, seen: usize) -> (usize, usize) {
        #[cfg(test)]
        {
            self.looked_at += bytes.len() - seen.max(line).min(bytes.len());
        }
        let (mut border, mut from) = (0, seen.max(line));
        while let Some((content, next)) = line_end(bytes, from) {
            if content == line {
                border = next;
            }
            (line, from) = (next, next);
        }
        (border, line.max(border))
    }
}

/// How much of what was looked through need not be looked at again: a carriage return at its end may get its line
/// feed.
fn looked_through(bytes: &[u8]) -> usize {
    bytes.len() - usize::from(bytes.ends_with(b"\r"))
}

/// The end of the line that goes on at `from`, without and with its terminator. A carriage return that is the
/// last byte may be half of a CRLF, so it ends no line yet.
fn line_end(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let at = from + memchr2(b'\n', b'\r', &bytes[from..])?;
    match (bytes[at], bytes.get(at + 1)) {
        (b'\n', _) => Some((at, at + 1)),
        (_, Some(b'\n')) => Some((at, at + 2)),
        (_, Some(_)) => Some((at, at + 1)),
        (_, None) => None,
    }
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// All its bytes, the blank line included.
    pub raw: &'a [u8],
    /// Its data lines, joined by line feeds; `None` when it has none (a comment).
    pub data: Option<Cow<'a, [u8]>>,
    /// Its name, when it says one.
    pub event: Option<&'a [u8]>,
}

/// The events of a block that [`Splitter::push`] gave.
pub fn frames(block: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (frame, length) = frame(rest);
        rest = &rest[length..];
        Some(frame)
    })
}

/// Reads one event, up to its blank line or the end; gives its length too.
pub fn frame(bytes: &[u8]) -> (Frame<'_>, usize) {
    let (mut data, mut event, mut line) = (None::<Cow<'_, [u8]>>, None, 0);
    while line < bytes.len() {
        let (content, next) = line_end(bytes, line).unwrap_or_else(|| {
            let end = bytes.len();
            (end - usize::from(bytes[end - 1] == b'\r'), end)
        });
        let text = &bytes[line..content];
        line = next;
        if text.is_empty() {
            break;
        }
        let colon = memchr::memchr(b':', text);
        let name = &text[..colon.unwrap_or(text.len())];
        let value = colon.map_or(&[][..], |at| &text[at + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"event" => event = Some(value),
            _ => {}
        }
    }
    (Frame { raw: &bytes[..line], data, event }, line)
}

/// What [`Splitter::take_rest`] gave, as a whole event: with its blank line, should it lack one.
pub fn closed(rest: Bytes) -> Bytes {
    // Its last carriage return might have been half of a CRLF, but was the blank line.
    let is_whole = rest.ends_with(b"\r\r") || rest.ends_with(b"\n\r");
    if is_whole { rest } else { [&rest, b"\n\n".as_slice()].concat().into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_come_out_whole_and_untouched() {
        let mut splitter = Splitter::new(1024);
        let push =
            |splitter: &mut Splitter, text: &'static str| splitter.push(Bytes::from_static(text.as_bytes()));
        assert_eq!(push(&mut splitter, "data: 1\n\ndata: 2\n\nda").unwrap(), "data: 1\n\ndata: 2\n\n");
        assert_eq!(push(&mut splitter, "ta: 3\n").unwrap(), "");
        assert_eq!(push(&mut splitter, "\n").unwrap(), "data: 3\n\n");
        assert_eq!(splitter.held(), 0);
    }

    #[test]
    fn an_event_beyond_the_limit_is_an_error() {
        let mut splitter = Splitter::new(8);
        assert_eq!(splitter.push(Bytes::from_static(b"data: 12345")), Err(TooLarge));
    }

    #[test]
    fn a_long_line_in_small_pieces_is_looked_through_once() {
        const LENGTH: usize = 400_000;
        for piece in [1, 7, 997] {
            let line = [b"data: ".as_slice(), &vec![b'x'; LENGTH], b"\n\n"].concat();
            let mut splitter = Splitter::new(usize::MAX);
            let mut out = Vec::new();
            for piece in line.chunks(piece) {
                out.extend_from_slice(&splitter.push(Bytes::copy_from_slice(piece)).unwrap());
            }
            assert_eq!(out, line);
            assert_eq!(splitter.looked_at, line.len(), "pieces of {piece}");
        }
    }

    #[test]
    fn a_carriage_return_at_the_end_of_a_piece_is_looked_at_again() {
        for pieces in
            [&["data: a\r", "\n\r", "\n"][..], &["data: a\r", "\r", "x"], &["data: a\n", "\r", "\n"]]
        {
            let mut splitter = Splitter::new(usize::MAX);
            let blocks: String = pieces
                .iter()
                .map(|piece| splitter.push(Bytes::from_static(piece.as_bytes())).unwrap())
                .map(|block| String::from_utf8(block.to_vec()).unwrap())
                .collect();
            assert_eq!(blocks, pieces.concat().trim_end_matches('x'), "{pieces:?}");
        }
    }

    #[test]
    fn frames_read_as_the_standard_says() {
        for (text, data, event) in [
            ("data: a\n\n", Some("a"), None),
            ("data:a\r\n\r\n", Some("a"), None),
            ("data:  a\r\r", Some(" a"), None),
            (": ping\n\n", None, None),
            ("event: x\ndata: a\ndata: b\nid: 1\n\n", Some("a\nb"), Some("x")),
            ("data\n\n", Some(""), None),
            ("data: cut", Some("cut"), None),
            ("\n", None, None),
        ] {
            let (frame, length) = frame(text.as_bytes());
            assert_eq!(frame.data.as_deref(), data.map(str::as_bytes), "{text:?}");
            assert_eq!(frame.event, event.map(str::as_bytes), "{text:?}");
            assert_eq!(length, text.len(), "{text:?}");
        }
    }

    #[test]
    fn a_rest_is_closed_by_a_blank_line_once() {
        for (rest, expected) in [
            ("data: a", "data: a\n\n"),
            ("data: a\n", "data: a\n\n\n"),
            ("data: a\r\r", "data: a\r\r"),
            ("data: a\r\n\r", "data: a\r\n\r"),
        ] {
            assert_eq!(closed(Bytes::from_static(rest.as_bytes())), expected, "{rest:?}");
        }
    }

    fn stream() -> impl Strategy<Value = String> {
        let ending = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
        let line =
            prop_oneof![Just("data: {\"a\":1}"), Just(": ping"), Just("event: x"), Just(""), Just("data:é")];
        proptest::collection::vec((line, ending), 0..24)
            .prop_map(|lines| lines.into_iter().flat_map(|(line, ending)| [line, ending]).collect())
    }

    proptest! {
        #[test]
        fn the_bytes_are_the_same_under_every_chunking(text in stream(), cuts in proptest::collection::vec(1_usize..9, 0..64)) {
            let bytes = Bytes::from(text);
            let mut whole = Splitter::new(usize::MAX);
            let mut expected = whole.push(bytes.clone()).unwrap().to_vec();
            let mut splitter = Splitter::new(usize::MAX);
            let (mut out, mut rest, mut blocks) = (Vec::new(), bytes.clone(), Vec::new());
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let chunk = rest.split_to(cuts.next().unwrap_or(1).min(rest.len()));
                let block = splitter.push(chunk).unwrap();
                blocks.extend(frames(&block).map(|frame| frame.data.map(Cow::into_owned)));
                out.extend_from_slice(&block);
            }
            // Up to a carriage return at the very end that may still become a CRLF.
            prop_assert!(expected.len() >= out.len() || out.len() - expected.len() <= 1);
            let read: Vec<_> = frames(&out).map(|frame| frame.data.map(Cow::into_owned)).collect();
            prop_assert_eq!(read, blocks);
            out.extend_from_slice(&splitter.take_rest());
            expected.extend_from_slice(&whole.take_rest());
            prop_assert_eq!(&out, &expected);
            prop_assert_eq!(&out[..], &bytes[..]);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let mut splitter = Splitter::new(64);
            if let Ok(block) = splitter.push(Bytes::from(bytes)) {
                prop_assert_eq!(frames(&block).map(|f| f.raw.len()).sum::<usize>(), block.len());
            }
        }
    }
}

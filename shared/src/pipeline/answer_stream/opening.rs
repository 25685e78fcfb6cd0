//! What an answer is by its first bytes: labels lie.

use bytes::{Bytes, BytesMut};

/// Blank bytes that an answer may begin with.
const MOST_BLANK: usize = 64 * 1024;

/// What some put before everything.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Fields of server-sent events.
const FIELDS: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Like server-sent events: a comment or a field.
    Events,
    /// Like an object or an array of JSON.
    Json,
    /// Like none of these; HTML too.
    Other,
    /// It is empty.
    Nothing,
}

/// An answer of which it cannot be told yet what it is.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    bytes: BytesMut,
    /// What of it is a mark or blank, and need not be looked at again.
    blank: usize,
}

impl Beginning {
    /// What the answer is and all that has come of it, once it can be told: mostly with the first chunk, which is then
    /// not copied.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Option<(Opening, Bytes)> {
        if self.bytes.is_empty()
            && let Some(opening) = Opening::of(&chunk)
        {
            return Some((opening, chunk));
        }
        self.bytes.extend_from_slice(&chunk);
        let opening = match self.blank {
            0 => Opening::of(&self.bytes),
            blank => Opening::of_text(&self.bytes[blank..]),
        };
        if let Some(opening) = opening {
            return Some((opening, self.take()));
        }
        let mark = if self.bytes.starts_with(MARK) { MARK.len() } else { 0 };
        let text = self.bytes[self.blank.max(mark)..].trim_ascii_start();
        self.blank = self.bytes.len() - text.len();
        if self.blank > MOST_BLANK { Some((Opening::Other, self.take())) } else { None }
    }

    pub(crate) fn take(&mut self) -> Bytes {
        self.blank = 0;
        self.bytes.split().freeze()
    }
}

impl Opening {
    /// `None` when more has to come before it can be told.
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < MARK.len() && MARK.starts_with(bytes) {
            return None;
        }
        Self::of_text(bytes.strip_prefix(MARK).unwrap_or(bytes))
    }

    /// The same behind what may stand at the very beginning.
    fn of_text(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_start();
        match text.first() {
            None => None,
            Some(b'{' | b'[') => Some(Self::Json),
            Some(b':') => Some(Self::Events),
            Some(_) => {
                let is_field = |field: &&[u8]| {
                    text.strip_prefix(*field)
                        .is_some_and(|rest| matches!(rest.first(), Some(b':' | b'\n' | b'\r')))
                };
                if FIELDS.iter().any(is_field) {
                    Some(Self::Events)
                } else if FIELDS.iter().any(|field| field.starts_with(text)) {
                    None
                } else {
                    Some(Self::Other)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_by_its_first_bytes() {
        for (text, expected) in [
            ("data: {}", Some(Opening::Events)),
            ("data:{}", Some(Opening::Events)),
            ("\n\nevent: x\n", Some(Opening::Events)),
            ("id: 7\n", Some(Opening::Events)),
            ("retry: 1\n", Some(Opening::Events)),
            (": ping\n\n", Some(Opening::Events)),
            ("\u{feff}: ping\n\n", Some(Opening::Events)),
            ("\u{feff}{}", Some(Opening::Json)),
            (" \r\n{\"choices\"", Some(Opening::Json)),
            ("[{\"error\"", Some(Opening::Json)),
            ("<html>", Some(Opening::Other)),
            ("error: busy", Some(Opening::Other)),
            ("dates", Some(Opening::Other)),
            ("idle", Some(Opening::Other)),
            ("7", Some(Opening::Other)),
            ("", None),
            ("\n ", None),
            ("da", None),
            ("data", None),
        ] {
            assert_eq!(Opening::of(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_told_in_pieces_is_told_alike() {
        for text in
            ["\u{feff}data: 1\n\n", "\u{feff}\n\n {}", "  {\"a\":1}", " \nevent: x\n", "errors", "<p>"]
        {
            let mut beginning = Beginning::default();
            let by_bytes = text.bytes().find_map(|byte| beginning.push(Bytes::from(vec![byte])));
            let (opening, begun) = by_bytes.unwrap();
            assert_eq!(
                (Some(opening), text.starts_with(str::from_utf8(&begun).unwrap())),
                (Opening::of(text.as_bytes()), true)
            );
            let told = |length: usize| Opening::of(&text.as_bytes()[..length]);
            let last = told(text.len());
            for length in 0..text.len() {
                assert!(told(length).is_none() || told(length) == last, "{text:?} at {length}");
            }
        }
    }

    #[test]
    fn blank_bytes_are_not_waited_for_without_end() {
        let mut marked = Beginning::default();
        let mut told = std::iter::repeat_n(MARK, 1).chain(std::iter::repeat_n(&b"\n"[..], MOST_BLANK));
        let told = told.find_map(|piece| marked.push(Bytes::from_static(piece)));
        assert_eq!(
            told.map(|(opening, begun)| (opening, begun.len())),
            Some((Opening::Other, MOST_BLANK + 1))
        );
        let mut beginning = Beginning::default();
        assert_eq!(beginning.push(vec![b'\n'; MOST_BLANK].into()), None);
        assert_eq!(
            beginning.push(vec![b'\n'].into()),
            Some((Opening::Other, vec![b'\n'; MOST_BLANK + 1].into()))
        );
    }
}

//! Finds the usage in an answer that passes through.
//!
//! The answer is not held, not even an event of it: images come as one text of megabytes, with the usage behind it. So
//! bytes are looked at as they go by, and none but those of the `usage` of the outermost object are kept.

use memchr::memchr2;

use super::Usage;

/// Bytes of a usage that is read; a longer one is none.
const LARGEST: usize = 16 * 1024;

const KEY: &[u8] = b"usage";
const DATA: &[u8] = b"data:";

/// How an answer frames its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One object.
    Whole,
    /// Events, each with one object as its data.
    Events,
}

/// Reads along; the last usage that is reported counts.
#[derive(Debug)]
pub(crate) struct Reader {
    framing: Framing,
    line: Line,
    object: Object,
    usage: Option<Usage>,
}

/// Where in a line of an event stream the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Behind so many bytes of `data:`.
    Start(usize),
    Data,
    Other,
}

/// Where in its object the next byte stands.
#[derive(Debug, Default)]
struct Object {
    depth: usize,
    text: Text,
    /// What stands at depth 1 next, or stands there now, is a key.
    is_key: bool,
    key: Vec<u8>,
    /// The value of `usage`, as far as it has come.
    value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl Reader {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, line: Line::Start(0), object: Object::default(), usage: None }
    }

    /// What the answer has reported up to here.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The next bytes of the answer.
    pub(crate) fn see(&mut self, bytes: &[u8]) {
        match self.framing {
            Framing::Whole => self.see_json(bytes),
            Framing::Events => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    self.see_line(piece);
                }
            }
        }
    }

    /// A piece of a line, its end included where it is there.
    fn see_line(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Line::Start(matched) = self.line
            && let [first, behind @ ..] = rest
        {
            match first {
                b'\r' => {}
                // A blank line ends the event, and what it had of an object.
                b'\n' if matched == 0 => self.object = Object::default(),
                byte if *byte == DATA[matched] && matched + 1 == DATA.len() => self.line = Line::Data,
                byte if *byte == DATA[matched] => self.line = Line::Start(matched + 1),
                _ => self.line = Line::Other,
            }
            rest = behind;
        }
        if self.line == Line::Data {
            self.see_json(rest);
        }
        if piece.ends_with(b"\n") {
            self.line = Line::Start(0);
        }
    }

    fn see_json(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (read, value) = self.object.see(rest);
            if let Some(usage) = value.and_then(|value| Usage::read(str::from_utf8(&value).ok()?)) {
                self.usage = Some(usage);
            }
            rest = &rest[read..];
        }
    }
}

impl Object {
    /// Looks at the first of `bytes`, or at as many as stand inside one text. Gives how many they are, and the value
    /// of `usage` where it ends with them.
    fn see(&mut self, bytes: &[u8]) -> (usize, Option<Vec<u8>>) {
        let Some(&byte) = bytes.first() else { return (0, None) };
        match self.text {
            Text::Outside => return (1, self.see_sign(byte)),
            Text::Escaped => self.text = Text::Inside,
            Text::Inside => match memchr2(b'"', b'\\', bytes) {
                Some(0) => self.text = if byte == b'"' { Text::Outside } else { Text::Escaped },
                end => {
                    let read = end.unwrap_or(bytes.len());
                    self.note_key(&bytes[..read]);
                    self.keep(&bytes[..read]);
                    return (read, None);
                }
            },
        }
        if byte == b'\\' {
            // Nobody escapes the letters of this key; with an escape in it, it is another.
            self.note_key(&[byte]);
        }
        self.keep(&[byte]);
        (1, None)
    }

    /// A byte outside of texts.
    fn see_sign(&mut self, byte: u8) -> Option<Vec<u8>> {
        match byte {
            b'"' => {
                self.text = Text::Inside;
                if self.depth == 1 && self.is_key {
                    self.key.clear();
                }
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.is_key = self.depth == 1 || self.is_key;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return self.value.take();
                }
            }
            b',' if self.depth == 1 => {
                self.is_key = true;
                return self.value.take();
            }
            b':' if self.depth == 1 && self.is_key => {
                self.is_key = false;
                self.value = (self.key == KEY).then(Vec::new);
                return None;
            }
            _ => {}
        }
        self.keep(&[byte]);
        None
    }

    fn note_key(&mut self, bytes: &[u8]) {
        if self.depth == 1 && self.is_key {
            // One byte more than the key has tells that it is another.
            let room = (KEY.len() + 1).saturating_sub(self.key.len());
            self.key.extend(bytes.iter().take(room));
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(value) = &mut self.value else { return };
        if value.len() + bytes.len() > LARGEST {
            self.value = None;
        } else {
            value.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::usage::Tokens;

    fn read(framing: Framing, text: &str, cut: usize) -> Option<(u64, u64)> {
        let mut reader = Reader::new(framing);
        for piece in text.as_bytes().chunks(cut) {
            reader.see(piece);
        }
        reader.usage().map(|Usage { input: Tokens(input), output: Tokens(output), .. }| (input, output))
    }

    #[test]
    fn the_usage_of_the_outermost_object_is_found_however_it_is_cut() {
        for (text, expected) in [
            (r#"{"usage":{"prompt_tokens":3,"total_tokens":3}}"#, Some((3, 0))),
            (
                r#"{"data":[{"b64_json":"a\"usage\":{,"}],"usage" : {"input_tokens":5,"output_tokens":7} }"#,
                Some((5, 7)),
            ),
            (r#"{"usage":{"total_tokens":9},"x":1}"#, Some((9, 0))),
            (r#"{"a":{"usage":{"input_tokens":5}}}"#, None),
            (r#"{"a":"usage","b":{"input_tokens":5}}"#, None),
            (r#"{"usages":{"input_tokens":5},"usag":{"input_tokens":5}}"#, None),
            (r#"{"a\\":1,"usage":{"input_tokens":5,"x":"}\","}}"#, Some((5, 0))),
            (r#"{"usage":null}"#, None),
            (r#"{"usage":{"type":"duration","seconds":9}}"#, None),
            (r#"[{"usage":{"input_tokens":5}}]"#, None),
            (r#"{"usage":{"input_tokens":5}"#, None),
            ("no json \" at { all", None),
        ] {
            for cut in [1, 2, 7, text.len()] {
                assert_eq!(read(Framing::Whole, text, cut), expected, "{text} by {cut}");
            }
        }
    }

    #[test]
    fn the_usage_of_the_last_event_that_has_one_is_found() {
        let text = concat!(
            "event: a\r\ndata: {\"type\":\"a\",\"b64\":\"xyz\"}\r\n\r\n",
            ": {\"usage\":{\"input_tokens\":1}}\n\n",
            "data: {\"usage\":{\"input_tokens\":2}}\n\n",
            "data: {\"half\n\n",
            "data:{\"usage\":\ndata: {\"input_tokens\":3,\"output_tokens\":4}}\n\n",
            "data: [DONE]\n\n",
        );
        for cut in [1, 3, 10, text.len()] {
            assert_eq!(read(Framing::Events, text, cut), Some((3, 4)), "by {cut}");
        }
    }

    #[test]
    fn no_more_is_kept_than_a_usage_has() {
        let mut reader = Reader::new(Framing::Whole);
        reader.see(br#"{"usage":{"x":""#);
        for _ in 0..100 {
            reader.see(&[b'a'; 1024]);
            assert!(reader.object.value.as_ref().map_or(0, Vec::len) <= LARGEST);
        }
        reader.see(br#"","input_tokens":1}}"#);
        assert_eq!(reader.usage(), None);
    }
}

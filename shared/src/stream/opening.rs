//! What an answer is by its first bytes: labels lie.

/// Blank bytes that an answer may begin with.
const MOST_BLANK: usize = 64 * 1024;

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

impl Opening {
    /// `None` when more has to come before it can be told.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        if bytes.len() < MARK.len() && MARK.starts_with(bytes) {
            return None;
        }
        let text = bytes.strip_prefix(MARK).unwrap_or(bytes).trim_ascii_start();
        match text.first() {
            None if bytes.len() > MOST_BLANK => Some(Self::Other),
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
        for text in ["\u{feff}data: 1\n\n", "  {\"a\":1}", "event: x\n", "errors", "<p>"] {
            let told = |length: usize| Opening::of(&text.as_bytes()[..length]);
            let last = told(text.len());
            for length in 0..text.len() {
                assert!(told(length).is_none() || told(length) == last, "{text:?} at {length}");
            }
        }
    }

    #[test]
    fn blank_bytes_are_not_waited_for_without_end() {
        assert_eq!(Opening::of(&vec![b'\n'; MOST_BLANK + 1]), Some(Opening::Other));
    }
}

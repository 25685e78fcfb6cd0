//! A path, decoded and normalised once.

use std::fmt::Write as _;

/// The segments of a path, decoded. One may hold slashes, where they were escaped.
#[derive(Debug)]
pub(super) struct Segments(Vec<String>);

impl Segments {
    /// Doubled and trailing slashes, escaped or not, are left out. `None` for a path that two readers may take for
    /// two different ones, or that leads up: dot segments, backslashes, control characters, parameters of a segment
    /// (`;x=1`), what is escaped twice, and what is no UTF-8.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut segments = Vec::with_capacity(8);
        for raw in path.split('/') {
            let decoded = decode(raw)?;
            if !decoded.split('/').all(is_plain) {
                return None;
            }
            let parts: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
            if !parts.is_empty() {
                segments.push(parts.join("/"));
            }
        }
        Some(Self(segments))
    }

    /// As a reader sees them that takes an escaped slash for a slash.
    pub(super) fn flat(&self) -> Vec<&str> {
        self.0.iter().flat_map(|segment| segment.split('/')).collect()
    }

    /// Those behind the first `count` of [`Segments::flat`]; as they are, if that is where one of them begins and
    /// the first of them is one to every reader.
    pub(super) fn behind(&self, count: usize) -> Vec<&str> {
        let mut passed = 0;
        let mut rest = self.0.as_slice();
        while let [first, behind @ ..] = rest
            && passed < count
        {
            passed += first.split('/').count();
            rest = behind;
        }
        let is_apart = passed == count && rest.first().is_none_or(|first| !first.contains('/'));
        if is_apart { rest.iter().map(String::as_str).collect() } else { self.flat().split_off(count) }
    }
}

/// The path of `segments`, each encoded in the one way in which it is sent.
pub(super) fn spelled(segments: &[&str]) -> String {
    let mut path = String::with_capacity(64);
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
                path.push(char::from(byte));
            } else {
                // Writing to a String does not fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

fn is_plain(part: &str) -> bool {
    let has_sign = part.contains(|c: char| c == '\\' || c == ';' || c.is_control());
    !has_sign && part != "." && part != ".." && !has_escape(part)
}

fn has_escape(text: &str) -> bool {
    text.as_bytes().windows(3).any(
        |window| matches!(window, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
    )
}

/// Whether a path means a dot segment, or another path, to a reader that undoes an escape twice or leaves out the
/// parameters of a segment (`..;x`).
pub fn is_deceptive(path: &str) -> bool {
    let has_dots = |part: &str| part.split_once(';').is_some_and(|(before, _)| matches!(before, "." | ".."));
    path.split('/').filter_map(decode).any(|raw| has_escape(&raw) || raw.split('/').any(has_dots))
}

/// Percent-decodes; `None` when that is not UTF-8 or a `%` stands alone.
pub fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

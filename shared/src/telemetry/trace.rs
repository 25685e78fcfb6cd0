//! Names by which a request is found again: its id, and the W3C trace context.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace a request belongs to, with the gateway's own span in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// 32 hex digits.
    pub(crate) id: String,
    span: u64,
    flags: u8,
}

/// Two rolls of the platform.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rolls(pub(crate) u64, pub(crate) u64);

impl Trace {
    /// Continues the caller's trace, or begins one.
    pub(crate) fn continued(headers: &HeaderMap, rolls: Rolls, span: u64) -> Self {
        let span = span | 1;
        match headers.get(TRACEPARENT).and_then(|value| parse(value.to_str().ok()?)) {
            Some((id, flags)) => Self { id: id.to_owned(), span, flags },
            None => Self { id: id("", Rolls(rolls.0 | 1, rolls.1)), span, flags: 0 },
        }
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        text.push_str(&self.id);
        text.push('-');
        push_hex(self.span, 16, &mut text);
        text.push('-');
        push_hex(u64::from(self.flags), 2, &mut text);
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The last `digits` hex digits of `value`. The formatter costs ten times as much, and this is done for every
/// request.
fn push_hex(value: u64, digits: u32, text: &mut String) {
    for at in (0..digits).rev() {
        let nibble = u32::try_from(value >> (4 * at) & 0xf).unwrap_or(0);
        text.push(char::from_digit(nibble, 16).unwrap_or('0'));
    }
}

fn id(head: &str, Rolls(high, low): Rolls) -> String {
    let mut text = String::with_capacity(head.len() + 32);
    text.push_str(head);
    push_hex(high, 16, &mut text);
    push_hex(low, 16, &mut text);
    text
}

/// Reads `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zeros.
fn parse(text: &str) -> Option<(&str, u8)> {
    let mut parts = text.splitn(4, '-');
    let (version, id, span, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let flags = rest.get(..2)?;
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|b| b != b'0');
    let is_whole =
        if version == "00" { rest.len() == 2 } else { rest[2..].is_empty() || rest[2..].starts_with('-') };
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && is_id(id, 32)
        && is_id(span, 16)
        && is_hex(flags, 2)
        && is_whole;
    is_valid.then(|| u8::from_str_radix(flags, 16).ok().map(|flags| (id, flags)))?
}

/// `req_` and 32 hex digits.
pub(crate) fn request_id(rolls: Rolls) -> String {
    id("req_", rolls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn continued(parent: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(parent).unwrap());
        Trace::continued(&headers, Rolls(7, 9), 9)
    }

    #[test]
    fn a_trace_is_continued_with_a_span_of_our_own() {
        let header = continued(PARENT).to_header();
        assert_eq!(header, "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000009-01");
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        for parent in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
        ] {
            let trace = parent.is_ascii().then(|| continued(parent));
            assert!(trace.is_none_or(|trace| trace.id == "00000000000000070000000000000009"), "{parent}");
            assert_eq!(parse(parent), None, "{parent}");
        }
    }

    #[test]
    fn request_ids_have_their_shape() {
        assert_eq!(request_id(Rolls(1, 2)), "req_00000000000000010000000000000002");
    }
}

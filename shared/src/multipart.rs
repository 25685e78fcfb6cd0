//! The model field of a `multipart/form-data` body, and its place.
//!
//! Readers of such bodies give a field's value; to rename a model without touching another byte its place is
//! needed, which none gives. So this looks for that one field and leaves the rest alone (RFC 7578, RFC 2046 5.1).

use std::ops::Range;

use memchr::memmem;

/// The boundary that a `content-type` names.
pub(crate) fn boundary(content_type: &str) -> Option<&str> {
    let mut parts = content_type.split(';');
    if !parts.next()?.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (1..=70).contains(&value.len()).then_some(value)
}

/// Where the value of the field `name` stands.
pub(crate) fn field(body: &[u8], boundary: &str, name: &str) -> Option<Range<usize>> {
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter needs no line break before it.
    let mut at = memmem::find(body, &delimiter.as_bytes()[2..])? + delimiter.len() - 2;
    loop {
        let head = at + memmem::find(&body[at..], b"\r\n")? + 2;
        let value = head + memmem::find(&body[head..], b"\r\n\r\n")? + 4;
        let end = value + memmem::find(&body[value..], delimiter.as_bytes())?;
        if is_named(&body[head..value], name) {
            return Some(value..end);
        }
        at = end + delimiter.len();
    }
}

fn is_named(head: &[u8], name: &str) -> bool {
    let Ok(head) = str::from_utf8(head) else { return false };
    head.split("\r\n").any(|line| {
        let Some((header, value)) = line.split_once(':') else { return false };
        header.eq_ignore_ascii_case("content-disposition")
            && value.split(';').any(|parameter| {
                let (key, text) = parameter.split_once('=').unwrap_or_default();
                key.trim().eq_ignore_ascii_case("name") && text.trim().trim_matches('"') == name
            })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n\r\n\
        name=\"model\"\r\n\r\nno\r\n--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x--\r\n";

    #[test]
    fn the_model_is_found_and_nothing_else_taken_for_it() {
        let span = field(FORM.as_bytes(), "x", "model").unwrap();
        assert_eq!(&FORM[span], "whisper-1");
        assert_eq!(field(FORM.as_bytes(), "x", "language"), None);
        assert_eq!(field(FORM.as_bytes(), "y", "model"), None);
    }

    #[test]
    fn boundaries_are_read() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("application/json; boundary=abc", None),
        ] {
            assert_eq!(boundary(content_type), expected, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(prop_oneof![Just(b'-'), Just(b'x'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..128)) {
            let _ = field(&body, "x", "model");
        }
    }
}

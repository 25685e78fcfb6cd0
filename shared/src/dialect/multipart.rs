//! The model field of a `multipart/form-data` body, and its place (RFC 7578, RFC 2046 5.1).
//!
//! Readers of such bodies give a field's value; to rename a model without touching another byte its place is
//! needed, which none gives. And what a caller may ask for is decided by this reading, while the upstream goes by
//! its own: a form in which another reader could find another model is refused, not guessed at. So every part is
//! read, strictly, and the boundary may stand nowhere but between parts.

mod head;

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::{memchr, memmem};

use self::head::{Disposition, Head, Parameter, head_word, trim_start};
use crate::refusal::Refusal;

/// The field.
const MODEL: &str = "model";

/// What two readers of a form could take for different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// The `content-type` of the request.
    ContentType,
    /// Text before the first part or behind the last.
    Outside,
    /// The boundary anywhere but in a delimiter's line.
    Delimiter,
    /// No last delimiter.
    Unclosed,
    Head,
    Disposition,
    Length,
    Nested,
    /// A `_charset_` field (RFC 7578, 4.6) of a charset that spells ASCII otherwise.
    Charset,
    /// A name that some take for the model's.
    Disguised,
    /// The model in a file, an encoding or such a charset.
    Encoded,
    Twice,
}

impl From<Unclear> for Refusal {
    fn from(unclear: Unclear) -> Self {
        let problem = match unclear {
            Unclear::ContentType => "the content-type does not name a form's one boundary plainly",
            Unclear::Outside => "the form has text outside its parts",
            Unclear::Delimiter => "the form's boundary stands where no part begins or ends",
            Unclear::Unclosed => "the form does not end with its last delimiter",
            Unclear::Head => "a part of the form has malformed headers",
            Unclear::Disposition => {
                "a part of the form has no plain 'form-data' disposition with one name; in a file name a quote is spelled %22"
            }
            Unclear::Length => "a part of the form is not as long as its content-length says",
            Unclear::Nested => "a part of the form is itself in parts",
            Unclear::Charset => "the form names a charset other than UTF-8",
            Unclear::Disguised => return invalid_model("a field's name is almost this one"),
            Unclear::Encoded => return invalid_model("it must be a plain text field, not a file or encoded"),
            Unclear::Twice => return invalid_model("it is given twice"),
        };
        Self::Ambiguous { problem }
    }
}

fn invalid_model(problem: &str) -> Refusal {
    Refusal::InvalidParameter { param: MODEL.into(), problem: problem.into() }
}

/// The boundary that the `content-type` names; `None` where it is of no multipart body.
pub(crate) fn boundary(headers: &HeaderMap) -> Result<Option<&str>, Unclear> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unclear::ContentType);
    }
    let text = value.as_bytes();
    let lower = text.to_ascii_lowercase();
    match memmem::find(&lower, b"multipart/") {
        None => return Ok(None),
        // Some look for "boundary=" alone, wherever it stands. The word itself is in many a browser's boundary.
        Some(0) if parameters_named_boundary(&lower) == 1 => {}
        Some(_) => return Err(Unclear::ContentType),
    }
    let boundary = form_boundary(text).ok_or(Unclear::ContentType)?;
    str::from_utf8(boundary).map(Some).map_err(|_| Unclear::ContentType)
}

fn parameters_named_boundary(lower: &[u8]) -> usize {
    let ends = memmem::find_iter(lower, b"boundary").map(|at| at + b"boundary".len());
    ends.filter(|end| matches!(lower[*end..].trim_ascii_start().first(), Some(b'=' | b'*'))).count()
}

fn form_boundary(content_type: &[u8]) -> Option<&[u8]> {
    let (kind, mut rest) = head_word(content_type);
    if !kind.eq_ignore_ascii_case(b"multipart/form-data") {
        return None;
    }
    let mut boundary = None;
    while !rest.is_empty() {
        let parameter;
        (parameter, rest) = Parameter::read(rest)?;
        if parameter.is(b"boundary") {
            boundary = Some(parameter);
        } else if parameter.is(b"charset") && !is_plain_charset(parameter.value) {
            return None;
        }
    }
    let Parameter { value, is_quoted, .. } = boundary?;
    // Unquoted, a comma ends it for some.
    let is_fit = |byte: &u8| {
        byte.is_ascii_alphanumeric() || b"'()+_-./:=?".contains(byte) || (is_quoted && b", ".contains(byte))
    };
    let is_boundary = (1..=70).contains(&value.len()) && value.iter().all(is_fit) && !value.ends_with(b" ");
    is_boundary.then_some(value)
}

/// Where the model's value stands; `None` where the form names none. Linear in the body's length.
pub(crate) fn model(body: &[u8], boundary: &str) -> Result<Option<Range<usize>>, Unclear> {
    let delimiter = format!("--{boundary}");
    let mut found = None;
    let mut begun: Option<usize> = None;
    for at in memmem::find_iter(body, &delimiter) {
        match begun {
            None if matches!(&body[..at], b"" | b"\r\n") => {}
            None => return Err(Unclear::Outside),
            Some(start) => {
                let part = body[start..at].strip_suffix(b"\r\n").ok_or(Unclear::Delimiter)?;
                if let Some(value) = model_in(part)?
                    && found.replace(start + value.start..start + value.end).is_some()
                {
                    return Err(Unclear::Twice);
                }
            }
        }
        let behind = &body[at + delimiter.len()..];
        if let Some(epilogue) = behind.strip_prefix(b"--") {
            let is_blank = epilogue.iter().all(|byte| b" \t\r\n".contains(byte));
            return if is_blank { Ok(found) } else { Err(Unclear::Outside) };
        }
        let line = trim_start(behind).strip_prefix(b"\r\n").ok_or(Unclear::Delimiter)?;
        begun = Some(body.len() - line.len());
    }
    Err(Unclear::Unclosed)
}

/// The values of a form's parts that look like JSON objects; a form that [`model`] refuses has none. A file is one only
/// where it says that it is JSON.
pub(crate) fn objects<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = format!("--{boundary}");
    let starts = memmem::find_iter(body, &delimiter).map(|at| at + delimiter.len());
    let ends = memmem::find_iter(body, &delimiter).skip(1);
    let parts = starts.zip(ends).filter_map(|(start, end)| body.get(start..end));
    parts.filter_map(object_in).collect()
}

/// The fields of a form that are no files, by name; a form that [`model`] refuses has none.
pub(crate) fn fields<'a>(body: &'a [u8], boundary: &str) -> Vec<(String, &'a [u8])> {
    let delimiter = format!("--{boundary}");
    let starts = memmem::find_iter(body, &delimiter).map(|at| at + delimiter.len());
    let ends = memmem::find_iter(body, &delimiter).skip(1);
    let parts = starts.zip(ends).filter_map(|(start, end)| body.get(start..end));
    parts.filter_map(field_in).collect()
}

fn field_in(part: &[u8]) -> Option<(String, &[u8])> {
    let part = trim_start(part).strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
    let end = memmem::find(part, b"\r\n\r\n")?;
    let head = Head::read(&part[..end + 2]).ok()?;
    let disposition = Disposition::read(head.disposition?).ok()?;
    let name = String::from_utf8_lossy(disposition.name).into_owned();
    (!disposition.is_file).then_some((name, &part[end + 4..]))
}

fn object_in(part: &[u8]) -> Option<&[u8]> {
    let part = trim_start(part).strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
    let end = memmem::find(part, b"\r\n\r\n")?;
    let head = Head::read(&part[..end + 2]).ok()?;
    let (kind, _) = head_word(head.content_type.unwrap_or_default());
    let is_json = memmem::find(&kind.to_ascii_lowercase(), b"json").is_some();
    let is_file = Disposition::read(head.disposition?).ok()?.is_file;
    let value = part[end + 4..].trim_ascii();
    (value.starts_with(b"{") && (is_json || !is_file)).then_some(value)
}

/// Where in the part the model's value stands, if it is the model's part.
fn model_in(part: &[u8]) -> Result<Option<Range<usize>>, Unclear> {
    let end = memmem::find(part, b"\r\n\r\n").ok_or(Unclear::Head)?;
    let head = Head::read(&part[..end + 2])?;
    let value = end + 4..part.len();
    if head.length.is_some_and(|length| length != value.len().to_string().as_bytes()) {
        return Err(Unclear::Length);
    }
    let disposition = Disposition::read(head.disposition.ok_or(Unclear::Disposition)?)?;
    let content_type = head.content_type.unwrap_or_default();
    if content_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/")) {
        return Err(Unclear::Nested);
    }
    if disposition.name.eq_ignore_ascii_case(b"_charset_")
        && !is_plain_charset(part[value.clone()].trim_ascii())
    {
        return Err(Unclear::Charset);
    }
    if disposition.name != MODEL.as_bytes() {
        return if is_almost_model(disposition.name) { Err(Unclear::Disguised) } else { Ok(None) };
    }
    let is_identity = |encoding: &[u8]| {
        [&b"7bit"[..], b"8bit", b"binary"].iter().any(|known| known.eq_ignore_ascii_case(encoding))
    };
    if disposition.is_file || !head.encoding.is_none_or(is_identity) || !has_plain_charset(content_type) {
        return Err(Unclear::Encoded);
    }
    Ok(Some(value))
}

/// A name that is the model's to a reader who ignores case, white space or quotes, decodes percents, or takes
/// `model[]` for a list of models.
pub(crate) fn is_almost_model(name: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if escaped.is_some() { &behind[2..] } else { behind };
        decoded.push(escaped.unwrap_or(byte));
    }
    decoded.truncate(memchr(b'[', &decoded).unwrap_or(decoded.len()));
    decoded.truncate(memchr(0, &decoded).unwrap_or(decoded.len()));
    decoded.retain(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    decoded.eq_ignore_ascii_case(MODEL.as_bytes())
}

/// Of a part's `content-type`. A charset in which ASCII is not ASCII names a model that is not the one read here.
fn has_plain_charset(content_type: &[u8]) -> bool {
    let (_, mut rest) = head_word(content_type);
    while !rest.is_empty() {
        let Some((parameter, behind)) = Parameter::read(rest) else { return false };
        if parameter.key.to_ascii_lowercase().starts_with(b"charset")
            && !(parameter.is(b"charset") && is_plain_charset(parameter.value))
        {
            return false;
        }
        rest = behind;
    }
    true
}

pub(crate) fn is_plain_charset(charset: &[u8]) -> bool {
    let known: [&[u8]; 5] = [b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1"];
    known.iter().any(|known| known.eq_ignore_ascii_case(charset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMED: &str = "content-disposition: form-data; name=\"model\"";

    /// A form with these parts: the lines of a head, a value.
    fn form(parts: &[(&str, &str)]) -> String {
        let parts = parts.iter().map(|(head, value)| format!("--b\r\n{head}\r\n\r\n{value}\r\n"));
        parts.collect::<String>() + "--b--\r\n"
    }

    fn disposition(parameters: &str) -> String {
        format!("Content-Disposition: form-data; {parameters}")
    }

    #[test]
    fn plain_forms_are_read() {
        let file = |parameters: &str| form(&[(&disposition(parameters), "RIFF\0\r\n\n"), (NAMED, "allowed")]);
        for (label, body) in [
            ("alone", form(&[(NAMED, "allowed")])),
            ("unquoted", form(&[("content-disposition:FORM-DATA;NAME=model", "allowed")])),
            ("a file before it", file(r#"name="file"; filename="model""#)),
            ("a Windows path", file(r#"name="file"; filename="C:\a\b.mp3""#)),
            ("a doubled backslash", file(r#"name="file"; filename="a\\b.mp3""#)),
            ("a semicolon and a name", file(r#"name="file"; filename="a; name.mp3""#)),
            (
                "a name outside ASCII",
                file("name=\"file\"; filename=\"\u{fc}.mp3\"; filename*=utf-8''%C3%BC.mp3"),
            ),
            ("a field of a list", file(r#"name="timestamp_granularities[]""#)),
            ("a name that begins so", file(r#"name="model_version""#)),
            (
                "a file that looks like a part",
                form(&[(&disposition("name=file"), NAMED), (NAMED, "allowed")]),
            ),
            (
                "what Java sends",
                form(&[(
                    &format!(
                        "{NAMED}\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\nContent-Length: 7"
                    ),
                    "allowed",
                )]),
            ),
            ("padding", form(&[(NAMED, "allowed")]).replace("--b\r\n", "--b \t\r\n")),
            ("a line before", format!("\r\n{}", form(&[(NAMED, "allowed")]))),
            ("nothing behind", form(&[(NAMED, "allowed")]).trim_end().to_owned()),
        ] {
            let span = model(body.as_bytes(), "b").map(|span| span.map(|span| &body[span]));
            assert_eq!(span, Ok(Some("allowed")), "{label}");
        }
        for body in [form(&[]), form(&[(&disposition("name=file; filename=model"), "x")])] {
            assert_eq!(model(body.as_bytes(), "b"), Ok(None));
        }
    }

    #[test]
    fn forms_that_two_readers_could_read_differently_are_refused() {
        use Unclear::{
            Charset, Delimiter, Disguised, Disposition, Encoded, Head, Length, Nested, Outside, Twice,
            Unclosed,
        };
        let hidden = |parameters: &str| form(&[(NAMED, "allowed"), (&disposition(parameters), "forbidden")]);
        let with = |header: &str| form(&[(&format!("{NAMED}\r\n{header}"), "allowed")]);
        let good = form(&[(NAMED, "allowed")]);
        for (label, body, expected) in [
            ("twice", hidden(r#"name="model""#), Twice),
            ("twice, one a file", hidden(r#"name="model"; filename="a""#), Encoded),
            ("split without quotes", hidden(r#"name="x"; filename="; name=model""#), Disposition),
            ("split, odd spaces", hidden("name=\"x\"; filename=\";\u{a0}NAME\t*=model\""), Disposition),
            ("an escaped quote", hidden(r#"filename="\"; name=model; x=\""; name="x""#), Disposition),
            ("an escaped backslash last", hidden(r#"filename="a\\"; name="x""#), Disposition),
            ("an escape in a name", hidden(r#"name="mo\del""#), Disposition),
            ("single quotes", hidden("filename='; name=model; x='; name=x"), Disposition),
            ("an extended name", hidden("name*=utf-8''model"), Disposition),
            ("an extended name beside", hidden("name=x; name*=utf-8''model"), Disposition),
            ("a continued name", hidden(r#"name=x; name*0="mod"; name*1="el""#), Disposition),
            ("an odd extended file name", hidden("name=x; filename*=utf-8'; name=model"), Disposition),
            ("two names", hidden(r#"name="x"; name="model""#), Disposition),
            ("no name", hidden("filename=x"), Disposition),
            ("space before =", hidden(r#"x=y; name ="model""#), Disposition),
            ("text behind a quote", hidden(r#"name="x"model"#), Disposition),
            ("an open quote", hidden("name=\"x"), Disposition),
            ("an encoded word", hidden(r#"name="=?utf-8?B?bW9kZWw=?=""#), Disposition),
            ("another case", hidden(r#"name="Model""#), Disguised),
            ("spaces", hidden(r#"name=" model""#), Disguised),
            ("a list", hidden(r#"name="model[]""#), Disguised),
            ("percents", hidden(r#"name="mod%65l""#), Disguised),
            ("another disposition", form(&[("content-disposition: file; name=x", "x")]), Disposition),
            ("no disposition", form(&[("x: y", "x")]), Disposition),
            ("two dispositions", with("Content-Disposition: form-data; name=x"), Head),
            ("a folded header", with(" ; x=y"), Head),
            ("space before a colon", with("Content-Disposition : form-data; name=x"), Head),
            ("no colon", with("x"), Head),
            ("a lone line feed", with("x: y\nContent-Disposition: form-data; name=x"), Head),
            ("a null", with("x: \0"), Head),
            ("a lone carriage return", good.replace(": ", ": \r"), Head),
            ("no head", good.replace(&format!("{NAMED}\r\n"), ""), Head),
            ("no value", format!("--b\r\n{NAMED}\r\n\r\n--b--\r\n"), Head),
            ("another length", with("Content-Length: 5"), Length),
            ("a form in it", with("Content-Type: Multipart/mixed; boundary=c"), Nested),
            ("base64", with("Content-Transfer-Encoding: base64"), Encoded),
            ("UTF-7", with("Content-Type: text/plain; charset=utf-7"), Encoded),
            ("a charset field", form(&[(&disposition("name=_charset_"), "utf-16"), (NAMED, "a")]), Charset),
            (
                "a longer boundary",
                form(&[(&disposition("name=x"), "\r\n--bish\r\n"), (NAMED, "a")]),
                Delimiter,
            ),
            ("a boundary in a line", form(&[(&disposition("name=x"), "x --b\r\n"), (NAMED, "a")]), Delimiter),
            ("a boundary behind a line feed", good.replace("\r\n--b--", "\n--b--"), Delimiter),
            ("line feeds", good.replace("\r\n", "\n"), Delimiter),
            ("a preamble", format!("preamble\r\n{good}"), Outside),
            ("a preamble in a line", format!("preamble {good}"), Outside),
            ("an epilogue", format!("{good}{good}"), Outside),
            ("text behind the last delimiter", good.replace("--b--", "--b--x"), Outside),
            ("unclosed", good.replace("--b--\r\n", ""), Unclosed),
            ("unclosed, one part behind", good.replace("--b--", "--b"), Unclosed),
            ("another boundary", good.replace("--b", "--c"), Unclosed),
            ("nothing", String::new(), Unclosed),
        ] {
            assert_eq!(model(body.as_bytes(), "b"), Err(expected), "{label}: {body}");
            assert_eq!(Refusal::from(expected).status(), 400, "{label}");
        }
    }

    #[test]
    fn boundaries_are_read() {
        let unclear = Err(Unclear::ContentType);
        for (content_types, expected) in [
            (&["multipart/form-data; boundary=abc"][..], Ok(Some("abc"))),
            (&["Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""], Ok(Some("a b"))),
            (&["multipart/form-data;boundary=----=_Part_1_2.3"], Ok(Some("----=_Part_1_2.3"))),
            (
                &["multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk"],
                Ok(Some("----WebKitFormBoundary7MA4YWxk")),
            ),
            (&["application/json; boundary=abc"], Ok(None)),
            (&[], Ok(None)),
            (&["multipart/form-data"], unclear),
            (&["multipart/form-data; boundary="], unclear),
            (&["multipart/form-data; boundary=\"a \""], unclear),
            (&["multipart/form-data; boundary=a,b"], unclear),
            (&["multipart/form-data; boundary=a; boundary=b"], unclear),
            (&["multipart/form-data; xboundary=a; boundary=b"], unclear),
            (&["multipart/form-data; boundary*=utf-8''b"], unclear),
            (&["multipart/form-data; boundary=b; charset=utf-7"], unclear),
            (&["multipart/mixed; boundary=b"], unclear),
            (&["application/json, multipart/form-data; boundary=b"], unclear),
            (&["application/json", "multipart/form-data; boundary=b"], unclear),
        ] {
            let mut headers = HeaderMap::new();
            for value in content_types {
                headers.append(CONTENT_TYPE, value.parse().unwrap());
            }
            assert_eq!(boundary(&headers), expected, "{content_types:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(pieces in proptest::collection::vec(piece(), 0..24)) {
            let _ = model(&pieces.concat(), "b");
        }
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let known =
            ["--b", "--", "\r\n", "\r\n\r\n", NAMED, "content-disposition: form-data; ", "; ", "name", "*"];
        let signs = ["=", "\"", "\\", "'", "%6", "[", "model", "content-type: text/plain; charset"];
        let known =
            proptest::sample::select([&known[..], &signs].concat()).prop_map(|text| text.as_bytes().to_vec());
        prop_oneof![4 => known, 1 => proptest::collection::vec(any::<u8>(), 0..4)]
    }
}

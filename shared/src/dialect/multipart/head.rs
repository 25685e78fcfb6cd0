//! What stands above a part's value: its headers, and their parameters (RFC 2045 5.1, RFC 7578 4.2).
//!
//! A header that readers with other ideas of quotes, escapes and charsets would take apart differently is none.

use memchr::{memchr, memchr_iter, memmem};

use super::Unclear;

/// A part's headers, as far as a reader goes by them.
#[derive(Default)]
pub(super) struct Head<'a> {
    pub(super) disposition: Option<&'a [u8]>,
    pub(super) content_type: Option<&'a [u8]>,
    pub(super) encoding: Option<&'a [u8]>,
    pub(super) length: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// Of lines that each have their end.
    pub(super) fn read(lines: &'a [u8]) -> Result<Self, Unclear> {
        let mut head = Self::default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r\n").ok_or(Unclear::Head)?;
            let colon = memchr(b':', line).ok_or(Unclear::Head)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if !is_token(name) || line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(Unclear::Head);
            }
            let place = match name.to_ascii_lowercase().as_slice() {
                b"content-disposition" => &mut head.disposition,
                b"content-type" => &mut head.content_type,
                b"content-transfer-encoding" => &mut head.encoding,
                b"content-length" => &mut head.length,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Unclear::Head);
            }
        }
        Ok(head)
    }
}

pub(super) struct Disposition<'a> {
    pub(super) name: &'a [u8],
    pub(super) is_file: bool,
}

impl<'a> Disposition<'a> {
    pub(super) fn read(text: &'a [u8]) -> Result<Self, Unclear> {
        let (kind, mut rest) = head_word(text);
        let (mut name, mut file, mut extended_file) = (None, None, None);
        while !rest.is_empty() {
            let parameter;
            (parameter, rest) = Parameter::read(rest).ok_or(Unclear::Disposition)?;
            if !parameter.is_plain() || parameter.key.to_ascii_lowercase().starts_with(b"name*") {
                return Err(Unclear::Disposition);
            }
            let place = match parameter.key.to_ascii_lowercase().as_slice() {
                b"name" => &mut name,
                b"filename" => &mut file,
                b"filename*" => &mut extended_file,
                _ => continue,
            };
            if place.replace(parameter.value).is_some() {
                return Err(Unclear::Disposition);
            }
        }
        match name {
            // An escape, or an encoded word of RFC 2047, is undone by some.
            Some(name)
                if kind.eq_ignore_ascii_case(b"form-data")
                    && memchr(b'\\', name).is_none()
                    && memmem::find(name, b"=?").is_none() =>
            {
                Ok(Self { name, is_file: file.or(extended_file).is_some() })
            }
            Some(_) | None => Err(Unclear::Disposition),
        }
    }
}

pub(super) struct Parameter<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) is_quoted: bool,
}

impl<'a> Parameter<'a> {
    /// The first of `; key=value; key="value"`, and the rest.
    pub(super) fn read(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let text = trim_start(text.strip_prefix(b";")?);
        let (key, text) = text.split_at(memchr(b'=', text)?);
        let text = &text[1..];
        let (value, rest, is_quoted) = if let Some(text) = text.strip_prefix(b"\"") {
            let (value, rest) = text.split_at(memchr(b'"', text)?);
            // Whether this ends the string depends on who reads it.
            if value.ends_with(b"\\") {
                return None;
            }
            (value, &rest[1..], true)
        } else {
            let (value, rest) = head_word(text);
            (value, rest, false)
        };
        (is_token(key) && (is_quoted || !value.is_empty()))
            .then_some((Self { key, value, is_quoted }, trim_start(rest)))
    }

    pub(super) fn is(&self, key: &[u8]) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }

    /// Whether a reader that knows nothing of quotes, or of other quotes, finds no other parameter in it.
    fn is_plain(&self) -> bool {
        if self.is_quoted {
            return !memchr_iter(b';', self.value).any(|at| is_name_set(&self.value[at + 1..]));
        }
        if !self.key.ends_with(b"*") {
            return is_token(self.value) && memchr(b'\'', self.value).is_none();
        }
        // RFC 8187: charset'language'value.
        self.value.split(|byte| *byte == b'\'').count() == 3
            && self.value.iter().all(|byte| is_token(&[*byte]))
    }
}

/// The text starts with `name=` or `name*`, whatever takes for white space.
fn is_name_set(text: &[u8]) -> bool {
    let visible = |text: &[u8]| text.iter().position(u8::is_ascii_graphic);
    let text = &text[visible(text).unwrap_or(text.len())..];
    let Some((key, rest)) = text.split_at_checked(4) else { return false };
    key.eq_ignore_ascii_case(b"name") && visible(rest).is_some_and(|at| b"=*".contains(&rest[at]))
}

/// What stands before the first `;`, and the rest from there.
pub(super) fn head_word(text: &[u8]) -> (&[u8], &[u8]) {
    let (word, rest) = text.split_at(memchr(b';', text).unwrap_or(text.len()));
    (word.trim_ascii_end(), rest)
}

pub(super) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !b" \t".contains(byte));
    &text[start.unwrap_or(text.len())..]
}

/// RFC 9110, 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

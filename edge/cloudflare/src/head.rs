//! Heads of requests and answers, from the text they cross as and into it.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request};

/// A request without its body; `None` where it is no request that HTTP knows.
pub(crate) fn parse_request(text: &str) -> Option<request::Parts> {
    let mut fields = text.split('\n');
    let method = fields.next()?.parse().ok()?;
    let uri: Uri = fields.next()?.parse().ok()?;
    let (mut head, ()) = http::Request::new(()).into_parts();
    (head.method, head.uri, head.headers) = (method, uri, pairs(fields));
    Some(head)
}

pub(crate) fn parse_headers(text: &str) -> HeaderMap {
    pairs(text.split('\n'))
}

/// The platform unpacks an answer in these codings, and leaves its head as it came. Others it does not touch.
pub(crate) fn strip_undone_coding(headers: &mut HeaderMap) {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let (Some(coding), None) = (codings.next(), codings.next()) else { return };
    if coding == "gzip" || coding == "br" {
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// The platform has read the head, so what does not parse is not there.
fn pairs<'a>(mut fields: impl Iterator<Item = &'a str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

pub(crate) fn print_headers(headers: &HeaderMap) -> String {
    let mut text = String::with_capacity(512);
    for (name, value) in headers {
        text.push_str(name.as_str());
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        text.push('\n');
    }
    text
}

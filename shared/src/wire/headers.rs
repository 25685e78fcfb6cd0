//! Which headers cross the gateway, and which end at it: those that are on a list cross, all others end here.

mod forwarded;
mod names;
mod retry_after;
mod returned;

use std::net::Ipv6Addr;

use http::Version;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use memchr::memchr;

pub(crate) use self::forwarded::{AllowedHeaders, NEVER_FORWARDED, Written, own, tell_handshake};
pub use self::names::HeaderNames;
pub(crate) use self::names::{Never, PatternFault};
pub(crate) use self::retry_after::named as named_retry_after;
pub(crate) use self::returned::{NEVER_RETURNED, Returned};

/// Headers that belong to one hop (RFC 9110, 7.6.1), beside those that `connection` names.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// The names that `connection` declares to be of this hop.
fn connection_options(from: &HeaderMap) -> Vec<String> {
    from.get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .filter(|option| option != "close" && option != "keep-alive")
        .collect()
}

/// A header a proxy in front must agree with us about stands twice, contradicts another or is none.
pub(crate) fn ambiguity(head: &Parts) -> Option<&'static str> {
    let client = &head.headers;
    let count = |name: HeaderName| client.get_all(name).iter().take(2).count();
    if count(header::CONTENT_LENGTH) > 0 && count(header::TRANSFER_ENCODING) > 0 {
        Some("content-length and transfer-encoding together")
    } else if count(header::CONTENT_LENGTH) > 1 {
        Some("more than one content-length")
    } else if count(header::CONTENT_TYPE) > 1 {
        Some("more than one content-type")
    } else if count(HeaderName::from_static("idempotency-key")) > 1 {
        Some("more than one idempotency-key")
    } else if count(header::HOST) > 1 {
        Some("more than one host")
    } else if head.version == Version::HTTP_11 && count(header::HOST) == 0 {
        Some("no host")
    } else if !client.get(header::HOST).is_none_or(|host| is_host(host.as_bytes())) {
        Some("a host that is none")
    } else if !head.uri.authority().is_none_or(|authority| is_host(authority.as_str().as_bytes())) {
        Some("an authority that is none")
    } else if !is_framed_plainly(client) {
        Some("a transfer-encoding other than chunked")
    } else {
        None
    }
}

/// `chunked`, once and alone, is the one transfer coding that all agree about; no other is undone here.
fn is_framed_plainly(client: &HeaderMap) -> bool {
    let mut codings = client.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// A name or an address, and a port if it has one. RFC 3986 allows names more signs than any name has, and proxies
/// differ in what they make of them.
fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let Some(end) = memchr(b']', rest) else { return false };
            let address = str::from_utf8(&rest[..end]).unwrap_or_default();
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            (address.as_bytes(), &rest[end + 1..])
        }
        None => text.split_at(memchr(b':', text).unwrap_or(text.len())),
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:".contains(byte);
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        [..] => false,
    };
    !host.is_empty() && host.iter().all(is_name) && is_port
}

/// The media type of a `content-type`, without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    pub(super) fn map(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn contradictions_are_found() {
        for (entries, expected) in [
            (&[("host", "a"), ("content-length", "1")][..], None),
            (&[], Some("no host")),
            (&[("content-length", "1"), ("content-length", "1")], Some("more than one content-length")),
            (
                &[("content-length", "1"), ("transfer-encoding", "chunked")],
                Some("content-length and transfer-encoding together"),
            ),
            (&[("host", "a"), ("host", "b")], Some("more than one host")),
            (&[("host", "a b")], Some("a host that is none")),
            (&[("host", "a"), ("transfer-encoding", "chunked")], None),
            (&[("host", "a"), ("transfer-encoding", "Chunked ")], None),
            (
                &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
                Some("a transfer-encoding other than chunked"),
            ),
            (
                &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Some("a transfer-encoding other than chunked"),
            ),
        ] {
            let mut head = http::Request::new(()).into_parts().0;
            head.headers = map(entries);
            assert_eq!(ambiguity(&head), expected);
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_at_most() {
        for host in ["a", "a.b-c_d", "A.example.", "127.0.0.1:8080", "[::1]", "[::1]:80", "a:"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a/b", "a@b", "a:b", "a:1:2", "a:123456", "[::1", "[a]", "::1", "a,b", "a%41",
            "é", "a?b", "[::1]x", "http://a",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}

//! Heads of requests and answers, between the runtime's words and the core's.

use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use weir::identity::access::Peer;

/// Where Spin says who the client is.
const CLIENT: HeaderName = HeaderName::from_static("spin-client-addr");

/// What Spin tells the component in headers. None of it is the client's, and none of it is an upstream's business.
const OF_SPIN: &[&str] = &[
    "path-info",
    "x-base-path",
    "x-client-addr",
    "x-component-route",
    "x-full-url",
    "x-matched-route",
    "x-raw-component-route",
];

/// What WASI does not let a component say: a list with one of them in it is refused as a whole.
const FORBIDDEN: &[&str] = &[
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Names and values, as WASI has them.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// A request's first line, as WASI has it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) method: Method,
    pub(crate) path_with_query: Option<String>,
    pub(crate) authority: Option<String>,
}

/// The head of a client's request. Duplicates stay, what is no header is left out. `None` where the path is no path.
pub(crate) fn request(line: Line, fields: Fields) -> Option<Parts> {
    let path = line.path_with_query.unwrap_or_else(|| "/".to_owned());
    let uri = Uri::try_from(path).ok()?;
    let mut headers = HeaderMap::with_capacity(fields.len().saturating_add(1));
    let mut peer = None;
    for (name, value) in fields {
        let Ok(name) = HeaderName::try_from(name) else { continue };
        if name == CLIENT {
            // A client may send one as well; Spin's own is the last.
            peer = std::str::from_utf8(&value).ok().and_then(address);
            continue;
        }
        if name.as_str().starts_with("spin-") || OF_SPIN.contains(&name.as_str()) {
            continue;
        }
        let Ok(value) = HeaderValue::try_from(value) else { continue };
        headers.append(name, value);
    }
    // WASI keeps it apart.
    if !headers.contains_key(header::HOST)
        && let Some(host) = line.authority.and_then(|authority| HeaderValue::try_from(authority).ok())
    {
        headers.insert(header::HOST, host);
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = line.method;
    parts.uri = uri;
    parts.headers = headers;
    if let Some(peer) = peer {
        parts.extensions.insert(Peer(peer));
    }
    Some(parts)
}

fn address(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse::<IpAddr>());
    ip.ok().map(|ip| ip.to_canonical())
}

/// An answer's headers as the core reads them.
pub(crate) fn headers(fields: Fields) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            continue;
        };
        headers.append(name, value);
    }
    headers
}

/// What the core says, as WASI takes it. `length` is said where it is known and nothing else is.
pub(crate) fn fields(headers: &HeaderMap, length: Option<u64>) -> Fields {
    let mut fields: Fields = headers
        .iter()
        .filter(|(name, _)| !FORBIDDEN.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    if let Some(length) = length.filter(|_| !headers.contains_key(header::CONTENT_LENGTH)) {
        fields.push((header::CONTENT_LENGTH.as_str().to_owned(), length.to_string().into_bytes()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> Line {
        Line {
            method: Method::POST,
            path_with_query: Some(path.into()),
            authority: Some("gateway.example:3000".into()),
        }
    }

    fn said(fields: &[(&str, &str)]) -> Fields {
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_request_keeps_its_duplicates_and_its_query() {
        let fields = said(&[("accept", "a"), ("x-trace", "1"), ("Accept", "b")]);
        let parts = request(line("/v1/models?a=1"), fields).unwrap();
        assert_eq!(parts.uri, "/v1/models?a=1");
        assert_eq!(parts.headers.get_all("accept").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(parts.headers.get("host").unwrap(), "gateway.example:3000");
    }

    #[test]
    fn two_hosts_stay_two() {
        let parts = request(line("/"), said(&[("host", "a"), ("host", "b")])).unwrap();
        assert_eq!(parts.headers.get_all("host").iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_spin_says_of_a_request_goes_no_further() {
        let fields = said(&[
            ("spin-full-url", "http://h/"),
            ("spin-client-addr", "10.0.0.1:1"),
            ("path-info", "/"),
            ("x-client-addr", "10.0.0.1:1"),
            ("x-mine", "1"),
        ]);
        let parts = request(line("/"), fields).unwrap();
        let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "x-mine"]);
    }

    #[test]
    fn a_client_is_who_spin_says() {
        for (fields, expected) in [
            (&[("spin-client-addr", "10.0.0.1:4711")][..], Some("10.0.0.1")),
            (&[("spin-client-addr", "[2001:db8::1]:4711")], Some("2001:db8::1")),
            (&[("spin-client-addr", "[::ffff:10.0.0.1]:1")], Some("10.0.0.1")),
            (&[("spin-client-addr", "10.0.0.1")], Some("10.0.0.1")),
            // The client's own comes first.
            (&[("spin-client-addr", "6.6.6.6:1"), ("spin-client-addr", "10.0.0.1:1")], Some("10.0.0.1")),
            (&[("spin-client-addr", "nobody")], None),
            (&[("x-client-addr", "6.6.6.6:1")], None),
            (&[], None),
        ] {
            let parts = request(line("/"), said(fields)).unwrap();
            let peer = parts.extensions.get::<Peer>().map(|Peer(address)| address.to_string());
            assert_eq!(peer.as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_path_that_is_none_is_no_request() {
        for (path, is_one) in
            [("/", true), ("/v1/a%20b?c", true), ("", false), ("/a b", false), ("/\u{7f}", false)]
        {
            assert_eq!(request(line(path), Fields::new()).is_some(), is_one, "{path:?}");
        }
    }

    #[test]
    fn what_wasi_forbids_is_left_out() {
        let headers =
            headers(said(&[("connection", "close"), ("host", "h"), ("x", "1"), ("x", "2"), ("b a", "")]));
        assert_eq!(fields(&headers, None), said(&[("x", "1"), ("x", "2")]));
    }

    #[test]
    fn a_length_is_said_once() {
        let own = headers(said(&[("content-length", "7")]));
        assert_eq!(fields(&own, Some(7)), said(&[("content-length", "7")]));
        assert_eq!(fields(&HeaderMap::new(), Some(7)), said(&[("content-length", "7")]));
        assert_eq!(fields(&HeaderMap::new(), None), Fields::new());
    }
}

//! Which headers cross the gateway, and which end at it.

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

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

/// What a client says of itself or to the gateway alone: credentials, cookies, addresses, accounts.
const ENDS_HERE_INBOUND: &[&str] = &[
    "accept-encoding",
    "api-key",
    "authorization",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "openai-organization",
    "openai-project",
    "origin",
    "referer",
    "traceparent",
    "via",
    "x-api-key",
    "x-goog-api-key",
    "x-real-ip",
    "x-request-id",
];

/// What an upstream says of its own house: cookies, accounts, limits of the gateway's account, its edge.
const ENDS_HERE_OUTBOUND: &[&str] = &[
    "age",
    "alt-svc",
    "host",
    "nel",
    "openai-organization",
    "openai-processing-ms",
    "openai-project",
    "report-to",
    "server",
    "set-cookie",
    "strict-transport-security",
    "via",
    "x-cache",
    "x-request-id",
    "x-should-retry",
];

const PREFIXES_INBOUND: &[&str] = &["x-forwarded-", "x-weir-", "cf-"];
const PREFIXES_OUTBOUND: &[&str] = &["x-ratelimit-", "x-weir-", "cf-", "access-control-"];

/// The client's headers as they go to an upstream.
pub(crate) fn toward_upstream(client: &HeaderMap) -> HeaderMap {
    let mut headers = forwarded(client, ENDS_HERE_INBOUND, PREFIXES_INBOUND);
    // What is metered must be readable, and nobody here gains from a second compression.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// An upstream's headers as they go to the client.
pub(crate) fn toward_client(upstream: &HeaderMap) -> HeaderMap {
    forwarded(upstream, ENDS_HERE_OUTBOUND, PREFIXES_OUTBOUND)
}

fn forwarded(from: &HeaderMap, names: &[&str], prefixes: &[&str]) -> HeaderMap {
    let named = connection_options(from);
    let mut to = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        let text = name.as_str();
        let ends_here = HOP_BY_HOP.contains(&text)
            || names.contains(&text)
            || prefixes.iter().any(|prefix| text.starts_with(prefix))
            || named.iter().any(|option| option == text);
        if !ends_here {
            to.append(name.clone(), value.clone());
        }
    }
    to
}

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

/// A header a proxy in front must agree with us about stands twice or contradicts another.
pub(crate) fn ambiguity(head: &Parts) -> Option<&'static str> {
    let client = &head.headers;
    let count = |name: HeaderName| client.get_all(name).iter().take(2).count();
    if count(header::CONTENT_LENGTH) > 0 && count(header::TRANSFER_ENCODING) > 0 {
        Some("content-length and transfer-encoding together")
    } else if count(header::CONTENT_LENGTH) > 1 {
        Some("more than one content-length")
    } else if count(header::CONTENT_TYPE) > 1 {
        Some("more than one content-type")
    } else if count(header::HOST) > 1 {
        Some("more than one host")
    } else if head.version == Version::HTTP_11 && count(header::HOST) == 0 {
        Some("no host")
    } else {
        None
    }
}

/// The media type of a `content-type`, without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn credentials_cookies_and_hop_by_hop_headers_end_at_the_gateway() {
        let client = map(&[
            ("authorization", "Bearer sk-canary"),
            ("api-key", "canary"),
            ("x-api-key", "canary"),
            ("x-goog-api-key", "canary"),
            ("cookie", "canary=1"),
            ("proxy-authorization", "canary"),
            ("x-forwarded-for", "canary"),
            ("connection", "close, X-Canary"),
            ("x-canary", "canary"),
            ("te", "trailers"),
            ("openai-beta", "assistants=v2"),
            ("x-title", "kept"),
        ]);
        let sent = toward_upstream(&client);
        let names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["openai-beta", "x-title", "accept-encoding"]);
    }

    #[test]
    fn an_upstreams_own_affairs_end_at_the_gateway() {
        let upstream = map(&[
            ("content-type", "application/json"),
            ("host", "inside"),
            ("set-cookie", "a=1"),
            ("openai-organization", "org"),
            ("x-ratelimit-limit-requests", "1"),
            ("cf-ray", "1"),
            ("openai-version", "2020-10-01"),
        ]);
        let sent = toward_client(&upstream);
        let names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "openai-version"]);
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
        ] {
            let mut head = http::Request::new(()).into_parts().0;
            head.headers = map(entries);
            assert_eq!(ambiguity(&head), expected);
        }
    }
}

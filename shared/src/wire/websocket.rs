//! Websockets that are relayed (`/v1/realtime`, RFC 6455): which requests ask for one, the key that browsers send in
//! a subprotocol, and the session behind the handshake.
//!
//! The handshake is a request like others: it needs a key, a model that the key may call, a place among its calls and
//! an upstream whose breaker lets it through; an upstream that refuses it is judged as one that refuses a call. Behind
//! it frames go both ways as they are; a session holds its places for as long as it is open, and is bounded in time, in
//! silence and in the size of its messages. Read of them is the usage that the upstream reports. For that no extension
//! is offered to the upstream: what is metered must be readable.

pub(crate) mod frames;
pub mod tunnel;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Version};

use self::tunnel::Tunnel;

/// What comes before a key in a subprotocol, where a browser has no other place for it.
const KEY: &str = "openai-insecure-api-key.";

/// Subprotocols that tell of credentials and accounts.
const PRIVATE: [&str; 3] = [KEY, "openai-organization.", "openai-project."];

/// The one version there is.
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Bytes of the key of a handshake, decoded.
const NONCE: usize = 16;

/// Whether `head` asks for a websocket. Some runtimes hide what is said of the connection, so the handshake's own
/// header counts as well.
fn is_asked(head: &Parts) -> bool {
    head.method == Method::GET
        && (head.headers.contains_key(header::SEC_WEBSOCKET_KEY)
            || names(&head.headers, header::UPGRADE, "websocket"))
}

/// The same, on a path where one is relayed. `suffix` is what stands behind `/v1`.
pub(crate) fn is_relayed(head: &Parts, suffix: &str) -> bool {
    is_asked(head) && suffix.split('/').nth(1) == Some("realtime")
}

/// What is wrong with a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFault {
    Broken {
        problem: &'static str,
    },
    /// It asks for a version that nobody speaks.
    Version,
}

/// Refuses a handshake that is none (RFC 6455, 4.2.1).
pub(crate) fn check(head: &Parts) -> Result<(), HandshakeFault> {
    let broken = |problem| Err(HandshakeFault::Broken { problem });
    let headers = &head.headers;
    if head.version != Version::HTTP_11 {
        return broken("it is opened on HTTP/1.1, and on no other version");
    }
    if !names(headers, header::UPGRADE, "websocket") || !names(headers, header::CONNECTION, "upgrade") {
        return broken("its handshake says 'Connection: Upgrade' and 'Upgrade: websocket'");
    }
    let the_only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if the_only(header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(HandshakeFault::Version);
    }
    let nonce = the_only(header::SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key.as_bytes()).ok());
    if nonce.is_none_or(|nonce| nonce.len() != NONCE) {
        return broken("its handshake has one Sec-WebSocket-Key, 16 bytes in base64");
    }
    Ok(())
}

/// Whether one of the words of a header, which are told apart by commas, is `word`.
fn names(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    words(headers, name).any(|found| found.eq_ignore_ascii_case(word))
}

fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    words(headers, header::SEC_WEBSOCKET_PROTOCOL)
}

/// The keys that a browser sends, which should be one.
pub(crate) fn keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let protocols = protocols(headers).filter(|_| headers.contains_key(header::SEC_WEBSOCKET_KEY));
    protocols.filter_map(|protocol| protocol.strip_prefix(KEY)).filter(|key| !key.is_empty())
}

/// Takes out of a handshake what ends here: keys and accounts among the subprotocols, and the offer to compress.
pub(crate) fn take_private(headers: &mut HeaderMap) {
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return;
    }
    let is_private = |protocol: &&str| PRIVATE.iter().any(|private| protocol.starts_with(private));
    let kept: Vec<&str> = protocols(headers).filter(|protocol| !is_private(protocol)).collect();
    let kept = HeaderValue::try_from(kept.join(", ")).ok().filter(|kept| !kept.is_empty());
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if let Some(kept) = kept {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, kept);
    }
}

/// Says that the connection is to be, or has been, switched.
pub(crate) fn tell_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether an upstream that says so has switched to this protocol.
pub(crate) fn is_switched(headers: &HeaderMap) -> bool {
    names(headers, header::UPGRADE, "websocket") && headers.contains_key(header::SEC_WEBSOCKET_ACCEPT)
}

/// An upstream's word on a handshake.
pub enum Upgraded<D> {
    /// It has not switched: its answer.
    Not(http::Response<D>),
    Switched(http::Response<()>, Tunnel),
}

impl<D> fmt::Debug for Upgraded<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self {
            Self::Not(answer) => answer.status(),
            Self::Switched(answer, _) => answer.status(),
        };
        f.debug_tuple("Upgraded").field(&status).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;
    use crate::refusal::Refusal;

    fn handshake(change: impl FnOnce(&mut Parts)) -> Parts {
        let headers = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut head = Request::new(()).into_parts().0;
        for (name, value) in headers {
            head.headers.insert(name, HeaderValue::from_static(value));
        }
        change(&mut head);
        head
    }

    #[test]
    fn a_handshake_is_whole_or_refused() {
        let set = |name: &'static str, value: &'static str| {
            handshake(|head| drop(head.headers.insert(name, HeaderValue::from_static(value))))
        };
        for (label, head, expected) in [
            ("whole", handshake(|_| {}), None),
            ("no upgrade", handshake(|head| drop(head.headers.remove("upgrade"))), Some(400)),
            ("another upgrade", set("upgrade", "h2c"), Some(400)),
            ("kept alive", set("connection", "keep-alive"), Some(400)),
            ("an older version", set("sec-websocket-version", "8"), Some(426)),
            ("no version", handshake(|head| drop(head.headers.remove("sec-websocket-version"))), Some(426)),
            ("no key", handshake(|head| drop(head.headers.remove("sec-websocket-key"))), Some(400)),
            ("a short key", set("sec-websocket-key", "AAAA"), Some(400)),
            ("a key that is none", set("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ!!"), Some(400)),
            (
                "two keys",
                handshake(|head| {
                    let key = head.headers["sec-websocket-key"].clone();
                    head.headers.append("sec-websocket-key", key);
                }),
                Some(400),
            ),
            ("HTTP/2", handshake(|head| head.version = Version::HTTP_2), Some(400)),
        ] {
            assert!(is_asked(&head), "{label}");
            let status = check(&head).err().map(|fault| Refusal::from(fault).status());
            assert_eq!(status, expected.map(|status| StatusCode::from_u16(status).unwrap()), "{label}");
        }
        assert!(!is_asked(&handshake(|head| head.method = Method::POST)));
        assert!(!is_asked(&Request::new(()).into_parts().0));
    }

    #[test]
    fn an_upstream_is_offered_no_extension() {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
        take_private(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_key_in_a_subprotocol_is_read_and_not_sent_on() {
        let mut headers = HeaderMap::new();
        let value = "realtime, openai-insecure-api-key.sk-1,openai-organization.o, openai-beta.realtime-v1";
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
        assert_eq!(keys(&headers).next(), None, "it is no websocket");
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("x"));
        assert_eq!(keys(&headers).collect::<Vec<_>>(), ["sk-1"]);
        take_private(&mut headers);
        assert_eq!(headers[header::SEC_WEBSOCKET_PROTOCOL], "realtime, openai-beta.realtime-v1");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("openai-insecure-api-key.x"));
        take_private(&mut headers);
        assert!(!headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL));
    }
}

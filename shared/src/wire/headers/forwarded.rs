//! Which headers of a client go upstream: a short list of what the APIs document, and what an operator adds for an
//! upstream. All else stays here, so that nothing reaches an upstream, and changes its answer, that the key of a kept
//! or shared answer does not know: both are made from the same [`AllowedHeaders`].

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::connection_options;
use super::names::{HeaderNames, Never};
use crate::wire::websocket;

/// Request headers that `OpenAI`'s and Anthropic's APIs document and that say how a request is to be understood.
const DOCUMENTED: &[&str] = &["anthropic-beta", "anthropic-version", "openai-beta"];

/// Request headers that go upstream under no list: credentials and accounts, addresses, what belongs to the
/// connection or to the gateway, other methods and other paths, and parts of an answer.
pub(crate) const NEVER_FORWARDED: Never = Never {
    names: &[
        "accept",
        "accept-encoding",
        "api-key",
        "authorization",
        "baggage",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "cookie2",
        "expect",
        "forwarded",
        "host",
        "idempotency-key",
        "if-range",
        "openai-organization",
        "openai-project",
        "origin",
        "range",
        "referer",
        "traceparent",
        "tracestate",
        "true-client-ip",
        "via",
        "x-api-key",
        "x-client-ip",
        "x-goog-api-key",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-real-ip",
        "x-request-id",
        "x-rewrite-url",
    ],
    prefixes: &["cf-connecting-", "sec-", "x-forwarded-", "x-weir-"],
};

/// What the gateway says of itself.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION")));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client's headers that may go to one of the upstreams that a call can reach.
#[derive(Clone)]
pub(crate) struct AllowedHeaders(HeaderMap);

impl AllowedHeaders {
    /// `lists` are those upstreams' own.
    pub(crate) fn of(client: &HeaderMap, lists: &[&HeaderNames]) -> Self {
        let named = connection_options(client);
        let is_allowed = |name: &str| {
            !NEVER_FORWARDED.has(name)
                && !named.iter().any(|option| option == name)
                && (DOCUMENTED.contains(&name) || lists.iter().any(|list| list.has(name)))
        };
        let mut allowed = HeaderMap::new();
        for (name, value) in client {
            if is_allowed(name.as_str()) {
                allowed.append(name.clone(), value.clone());
            }
        }
        Self(allowed)
    }

    /// Those that go to the one upstream whose list this is.
    pub(crate) fn toward(&self, list: &HeaderNames) -> HeaderMap {
        Self::of(&self.0, &[list]).0
    }

    pub(crate) fn as_map(&self) -> &HeaderMap {
        &self.0
    }
}

/// How a request's own headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// By the gateway, which has read the body and knows the answer's form.
    Anew,
    /// As the client says: the gateway does not know the body, nor the answer that is wanted.
    AsSent,
}

/// The headers that the gateway writes itself, beside the [`AllowedHeaders`].
pub(crate) fn own(client: &HeaderMap, written: Written) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    match written {
        Written::Anew => {
            headers.insert(header::CONTENT_TYPE, JSON);
            headers.insert(header::ACCEPT, JSON);
        }
        Written::AsSent => {
            copy(client, &header::CONTENT_TYPE, &mut headers);
            copy(client, &header::ACCEPT, &mut headers);
        }
    }
    // What is metered must be readable, and nobody here gains from a second compression.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers
}

/// What a handshake of a websocket says, but for what ends here.
pub(crate) fn tell_handshake(client: &HeaderMap, headers: &mut HeaderMap) {
    for name in [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_PROTOCOL] {
        copy(client, &name, headers);
    }
    websocket::take_private(headers);
    websocket::tell_upgrade(headers);
}

fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    for value in from.get_all(name) {
        to.append(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::map;
    use super::*;
    use crate::cache::fingerprint;

    fn list(patterns: &[&str]) -> HeaderNames {
        let mut names = HeaderNames::default();
        for pattern in patterns {
            names.add(pattern, &NEVER_FORWARDED).unwrap();
        }
        names
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn nothing_goes_upstream_that_no_list_names() {
        let client = map(&[
            ("authorization", "Bearer sk-canary"),
            ("api-key", "canary"),
            ("x-api-key", "canary"),
            ("cookie", "canary=1"),
            ("x-forwarded-for", "canary"),
            ("x-portkey-config", "canary"),
            ("helicone-auth", "canary"),
            ("cf-aig-authorization", "canary"),
            ("x-http-method-override", "DELETE"),
            ("x-original-url", "/canary"),
            ("baggage", "canary"),
            ("range", "bytes=0-1"),
            ("x-stainless-lang", "python"),
            ("user-agent", "canary"),
            ("accept-language", "xx"),
            ("connection", "close, anthropic-beta"),
            ("anthropic-beta", "canary"),
            ("openai-beta", "assistants=v2"),
        ]);
        assert_eq!(names(&AllowedHeaders::of(&client, &[]).0), ["openai-beta"]);
        let lists = [&list(&["x-stainless-*"]), &list(&["x-other", "user-agent"])];
        let allowed = AllowedHeaders::of(&client, &lists);
        assert_eq!(names(&allowed.0), ["x-stainless-lang", "user-agent", "openai-beta"]);
        assert_eq!(names(&allowed.toward(lists[0])), ["x-stainless-lang", "openai-beta"]);
    }

    #[test]
    fn what_a_call_that_is_understood_is_sent_with_is_the_gateways_own() {
        let client = map(&[("content-type", "application/json; charset=utf-7"), ("accept", "text/html")]);
        let anew = own(&client, Written::Anew);
        assert_eq!((&anew["content-type"], &anew["accept"]), (&JSON, &JSON));
        let as_sent = own(&client, Written::AsSent);
        assert_eq!(as_sent["content-type"], "application/json; charset=utf-7");
        assert_eq!(as_sent["accept"], "text/html");
        assert_eq!(as_sent["user-agent"], USER_AGENT);
    }

    fn client() -> impl Strategy<Value = HeaderMap> {
        let name = prop_oneof![
            proptest::sample::select(DOCUMENTED.to_vec()).prop_map(ToOwned::to_owned),
            proptest::sample::select(NEVER_FORWARDED.names.to_vec()).prop_map(ToOwned::to_owned),
            proptest::sample::select(vec!["connection", "user-agent", "x-forwarded-for"])
                .prop_map(ToOwned::to_owned),
            "x-[jk]{1,2}",
        ];
        let value = prop_oneof!["[a-c]{0,2}", "x-[jk]{1,2}", Just("openai-beta".to_owned())];
        proptest::collection::vec((name, value), 0..8).prop_map(|entries| {
            let mut headers = HeaderMap::new();
            for (name, value) in entries {
                let name = HeaderName::try_from(name).unwrap();
                headers.append(name, HeaderValue::try_from(value).unwrap());
            }
            headers
        })
    }

    fn lists() -> impl Strategy<Value = Vec<HeaderNames>> {
        let pattern = prop_oneof!["x-[jk]{1,2}", "x-[jk]\\*", Just("user-agent".to_owned())];
        let one = proptest::collection::vec(pattern, 0..3);
        let one = one.prop_map(|patterns| list(&patterns.iter().map(String::as_str).collect::<Vec<_>>()));
        proptest::collection::vec(one, 1..3)
    }

    /// What one upstream of a route is sent with an understood call.
    fn sent(client: &HeaderMap, lists: &[&HeaderNames], to: &HeaderNames) -> Vec<(String, Vec<u8>)> {
        let mut headers = own(client, Written::Anew);
        headers.extend(AllowedHeaders::of(client, lists).toward(to));
        let mut fields: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        // Fields of one name keep their order.
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields
    }

    proptest! {
        #[test]
        fn calls_with_one_key_are_sent_alike_to_every_upstream(
            a in client(), b in client(), lists in lists(),
        ) {
            let lists: Vec<&HeaderNames> = lists.iter().collect();
            let key = |client| fingerprint::of_headers(&AllowedHeaders::of(client, &lists));
            let mut is_alike = true;
            for to in &lists {
                is_alike &= sent(&a, &lists, to) == sent(&b, &lists, to);
            }
            prop_assert_eq!(key(&a) == key(&b), is_alike);
        }

        #[test]
        fn no_list_lets_through_what_never_goes(client in client(), lists in lists()) {
            let lists: Vec<&HeaderNames> = lists.iter().collect();
            let allowed = AllowedHeaders::of(&client, &lists);
            prop_assert!(allowed.0.keys().all(|name| !NEVER_FORWARDED.has(name.as_str())));
        }
    }
}

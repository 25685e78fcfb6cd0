//! Which headers of an upstream go to the client: a short list, and what an operator adds for an upstream. A value that
//! has a credential in it goes nowhere.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};

use super::names::{HeaderNames, Never};
use super::{connection_options, retry_after};
use crate::time::UnixMillis;
use crate::wire::redact::Redactor;

/// What an answer says of its body, and the versions and limits that clients read.
const DOCUMENTED: &[&str] = &[
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "openai-version",
    "sec-websocket-accept",
    "sec-websocket-protocol",
];

/// Limits that a client of Anthropic's waits by.
const DOCUMENTED_PREFIX: &str = "anthropic-ratelimit-unified-";

/// Response headers that reach a client under no list: cookies and orders to a browser or a proxy, ways past the
/// gateway, the gateway's account, and what the gateway says itself.
pub(crate) const NEVER_RETURNED: Never = Never {
    names: &[
        "age",
        "alt-svc",
        "authorization",
        "clear-site-data",
        "content-location",
        "host",
        "location",
        "nel",
        "openai-organization",
        "openai-processing-ms",
        "openai-project",
        "operation-location",
        "refresh",
        "report-to",
        "reporting-endpoints",
        "retry-after",
        "retry-after-ms",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "traceparent",
        "via",
        "www-authenticate",
        "x-cache",
        "x-request-id",
        "x-sendfile",
        "x-should-retry",
    ],
    prefixes: &["access-control-", "x-accel-", "x-ratelimit-", "x-weir-"],
};

/// Longest wait that a client is told.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// What becomes of an upstream's headers on their way to the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned<'a> {
    /// The upstream's own list.
    pub(crate) list: &'a HeaderNames,
    pub(crate) redactor: &'a Redactor,
    pub(crate) now: UnixMillis,
}

impl Returned<'_> {
    /// An upstream's headers as they go to the client.
    pub(crate) fn toward_client(&self, upstream: &HeaderMap) -> HeaderMap {
        let named = connection_options(upstream);
        let mut to = HeaderMap::with_capacity(upstream.len() + 4);
        for (name, value) in upstream {
            let text = name.as_str();
            let is_listed =
                DOCUMENTED.contains(&text) || text.starts_with(DOCUMENTED_PREFIX) || self.list.has(text);
            let stays = NEVER_RETURNED.has(text) || named.iter().any(|option| option == text);
            if is_listed && !stays && !self.redactor.is_in(value.as_bytes()) {
                to.append(name.clone(), value.clone());
            }
        }
        if let Some(wait) = retry_after::named(upstream, self.now) {
            let millis = u64::try_from(wait.min(LONGEST_RETRY_AFTER).as_millis()).unwrap_or(u64::MAX);
            to.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
            to.insert("retry-after-ms", HeaderValue::from(millis));
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::super::tests::map;
    use super::*;
    use crate::secret::Secret;

    const SECRET: &str = "sk-canary-0123456789";

    fn returned(upstream: &HeaderMap, patterns: &[&str]) -> HeaderMap {
        let mut list = HeaderNames::default();
        for pattern in patterns {
            list.add(pattern, &NEVER_RETURNED).unwrap();
        }
        let redactor = Redactor::new(&[Secret::new(SECRET)]);
        Returned { list: &list, redactor: &redactor, now: UnixMillis(0) }.toward_client(upstream)
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn an_upstreams_own_affairs_end_at_the_gateway() {
        let upstream = map(&[
            ("content-type", "application/json"),
            ("set-cookie", "a=1"),
            ("location", "http://inside/canary"),
            ("x-accel-redirect", "/canary"),
            ("clear-site-data", "*"),
            ("refresh", "0; url=http://canary"),
            ("x-ratelimit-limit-requests", "1"),
            ("x-model-region", "eu"),
            ("cache-control", "public"),
            ("connection", "x-own"),
            ("x-own", "canary"),
            ("openai-version", "2020-10-01"),
            ("anthropic-ratelimit-unified-status", "allowed"),
        ]);
        let documented = ["content-type", "openai-version", "anthropic-ratelimit-unified-status"];
        assert_eq!(names(&returned(&upstream, &[])), documented);
        assert!(names(&returned(&upstream, &["x-model-*", "x-own"])).contains(&"x-model-region"));
        assert!(!names(&returned(&upstream, &["x-own"])).contains(&"x-own"));
    }

    #[test]
    fn a_value_with_the_credential_in_it_is_dropped() {
        let quoted = HeaderValue::try_from(format!("attachment; filename=\"{SECRET}\"")).unwrap();
        let mut upstream = map(&[("content-type", "text/plain")]);
        upstream.insert("content-disposition", quoted);
        assert_eq!(names(&returned(&upstream, &[])), ["content-type"]);
    }

    #[test]
    fn a_wait_is_told_in_both_forms_and_is_no_longer_than_a_minute() {
        for (name, value, expected) in [
            ("retry-after", "2", Some(("2", "2000"))),
            ("retry-after", "86400", Some(("60", "60000"))),
            ("retry-after", "Thu, 01 Jan 1970 00:00:05 GMT", Some(("5", "5000"))),
            ("retry-after-ms", "1500", Some(("2", "1500"))),
            ("retry-after", "tomorrow", None),
            ("retry-after", "-1", None),
        ] {
            let told = returned(&map(&[(name, value)]), &[]);
            let told = told.get("retry-after").zip(told.get("retry-after-ms"));
            let told = told.map(|(seconds, millis)| (seconds.to_str().unwrap(), millis.to_str().unwrap()));
            assert_eq!(told, expected, "{name}: {value}");
        }
    }
}

//! Which web pages may call from a browser (the Fetch standard, "CORS protocol").
//!
//! A browser lets a page of another origin read an answer only if the answer says so. Nothing is said unless the
//! configuration names origins, and of an origin that it does not name nothing is said either. Credentials that a
//! browser adds by itself are never allowed: a page shows its key in a header. What an operator asks is not for pages.

use std::iter;

use http::header::{
    self, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::wire::pack::packed;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// For whoever does not say what it is going to send.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");

/// What pages may read beside what they always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, openai-processing-ms, openai-version, retry-after, retry-after-ms, x-should-retry, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
     x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, \
     x-cache, x-weir-degraded, x-weir-explain, idempotent-replayed, traceparent, age, warning",
);

/// An hour, in seconds: so long a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// Bytes of the names of headers that a page announces; with more of them nothing is allowed.
const LONGEST_HEADERS: usize = 4096;

/// The origins whose pages may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    pub origins: Vec<Origin>,
}

packed!(struct Cors { origins });

/// Where pages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Anywhere.
    Any,
    /// As browsers send it: `https://app.example`.
    Exact(String),
    /// `http://localhost`, at whatever port.
    AnyPort(String),
}

packed!(enum Origin { 0 => Any, 1 => Exact(origin), 2 => AnyPort(origin) });

/// What is wrong with an origin, and what to write in its place.
pub(crate) type Wrong = (&'static str, &'static str);

impl Origin {
    /// Reads `*`, or a scheme, a host and a port that may be `*`, spelled as browsers send them.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let form = "write it as browsers send it: \"https://app.example\" or \"http://localhost:3000\"";
        let Some((scheme, rest)) = text.split_once("://").filter(|(_, rest)| !rest.is_empty()) else {
            return Err(("not an origin", form));
        };
        let is_scheme =
            scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
        if rest.contains(['/', '?', '#', '@']) {
            return Err(("an origin is a scheme, a host and a port, and nothing behind", form));
        }
        let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        let is_host = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._[]:".contains(&b);
        if scheme.is_empty() || !is_scheme || host.is_empty() || !host.bytes().all(is_host) {
            return Err(("not an origin", form));
        }
        match (scheme, port) {
            (_, None) => Ok(Self::Exact(text.to_owned())),
            (_, Some("*")) => Ok(Self::AnyPort(format!("{scheme}://{host}"))),
            ("http", Some("80")) | ("https", Some("443")) => {
                Err(("browsers leave out the port that is usual for the scheme", "leave it out"))
            }
            (_, Some(port)) if port.parse::<u16>().is_ok_and(|number| number.to_string() == port) => {
                Ok(Self::Exact(text.to_owned()))
            }
            (_, Some(_)) => Err(("the port is a number, or \"*\" for any", form)),
        }
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == origin,
            Self::AnyPort(base) => match origin.strip_prefix(base.as_str()) {
                Some("") => true,
                Some(port) => port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
                None => false,
            },
        }
    }
}

/// What an answer to one request says to the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The origin that may read it; `None` where none may.
    origin: Option<HeaderValue>,
    /// For an answer to a preflight.
    preflight: Option<Preflight>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Preflight {
    headers: HeaderValue,
}

impl Cors {
    /// Whether a page of `origin` may call.
    pub(crate) fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().ok();
        origin.is_some_and(|origin| self.origins.iter().any(|allowed| allowed.matches(origin)))
    }

    pub(crate) fn grant(&self, head: &Parts) -> Grant {
        let mut origins = head.headers.get_all(header::ORIGIN).iter();
        let (Some(asks), None) = (origins.next(), origins.next()) else {
            return Grant { origin: self.anyone(), preflight: None };
        };
        let origin = self.anyone().or_else(|| self.allows(asks).then(|| asks.clone()));
        let asks_first =
            head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let headers = origin.is_some().then(|| allowed_headers(&head.headers)).flatten();
        let preflight = headers.filter(|_| asks_first).map(|headers| Preflight { headers });
        Grant { origin, preflight }
    }

    /// What is said to anyone alike.
    fn anyone(&self) -> Option<HeaderValue> {
        self.origins.contains(&Origin::Any).then(|| HeaderValue::from_static("*"))
    }
}

/// The headers that a page says it is going to send; `None` where they are no names, or too many.
fn allowed_headers(asked: &HeaderMap) -> Option<HeaderValue> {
    let mut asked = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let (Some(names), None) = (asked.next(), asked.next()) else { return Some(HEADERS) };
    let is_name = |name: &str| HeaderName::from_bytes(name.trim().as_bytes()).is_ok();
    let text = names.to_str().ok().filter(|text| text.len() <= LONGEST_HEADERS)?;
    text.split(',').all(is_name).then(|| names.clone())
}

impl Grant {
    /// Whether the request asks for this alone, and may be told.
    pub(crate) fn answers_preflight(&self) -> bool {
        self.preflight.is_some()
    }

    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        let Self { origin, preflight } = self;
        // Where origins are told apart, whoever keeps the answer must do so as well.
        if origin.as_ref().is_none_or(|origin| origin != "*") {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        match preflight {
            None => {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
            Some(Preflight { headers: names }) => {
                headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
                let told = [(ACCESS_CONTROL_ALLOW_METHODS, METHODS), (ACCESS_CONTROL_MAX_AGE, MAX_AGE)];
                headers.extend(told.into_iter().chain(iter::once((ACCESS_CONTROL_ALLOW_HEADERS, names))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        Cors { origins: origins.iter().map(|text| Origin::parse(text).unwrap()).collect() }
    }

    fn told(cors: &Cors, method: &Method, headers: &[(&'static str, &str)]) -> (bool, HeaderMap) {
        let mut request = http::Request::new(());
        *request.method_mut() = method.clone();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        let grant = cors.grant(&request.into_parts().0);
        let mut headers = HeaderMap::new();
        let answers = grant.answers_preflight();
        grant.tell(&mut headers);
        assert!(!headers.contains_key("access-control-allow-credentials"));
        (answers, headers)
    }

    #[test]
    fn an_origin_is_spelled_as_browsers_send_it() {
        let exact = |text: &str| Ok(Origin::Exact(text.to_owned()));
        for good in [
            "https://app.example",
            "http://localhost:3000",
            "http://[::1]",
            "http://[::1]:8080",
            "tauri://localhost",
            "chrome-extension://abcdef",
        ] {
            assert_eq!(Origin::parse(good), exact(good), "{good}");
        }
        assert_eq!(Origin::parse("*"), Ok(Origin::Any));
        assert_eq!(Origin::parse("http://localhost:*"), Ok(Origin::AnyPort("http://localhost".into())));
        for bad in [
            "",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/x",
            "https://App.example",
            "HTTPS://app.example",
            "https://*.example",
            "https://user@app.example",
            "https://app.example:443",
            "http://app.example:80",
            "http://app.example:080",
            "http://app.example:99999",
            "http://app.example:",
            "https://app.example?x",
            "://app.example",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_origins_that_are_named_are_told() {
        let cors = cors(&["https://app.example", "http://localhost:*"]);
        for (origin, is_told) in [
            ("https://app.example", true),
            ("http://localhost", true),
            ("http://localhost:5173", true),
            ("http://localhost:", false),
            ("http://localhost:5173.evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://app.example", false),
            ("https://app.example.evil.example", false),
            ("https://app.example:8443", false),
            ("null", false),
            ("*", false),
        ] {
            let (_, headers) = told(&cors, &Method::POST, &[("origin", origin)]);
            assert_eq!(
                headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|told| told == origin),
                is_told,
                "{origin}"
            );
            assert_eq!(headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS), is_told, "{origin}");
            assert_eq!(headers[header::VARY], "origin", "{origin}");
        }
        let (_, headers) = told(&cors, &Method::POST, &[]);
        assert_eq!((headers.len(), &headers[header::VARY]), (1, &HeaderValue::from_static("origin")));
        let twice = [("origin", "https://app.example"), ("origin", "https://app.example")];
        assert_eq!(told(&cors, &Method::POST, &twice).1.len(), 1);
    }

    #[test]
    fn a_preflight_is_answered_for_what_it_asks() {
        let cors = cors(&["https://app.example"]);
        let origin = ("origin", "https://app.example");
        let method = ("access-control-request-method", "POST");
        let many = "x-a,".repeat(2000) + "x-a";
        for (headers, allowed) in [
            (&[origin, method][..], Some("authorization, content-type")),
            (&[origin, method, ("access-control-request-headers", "a,x-b")], Some("a,x-b")),
            (&[origin, method, ("access-control-request-headers", "a, x b")], None),
            (&[origin, method, ("access-control-request-headers", &many)], None),
            (&[origin], None),
            (&[method], None),
            (&[("origin", "https://evil.example"), method], None),
        ] {
            let (answers, headers) = told(&cors, &Method::OPTIONS, headers);
            assert_eq!(answers, allowed.is_some());
            assert_eq!(
                headers.get(ACCESS_CONTROL_ALLOW_HEADERS).map(|names| names.to_str().unwrap()),
                allowed
            );
        }
        let (answers, _) = told(&cors, &Method::POST, &[origin, method]);
        assert!(!answers, "it is no preflight");
    }

    #[test]
    fn anyone_is_told_alike() {
        let cors = cors(&["*"]);
        for headers in [&[][..], &[("origin", "https://a.example")], &[("origin", "null")]] {
            let (_, headers) = told(&cors, &Method::POST, headers);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(!headers.contains_key(header::VARY));
        }
    }
}

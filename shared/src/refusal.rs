//! Every answer that is an error: whose fault it is, its status, its headers and its words. `dialect` writes it down.
//!
//! A variant says whose fault it is and whether asking again can help. Messages name what the caller sent or
//! did, never an upstream's address, a credential or a prompt.

mod cause;
mod cut_json;
mod rejection;
mod upstream_error;
mod wording;

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

pub(crate) use self::cause::Cause;
pub use self::rejection::Rejection;
pub(crate) use self::upstream_error::{LARGEST_ERROR, UpstreamError};
use crate::limits::account::{Denied, Measure};
use crate::limits::admission::Full;
use crate::limits::rate::Denial;
use crate::secret::Secret;
use crate::wire::websocket::{self, HandshakeFault};

/// Why a request is not answered with what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    // The caller's own doing: asking again without a change is useless.
    InvalidJson {
        problem: String,
    },
    InvalidParameter {
        param: String,
        problem: String,
    },
    TooDeep {
        limit: u32,
    },
    TooLarge {
        limit: u64,
    },
    UnsupportedMedia {
        problem: String,
    },
    Ambiguous {
        problem: &'static str,
    },
    TooSlow,
    NoKey,
    WrongKey {
        shown: String,
    },
    KeyInQuery {
        param: String,
    },
    /// A gateway without keys answers to names of this machine only: a web page can make a name of its own
    /// lead here (DNS rebinding), and its visitors' browsers would then call.
    ForeignHost {
        host: String,
    },
    ModelNotFound {
        model: String,
    },
    /// Nothing opens it.
    NoPassthrough {
        method: Method,
        path: String,
    },
    /// It names an object that its tenant has not: another's, or none.
    NoSuchObject {
        /// `None` where it names several.
        id: Option<String>,
    },
    /// Whose the objects are that it names cannot be found out.
    OwnersUnknown,
    /// Its key may not use this of what is passed through.
    NotGranted {
        path: String,
    },
    /// It lists, ends or administers what others may have made in an account of all.
    SharedAccount {
        method: Method,
        path: String,
    },
    /// What it names no model for may reach one that its key may not use.
    NamesNoModel {
        path: String,
    },
    /// A page of this origin may not call where no key is asked for.
    ForeignOrigin {
        origin: String,
    },
    /// What it asks for is shown to operators.
    ForOperators,
    /// The runtime cannot relay one.
    NoWebSocket,
    /// Its handshake is none.
    BrokenWebSocket {
        problem: &'static str,
    },
    /// It asks for a version that nobody speaks.
    WebSocketVersion,
    UnknownPath {
        method: Method,
        path: String,
    },
    WrongMethod {
        method: Method,
        path: String,
        allow: &'static str,
    },
    // The operator's.
    NoBreaker {
        name: String,
        /// Some that there are.
        known: String,
    },
    TooManyOverrides {
        most: usize,
    },
    /// The upstream's error in its own words, rebuilt: mostly its verdict on the caller's request.
    Rejected(Box<Rejection>),
    /// A fault of ours.
    Internal,
    /// The configuration has faults, and there is no other to go by.
    Unconfigured,
    // The upstream's: asking again may help.
    /// A limit of the gateway's own.
    Limited {
        model: String,
        denied: Denied,
    },
    RateLimited {
        model: String,
        retry_after: Option<Duration>,
        attempts_used: bool,
        /// The upstream's own words for it.
        told: Option<Box<Rejection>>,
    },
    UpstreamFailed {
        problem: &'static str,
    },
    /// An event of the upstream's answer, or its whole answer, is larger than the gateway takes.
    AnswerTooLarge {
        what: &'static str,
    },
    NoUpstream {
        retry_after: Duration,
    },
    /// Too many calls at the same time.
    Overloaded {
        retry_after: Duration,
    },
    /// The connections that there may be to an upstream carry all they can.
    ConnectionsBusy,
    /// The gateway's process or machine is out of what a connection needs.
    Exhausted {
        of: &'static str,
    },
    /// No more of its body is read: what is held of bodies already is as much as may be.
    BuffersFull {
        full: Full,
    },
    /// The store that counts cannot be reached, and a limit says that nothing is let through then.
    StoreLost,
    /// The process ends.
    GoingAway,
    /// The client wanted nothing but what is kept.
    NotCached,
    /// Its `Idempotency-Key` was used for another request.
    IdempotencyConflict,
    /// The first request with its `Idempotency-Key` has not been answered yet.
    StillRunning,
    DeadlinePassed {
        waited: Duration,
    },
    Stalled {
        waited: Duration,
    },
}

impl From<HandshakeFault> for Refusal {
    fn from(fault: HandshakeFault) -> Self {
        match fault {
            HandshakeFault::Broken { problem } => Self::BrokenWebSocket { problem },
            HandshakeFault::Version => Self::WebSocketVersion,
        }
    }
}

/// Retry-After is never longer than clients are known to wait.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// What is over in a moment.
const SHORTLY: Duration = Duration::from_secs(1);

impl Refusal {
    pub(crate) const EVENT_TOO_LARGE: Self =
        Self::AnswerTooLarge { what: "one of its events is beyond `max_event`" };

    pub const fn status(&self) -> StatusCode {
        match self {
            Self::InvalidJson { .. }
            | Self::InvalidParameter { .. }
            | Self::TooDeep { .. }
            | Self::BrokenWebSocket { .. }
            | Self::Ambiguous { .. } => StatusCode::BAD_REQUEST,
            Self::NoKey | Self::WrongKey { .. } | Self::KeyInQuery { .. } => StatusCode::UNAUTHORIZED,
            Self::ForeignHost { .. }
            | Self::ForeignOrigin { .. }
            | Self::ForOperators
            | Self::NotGranted { .. }
            | Self::SharedAccount { .. }
            | Self::NamesNoModel { .. } => StatusCode::FORBIDDEN,
            Self::NoWebSocket => StatusCode::NOT_IMPLEMENTED,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::ModelNotFound { .. }
            | Self::NoPassthrough { .. }
            | Self::NoSuchObject { .. }
            | Self::UnknownPath { .. }
            | Self::NoBreaker { .. } => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Rejected(rejection) => rejection.status,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Limited { .. } | Self::RateLimited { .. } | Self::BuffersFull { full: Full::Share } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::UpstreamFailed { .. } | Self::AnswerTooLarge { .. } => StatusCode::BAD_GATEWAY,
            Self::NoUpstream { .. }
            | Self::Overloaded { .. }
            | Self::ConnectionsBusy
            | Self::Exhausted { .. }
            | Self::BuffersFull { full: Full::Process }
            | Self::StoreLost
            | Self::GoingAway
            | Self::OwnersUnknown
            | Self::Unconfigured => StatusCode::SERVICE_UNAVAILABLE,
            Self::IdempotencyConflict | Self::StillRunning | Self::TooManyOverrides { .. } => {
                StatusCode::CONFLICT
            }
            Self::DeadlinePassed { .. } | Self::Stalled { .. } | Self::NotCached => {
                StatusCode::GATEWAY_TIMEOUT
            }
        }
    }

    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Rejected(told) | Self::RateLimited { told: Some(told), .. } => &told.kind,
            Self::Limited { denied: Denied { measure: Measure::Tokens(_), .. }, .. } => "tokens",
            Self::Limited { .. } | Self::RateLimited { .. } | Self::BuffersFull { full: Full::Share } => {
                "requests"
            }
            Self::Internal
            | Self::UpstreamFailed { .. }
            | Self::AnswerTooLarge { .. }
            | Self::NoUpstream { .. }
            | Self::Overloaded { .. }
            | Self::ConnectionsBusy
            | Self::Exhausted { .. }
            | Self::BuffersFull { full: Full::Process }
            | Self::StoreLost
            | Self::GoingAway
            | Self::OwnersUnknown
            | Self::Unconfigured => "server_error",
            Self::DeadlinePassed { .. } | Self::Stalled { .. } => "timeout_error",
            Self::InvalidJson { .. }
            | Self::InvalidParameter { .. }
            | Self::TooDeep { .. }
            | Self::TooLarge { .. }
            | Self::UnsupportedMedia { .. }
            | Self::Ambiguous { .. }
            | Self::TooSlow
            | Self::NoKey
            | Self::WrongKey { .. }
            | Self::KeyInQuery { .. }
            | Self::ForeignHost { .. }
            | Self::ModelNotFound { .. }
            | Self::NoPassthrough { .. }
            | Self::NoSuchObject { .. }
            | Self::NotGranted { .. }
            | Self::SharedAccount { .. }
            | Self::NamesNoModel { .. }
            | Self::ForeignOrigin { .. }
            | Self::ForOperators
            | Self::BrokenWebSocket { .. }
            | Self::WebSocketVersion
            | Self::NoWebSocket
            | Self::UnknownPath { .. }
            | Self::WrongMethod { .. }
            | Self::NoBreaker { .. }
            | Self::TooManyOverrides { .. }
            | Self::NotCached
            | Self::IdempotencyConflict
            | Self::StillRunning => "invalid_request_error",
        }
    }

    /// The machine-readable word for it, as clients know it.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::InvalidJson { .. } | Self::TooDeep { .. } => Some("invalid_json"),
            Self::InvalidParameter { .. } => Some("invalid_value"),
            Self::TooLarge { .. } => Some("request_too_large"),
            Self::TooSlow | Self::DeadlinePassed { .. } | Self::Stalled { .. } => Some("request_timeout"),
            Self::WrongKey { .. } => Some("invalid_api_key"),
            Self::ForeignHost { .. }
            | Self::ForeignOrigin { .. }
            | Self::ForOperators
            | Self::NotGranted { .. }
            | Self::SharedAccount { .. }
            | Self::NamesNoModel { .. } => Some("permission_denied"),
            Self::ModelNotFound { .. } => Some("model_not_found"),
            Self::NoBreaker { .. } => Some("breaker_not_found"),
            Self::TooManyOverrides { .. } => Some("too_many_overrides"),
            Self::Rejected(told) | Self::RateLimited { told: Some(told), .. } => told.code.as_deref(),
            Self::Limited { .. } | Self::RateLimited { .. } | Self::BuffersFull { full: Full::Share } => {
                Some("rate_limit_exceeded")
            }
            Self::UpstreamFailed { .. } => Some("upstream_error"),
            Self::AnswerTooLarge { .. } => Some("answer_too_large"),
            Self::NoUpstream { .. } => Some("circuit_open"),
            Self::ConnectionsBusy => Some("upstream_connections_busy"),
            Self::Exhausted { .. } => Some("gateway_exhausted"),
            Self::Overloaded { .. } | Self::BuffersFull { full: Full::Process } => Some("overloaded"),
            Self::StoreLost | Self::OwnersUnknown => Some("store_unavailable"),
            Self::GoingAway => Some("shutting_down"),
            Self::Unconfigured => Some("not_configured"),
            Self::NotCached => Some("not_cached"),
            Self::IdempotencyConflict => Some("idempotency_conflict"),
            Self::StillRunning => Some("idempotency_in_progress"),
            Self::UnsupportedMedia { .. }
            | Self::Ambiguous { .. }
            | Self::NoKey
            | Self::KeyInQuery { .. }
            | Self::NoPassthrough { .. }
            | Self::NoSuchObject { .. }
            | Self::UnknownPath { .. }
            | Self::WrongMethod { .. }
            | Self::BrokenWebSocket { .. }
            | Self::WebSocketVersion
            | Self::NoWebSocket
            | Self::Internal => None,
        }
    }

    pub(crate) fn param(&self) -> Option<&str> {
        match self {
            Self::InvalidParameter { param, .. } => Some(param),
            Self::ModelNotFound { .. } => Some("model"),
            Self::NoSuchObject { .. } => Some("id"),
            Self::Rejected(told) | Self::RateLimited { told: Some(told), .. } => told.param.as_deref(),
            _ => None,
        }
    }

    /// Masks `secret`, should an upstream have quoted it.
    pub(crate) fn mask(&mut self, secret: &Secret) {
        if let Self::Rejected(told) | Self::RateLimited { told: Some(told), .. } = self {
            told.mask(secret);
        }
    }

    pub(crate) fn details(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Rejected(told) | Self::RateLimited { told: Some(told), .. } => Some(&told.details),
            _ => None,
        }
    }

    /// The headers that belong to it.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after() {
            let wait = wait.min(LONGEST_RETRY_AFTER);
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, millis.div_ceil(1000).into());
            headers.insert("retry-after-ms", millis.into());
        }
        if self.retry_is_useless() {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if let Self::WrongMethod { allow, .. } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if *self == Self::WebSocketVersion {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, websocket::VERSION);
        }
        headers
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { denied, .. } => match denied.denial {
                Denial::NotYet { wait } => Some(wait),
                Denial::Never => None,
            },
            Self::RateLimited { retry_after, .. } => *retry_after,
            Self::NoUpstream { retry_after } | Self::Overloaded { retry_after } => Some(*retry_after),
            Self::BuffersFull { .. }
            | Self::ConnectionsBusy
            | Self::Exhausted { .. }
            | Self::StoreLost
            | Self::GoingAway
            | Self::OwnersUnknown
            | Self::Unconfigured
            | Self::StillRunning => Some(SHORTLY),
            _ => None,
        }
    }

    /// Whether the request was refused for what it is: one like it will be as well, and is charged.
    pub(crate) fn is_for_what_it_is(&self) -> bool {
        let status = self.status();
        status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
    }

    /// Whether it is for want of an answer from an upstream, so that an older one may stand in for it
    /// (RFC 5861, 4).
    pub(crate) fn is_upstreams(&self) -> bool {
        match self {
            Self::Rejected(told) => told.is_upstreams(),
            _ => matches!(
                self,
                Self::RateLimited { .. }
                    | Self::UpstreamFailed { .. }
                    | Self::AnswerTooLarge { .. }
                    | Self::NoUpstream { .. }
                    | Self::Overloaded { .. }
                    | Self::ConnectionsBusy
                    | Self::Exhausted { .. }
                    | Self::DeadlinePassed { .. }
                    | Self::Stalled { .. }
            ),
        }
    }

    /// Useless, or already done: the gateway has used its own attempts.
    fn retry_is_useless(&self) -> bool {
        match self {
            Self::Limited { denied, .. } => denied.denial == Denial::Never,
            Self::RateLimited { attempts_used, .. } => *attempts_used,
            Self::UpstreamFailed { .. }
            | Self::AnswerTooLarge { .. }
            | Self::DeadlinePassed { .. }
            | Self::TooManyOverrides { .. }
            | Self::NotCached
            | Self::IdempotencyConflict => true,
            Self::Rejected(told) => told.status == StatusCode::CONFLICT || told.is_upstreams(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn every_refusal() -> Vec<(Refusal, u16, &'static str, Option<&'static str>)> {
        let get = Method::GET;
        let second = Duration::from_secs(1);
        vec![
            (
                Refusal::InvalidJson { problem: "x".into() },
                400,
                "invalid_request_error",
                Some("invalid_json"),
            ),
            (
                Refusal::InvalidParameter { param: "n".into(), problem: "x".into() },
                400,
                "invalid_request_error",
                Some("invalid_value"),
            ),
            (Refusal::TooDeep { limit: 64 }, 400, "invalid_request_error", Some("invalid_json")),
            (Refusal::TooLarge { limit: 1 }, 413, "invalid_request_error", Some("request_too_large")),
            (Refusal::UnsupportedMedia { problem: "x".into() }, 415, "invalid_request_error", None),
            (Refusal::Ambiguous { problem: "x" }, 400, "invalid_request_error", None),
            (Refusal::TooSlow, 408, "invalid_request_error", Some("request_timeout")),
            (Refusal::NoKey, 401, "invalid_request_error", None),
            (
                Refusal::WrongKey { shown: "***".into() },
                401,
                "invalid_request_error",
                Some("invalid_api_key"),
            ),
            (Refusal::KeyInQuery { param: "key".into() }, 401, "invalid_request_error", None),
            (
                Refusal::ForeignHost { host: "evil.example".into() },
                403,
                "invalid_request_error",
                Some("permission_denied"),
            ),
            (
                Refusal::ModelNotFound { model: "m".into() },
                404,
                "invalid_request_error",
                Some("model_not_found"),
            ),
            (
                Refusal::NoPassthrough { method: get.clone(), path: "/v1/files".into() },
                404,
                "invalid_request_error",
                None,
            ),
            (Refusal::NoSuchObject { id: Some("file-1".into()) }, 404, "invalid_request_error", None),
            (Refusal::GoingAway, 503, "server_error", Some("shutting_down")),
            (Refusal::OwnersUnknown, 503, "server_error", Some("store_unavailable")),
            (
                Refusal::NotGranted { path: "/v1/files".into() },
                403,
                "invalid_request_error",
                Some("permission_denied"),
            ),
            (
                Refusal::SharedAccount { method: get.clone(), path: "/v1/files".into() },
                403,
                "invalid_request_error",
                Some("permission_denied"),
            ),
            (
                Refusal::UnknownPath { method: get.clone(), path: "/v1/x".into() },
                404,
                "invalid_request_error",
                None,
            ),
            (
                Refusal::WrongMethod { method: get, path: "/v1/embeddings".into(), allow: "POST" },
                405,
                "invalid_request_error",
                None,
            ),
            (
                Refusal::NoBreaker { name: "x".into(), known: "a".into() },
                404,
                "invalid_request_error",
                Some("breaker_not_found"),
            ),
            (Refusal::TooManyOverrides { most: 1 }, 409, "invalid_request_error", Some("too_many_overrides")),
            (
                Refusal::RateLimited {
                    model: "m".into(),
                    retry_after: None,
                    attempts_used: true,
                    told: None,
                },
                429,
                "requests",
                Some("rate_limit_exceeded"),
            ),
            (Refusal::BuffersFull { full: Full::Share }, 429, "requests", Some("rate_limit_exceeded")),
            (Refusal::BuffersFull { full: Full::Process }, 503, "server_error", Some("overloaded")),
            (Refusal::Internal, 500, "server_error", None),
            (Refusal::Unconfigured, 503, "server_error", Some("not_configured")),
            (Refusal::UpstreamFailed { problem: "x" }, 502, "server_error", Some("upstream_error")),
            (Refusal::NoUpstream { retry_after: second }, 503, "server_error", Some("circuit_open")),
            (Refusal::ConnectionsBusy, 503, "server_error", Some("upstream_connections_busy")),
            (Refusal::Exhausted { of: "descriptors" }, 503, "server_error", Some("gateway_exhausted")),
            (Refusal::DeadlinePassed { waited: second }, 504, "timeout_error", Some("request_timeout")),
            (Refusal::Stalled { waited: second }, 504, "timeout_error", Some("request_timeout")),
        ]
    }

    #[test]
    fn every_code_stands_in_the_manual() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/manual/errors.md"));
        for (refusal, status, _, code) in every_refusal() {
            let told = code.map_or("null".to_owned(), |code| format!("`{code}`"));
            let is_told = |row: &str| {
                let mut cells = row.split('|').skip(1);
                let statuses = cells.next().unwrap_or_default();
                statuses.contains(&status.to_string()) && cells.next().unwrap_or_default().contains(&told)
            };
            assert!(page.lines().any(is_told), "{status} {told}: {refusal:?}");
        }
    }

    #[test]
    fn each_refusal_has_its_shape_on_the_wire() {
        for (refusal, status, kind, code) in every_refusal() {
            assert_eq!(refusal.status().as_u16(), status, "{refusal:?}");
            let body: Value = serde_json::from_slice(&refusal.to_body()).unwrap();
            let error = body["error"].as_object().unwrap();
            assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "message", "param", "type"], "{refusal:?}");
            assert_eq!(error["type"], kind, "{refusal:?}");
            assert_eq!(error["code"].as_str(), code, "{refusal:?}");
        }
    }

    #[test]
    fn retry_after_is_whole_seconds_and_at_most_a_minute() {
        for (wait, seconds, millis) in [(1, "1", "1"), (1500, "2", "1500"), (90_000, "60", "60000")] {
            let wait = Duration::from_millis(wait);
            let headers = Refusal::NoUpstream { retry_after: wait }.headers();
            assert_eq!(headers["retry-after"], seconds);
            assert_eq!(headers["retry-after-ms"], millis);
        }
    }
}

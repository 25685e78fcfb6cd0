//! Why an attempt at an upstream failed.

use schemars::JsonSchema;
use serde::Deserialize;

/// When the next candidate is taken. The caller's own 4xx never is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// No connection, or it broke before the first byte to the client.
    Connect,
    /// No answer in time: `first_byte`, `idle` before the first content, 504.
    Timeout,
    /// 429.
    RateLimit,
    /// 5xx; 408 and 425, which ask for the same request once more.
    ServerError,
    /// The upstream refuses the gateway's own credential: 401, and 403 unless its body tells of moderation.
    Credentials,
    /// The gateway's account at the upstream is spent: 402, `insufficient_quota`, billing.
    Quota,
    /// 200 that is no answer: an error body, HTML, a body cut short.
    BadAnswer,
}

impl Condition {
    /// As the configuration, logs and metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::RateLimit => "rate_limit",
            Self::ServerError => "server_error",
            Self::Credentials => "credentials",
            Self::Quota => "quota",
            Self::BadAnswer => "bad_answer",
        }
    }
}

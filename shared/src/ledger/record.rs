//! The account of a request: exactly one [`Record`] for each that was admitted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::cache_status::Status;
use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::failure::Condition;
use crate::ledger::payer::Payer;
use crate::ledger::usage::Usage;
use crate::time::UnixMillis;

/// What became of one admitted request. It holds no prompt and no secret, so it may be printed.
#[derive(Clone, Debug)]
pub struct Record {
    /// `req_` and 32 hex digits.
    pub request_id: String,
    /// W3C trace id, 32 hex digits.
    pub trace_id: String,
    pub at: UnixMillis,
    pub caller: Arc<dyn Payer>,
    /// `chat`, `embeddings` …, or `passthrough`.
    pub operation: &'static str,
    /// The model the client named; empty where a path names none.
    pub model: String,
    /// The pattern of the route that served it; empty where none did.
    pub route: String,
    /// The upstream that answered, or failed last.
    pub upstream: String,
    /// The model as that upstream calls it.
    pub upstream_model: String,
    /// The model as the answer calls it.
    pub response_model: String,
    pub streamed: bool,
    /// What the cache had to do with it; `None` where the route has none.
    pub cache: Option<Status>,
    /// Status on the wire.
    pub status: u16,
    pub ending: Ending,
    pub usage: Usage,
    pub attempts: Vec<Attempt>,
    /// Attempts that went to a route's fallback.
    pub fallbacks: u32,
    /// From the first byte of the request's head to the end of the answer.
    pub took: Duration,
    /// To the first byte of the answer; `None` when there was none.
    pub first_byte: Option<Duration>,
    /// Of a websocket that was open.
    pub websocket: Option<Session>,
}

/// What went through a websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Bytes from the client to the upstream.
    pub sent: u64,
    pub received: u64,
    /// The code it was closed with first; 1005 where that close frame said none, `None` where there was no such frame.
    pub code: Option<u16>,
}

/// One try at one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub upstream: String,
    /// `None` when no answer came.
    pub status: Option<u16>,
    /// `None` when it succeeded, or failed by the caller's own doing.
    pub failure: Option<Condition>,
    /// Why there was no connection.
    pub cause: Option<ConnectFault>,
    pub took: Duration,
}

impl Record {
    /// What was tried, as logs write it: `upstream:outcome:12ms`, one behind the other.
    pub fn tried(&self) -> String {
        self.attempts.iter().map(Attempt::to_string).collect::<Vec<_>>().join(" ")
    }

    /// Why there was no connection, as logs write it: `upstream: connection refused`, each upstream's last, one behind
    /// the other. `None` where nothing failed so.
    pub fn causes(&self) -> Option<String> {
        let mut causes: Vec<(&str, ConnectFault)> = Vec::new();
        for attempt in &self.attempts {
            let Some(cause) = attempt.cause else { continue };
            causes.retain(|(upstream, _)| *upstream != attempt.upstream);
            causes.push((&attempt.upstream, cause));
        }
        let told: Vec<_> = causes.iter().map(|(name, cause)| format!("{name}: {}", cause.name())).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upstream, status, failure, cause: _, took } = self;
        match (failure, status) {
            (Some(failure), _) => write!(f, "{upstream}:{}", failure.name()),
            (None, Some(status)) => write!(f, "{upstream}:{status}"),
            (None, None) => write!(f, "{upstream}:none"),
        }?;
        write!(f, ":{}ms", took.as_millis())
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// The client has the whole answer.
    Complete,
    /// The upstream refused it for the caller's own doing.
    Rejected,
    /// No upstream gave an answer.
    Failed,
    /// The client left first.
    ClientGone,
    /// The answer stopped without its terminator.
    Truncated,
    /// The connection broke in the middle of the answer.
    Reset,
    /// The upstream fell silent in the middle of the answer.
    Stalled,
    /// The deadline passed in the middle of the answer.
    DeadlinePassed,
    /// The upstream sent what is no event of its dialect.
    Malformed,
    /// The upstream sent an event that is larger than the gateway takes.
    EventTooLarge,
    /// The upstream said in the middle of its answer that it failed.
    UpstreamError,
    /// A message of a websocket was larger than the gateway takes.
    MessageTooLarge,
    /// Neither side of a websocket said anything for too long.
    Idle,
    /// A websocket was open for as long as it may be.
    Expired,
    /// The gateway was told to end while a websocket was open.
    GoingAway,
}

impl Ending {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::ClientGone => "client_gone",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::Stalled => "stalled",
            Self::DeadlinePassed => "deadline_passed",
            Self::Malformed => "malformed",
            Self::EventTooLarge => "event_too_large",
            Self::UpstreamError => "upstream_error",
            Self::MessageTooLarge => "message_too_large",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::GoingAway => "going_away",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_told_by_why_it_failed_or_by_its_status() {
        for (status, failure, expected) in [
            (Some(200), None, "a:200:12ms"),
            (Some(500), Some(Condition::ServerError), "a:server_error:12ms"),
            (None, Some(Condition::Timeout), "a:timeout:12ms"),
            (None, None, "a:none:12ms"),
        ] {
            let attempt = Attempt {
                upstream: "a".into(),
                status,
                failure,
                cause: None,
                took: Duration::from_micros(12_900),
            };
            assert_eq!(attempt.to_string(), expected);
        }
    }
}

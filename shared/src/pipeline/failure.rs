//! Why an attempt gave no answer: whose doing it is, what may be tried next, and what the client is told.

use std::time::Duration;

use http::{StatusCode, response};

use crate::breaker::Blame;
use crate::config::Condition;
use crate::ledger::Ending;
use crate::platform::SendFault;
use crate::refusal::Refusal;
use crate::stream::course::Waits;

/// There is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// `None` when it is the caller's own doing.
    pub(super) condition: Option<Condition>,
    /// Which breakers learn of it.
    pub(super) blame: Blame,
    pub(super) retry_after: Option<Duration>,
    pub(super) status: Option<StatusCode>,
    /// The request may have got there, and may have been acted upon.
    pub(super) is_sent: bool,
    /// How the request ends if nothing more is tried.
    pub(super) ending: Ending,
    pub(super) refusal: Refusal,
}

impl Failure {
    /// The refusal, knowing whether the gateway has used all its attempts.
    pub(super) fn spent(self, all_used: bool) -> Refusal {
        match self.refusal {
            Refusal::RateLimited { model, retry_after, .. } => {
                Refusal::RateLimited { model, retry_after, attempts_used: all_used }
            }
            refusal => refusal,
        }
    }

    pub(super) fn new(condition: Condition, status: Option<StatusCode>, refusal: Refusal) -> Self {
        let (retry_after, ending) = (None, Ending::Failed);
        let blame = Blame::of(Some(condition));
        Self { condition: Some(condition), blame, retry_after, status, is_sent: true, ending, refusal }
    }

    pub(super) fn unsent(problem: &'static str) -> Self {
        let failure = Self::new(Condition::Connect, None, Refusal::UpstreamFailed { problem });
        Self { is_sent: false, ..failure }
    }

    /// The client's doing, of which the upstream knows nothing.
    pub(super) fn of_client(refusal: Refusal, ending: Ending) -> Self {
        let (condition, blame, retry_after) = (None, Blame::Nobody, None);
        Self { condition, blame, retry_after, status: None, is_sent: true, ending, refusal }
    }

    pub(super) fn timeout(waited: Duration) -> Self {
        Self::new(Condition::Timeout, None, Refusal::DeadlinePassed { waited })
    }

    pub(super) fn credentials(status: StatusCode) -> Self {
        let problem = "it does not accept the gateway's credential";
        Self::new(Condition::Credentials, Some(status), Refusal::UpstreamFailed { problem })
    }

    pub(super) fn bad_answer(head: &response::Parts, problem: &'static str) -> Self {
        Self::new(Condition::BadAnswer, Some(head.status), Refusal::UpstreamFailed { problem })
    }

    /// An answer that ended before anything of it was worth sending.
    pub(super) fn ended(head: &response::Parts, ending: Ending, waits: Waits) -> Self {
        let timeout = |waited| Self { status: Some(head.status), ..Self::timeout(waited) };
        let (condition, problem) = match ending {
            Ending::Stalled => return timeout(waits.idle),
            Ending::DeadlinePassed => return timeout(waits.total),
            Ending::Reset => (Condition::Connect, "the connection broke in the middle of its answer"),
            Ending::Complete | Ending::Rejected | Ending::Failed | Ending::ClientGone | Ending::Truncated => {
                (Condition::BadAnswer, "its answer stopped before it began")
            }
            Ending::Malformed => (Condition::BadAnswer, "it sent what is no event of this API"),
            Ending::UpstreamError => (Condition::BadAnswer, "it sent an error instead of an answer"),
        };
        Self::new(condition, Some(head.status), Refusal::UpstreamFailed { problem })
    }
}

impl From<SendFault> for Failure {
    fn from(fault: SendFault) -> Self {
        match fault {
            SendFault::Connect => Self::unsent("it could not be reached"),
            SendFault::ConnectTimeout => Self::unsent("no connection could be made in time"),
            SendFault::Broken => {
                let problem = "the connection broke before it answered";
                Self { is_sent: true, ..Self::unsent(problem) }
            }
        }
    }
}

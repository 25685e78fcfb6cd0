//! Why an attempt gave no answer: whose doing it is, what may be tried next, and what the client is told.

use std::time::Duration;

use http::{StatusCode, response};

use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::failure::Condition;
use crate::ledger::record::Ending;
use crate::pipeline::answer_stream::Course;
use crate::platform::Platform;
use crate::refusal::{Cause, Refusal, UpstreamError};
use crate::routing::breaker::{Blame, Outcome};
use crate::routing::retry::Again;
use crate::routing::upstream::dispatch::SendFault;
use crate::secret::Secret;

/// There is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// `None` when it is the caller's own doing.
    pub(crate) condition: Option<Condition>,
    /// Which breakers learn of it.
    pub(crate) blame: Blame,
    /// Whether the same candidate may be asked again.
    pub(crate) again: Again,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) status: Option<StatusCode>,
    /// Why there was no connection.
    pub(crate) connect_fault: Option<ConnectFault>,
    /// The request may have got there, and may have been acted upon.
    pub(crate) is_sent: bool,
    /// How the request ends if nothing more is tried.
    pub(crate) ending: Ending,
    pub(crate) refusal: Refusal,
}

impl Failure {
    /// What it says of the upstream. `None`: nothing; a success: that it is well, for it has found the caller's mistake.
    pub(crate) fn outcome(&self, caller: impl FnOnce() -> u64) -> Option<Outcome> {
        match (self.condition, self.blame.scope()) {
            (None, None) => self.status.map(|_| Outcome::Success),
            (Some(_), None) => None,
            (_, Some(_)) if self.is_waited_out() => Some(Outcome::Timeout { caller: caller() }),
            (_, Some(scope)) if self.is_break() => Some(Outcome::Break { scope }),
            (Some(Condition::RateLimit | Condition::Quota), Some(scope)) => {
                Some(Outcome::RateLimited { scope, retry_after: self.retry_after })
            }
            (
                Some(
                    Condition::Connect
                    | Condition::Timeout
                    | Condition::ServerError
                    | Condition::Credentials
                    | Condition::BadAnswer,
                )
                | None,
                Some(scope),
            ) => Some(Outcome::Failure { scope }),
        }
    }

    /// The gateway has given up waiting; nobody has said anything.
    pub(crate) fn is_waited_out(&self) -> bool {
        self.condition == Some(Condition::Timeout) && matches!(self.refusal, Refusal::DeadlinePassed { .. })
    }

    /// A connection broke, before its answer or within it, or none was let in: of one event there may be many.
    fn is_break(&self) -> bool {
        let is_cut = self.status.is_some();
        let is_refused = matches!(self.connect_fault, Some(ConnectFault::Broken | ConnectFault::Refused));
        self.condition == Some(Condition::Connect) && (is_cut || is_refused)
    }

    /// The refusal, knowing whether the gateway has used all its attempts.
    pub(crate) fn spent(self, all_used: bool) -> Refusal {
        match self.refusal {
            Refusal::RateLimited { model, retry_after, told, .. } => {
                Refusal::RateLimited { model, retry_after, attempts_used: all_used, told }
            }
            refusal => refusal,
        }
    }

    pub(crate) fn new(condition: Condition, status: Option<StatusCode>, refusal: Refusal) -> Self {
        let (retry_after, ending) = (None, Ending::Failed);
        let (blame, again) = (Blame::of(Some(condition)), Again::AsOftenAsThePolicySays);
        let (condition, connect_fault) = (Some(condition), None);
        Self { condition, blame, again, retry_after, status, connect_fault, is_sent: true, ending, refusal }
    }

    pub(crate) fn unsent(problem: &'static str) -> Self {
        let failure = Self::new(Condition::Connect, None, Refusal::UpstreamFailed { problem });
        Self { is_sent: false, ..failure }
    }

    /// The client's doing, of which the upstream knows nothing.
    pub(crate) fn of_client(refusal: Refusal, ending: Ending) -> Self {
        let (condition, blame, again, retry_after) = (None, Blame::Nobody, Again::Never, None);
        let (status, connect_fault) = (None, None);
        Self { condition, blame, again, retry_after, status, connect_fault, is_sent: true, ending, refusal }
    }

    /// The upstream says that it failed, or what is wrong with the request. `status` is that of the error, whatever
    /// the status of the answer it came in.
    pub(crate) fn told(
        cause: Cause,
        status: StatusCode,
        error: &UpstreamError,
        secret: Option<&Secret>,
    ) -> Self {
        let rejected = |status| Refusal::Rejected(Box::new(error.rejection(cause, status, secret)));
        let failed = |condition, refusal| Self::new(condition, Some(status), refusal);
        let own = |problem| {
            if error.has_words() {
                rejected(StatusCode::BAD_GATEWAY)
            } else {
                Refusal::UpstreamFailed { problem }
            }
        };
        let failure = match cause {
            Cause::Caller => {
                Self { status: Some(status), ..Self::of_client(rejected(status), Ending::Rejected) }
            }
            Cause::Momentary => Self {
                blame: Blame::Nobody,
                again: Again::Once,
                ..failed(Condition::ServerError, rejected(status))
            },
            Cause::Credentials => {
                let failure = Self::credentials(status);
                // A page is by something in between, and may be about this one request.
                let blame = if error.is_page() { Blame::Nobody } else { failure.blame };
                Self { blame, ..failure }
            }
            Cause::Quota => Self {
                again: Again::Never,
                ..failed(Condition::Quota, rejected(StatusCode::TOO_MANY_REQUESTS))
            },
            Cause::RateLimit => {
                let told = error.rejection(cause, StatusCode::TOO_MANY_REQUESTS, secret);
                let told = error.has_words().then(|| Box::new(told));
                let (model, retry_after) = (String::new(), error.retry_after);
                failed(
                    Condition::RateLimit,
                    Refusal::RateLimited { model, retry_after, attempts_used: false, told },
                )
            }
            Cause::Timeout => failed(Condition::Timeout, own("it timed out itself")),
            Cause::Server => failed(Condition::ServerError, own("it reported an error of its own")),
            Cause::NoAnswer => {
                let problem = if status.is_redirection() {
                    "it sent the request elsewhere, and redirects are not followed"
                } else {
                    "it sent a status that stands for no answer"
                };
                failed(Condition::BadAnswer, Refusal::UpstreamFailed { problem })
            }
        };
        Self { retry_after: error.retry_after, ..failure }
    }

    /// The model the caller asked for, and when the upstream wants to be asked again, as its head or body says.
    pub(crate) fn about(mut self, model: &str, wait: Option<Duration>) -> Self {
        self.retry_after = self.retry_after.or(wait);
        if let Refusal::RateLimited { model: named, retry_after, .. } = &mut self.refusal {
            model.clone_into(named);
            *retry_after = self.retry_after;
        }
        self
    }

    /// The gateway has given up waiting: what takes so long takes as long again.
    pub(crate) fn timeout(waited: Duration) -> Self {
        let failure = Self::new(Condition::Timeout, None, Refusal::DeadlinePassed { waited });
        Self { again: Again::Never, ..failure }
    }

    pub(crate) fn credentials(status: StatusCode) -> Self {
        let problem = "it does not accept the gateway's credential";
        let failure = Self::new(Condition::Credentials, Some(status), Refusal::UpstreamFailed { problem });
        Self { again: Again::Never, ..failure }
    }

    pub(crate) fn bad_answer(head: &response::Parts, problem: &'static str) -> Self {
        Self::new(Condition::BadAnswer, Some(head.status), Refusal::UpstreamFailed { problem })
    }

    /// What should have been an answer says of an error, or of nothing.
    pub(crate) fn instead_of_answer(
        head: &response::Parts,
        body: &[u8],
        secret: Option<&Secret>,
        problem: &'static str,
    ) -> Self {
        match UpstreamError::instead_of_answer(body) {
            Some(error) => {
                let (cause, status) = Cause::of_event(&error);
                Self::told(cause, status, &error, secret)
            }
            None => Self::bad_answer(head, problem),
        }
    }

    /// A bound of the gateway's own, which says nothing against the upstream. Another attempt would meet it too.
    pub(crate) fn bound(head: &response::Parts, ending: Ending, refusal: Refusal) -> Self {
        Self { status: Some(head.status), ..Self::of_client(refusal, ending) }
    }

    /// An answer that ended before anything of it was worth sending.
    pub(crate) fn ended<P: Platform>(head: &response::Parts, ending: Ending, course: &mut Course<P>) -> Self {
        if let Some(error) = course.take_error() {
            let (cause, status) = Cause::of_event(&error);
            return Self::told(cause, status, &error, course.secret());
        }
        let waits = course.waits();
        let timeout = |waited| Self { status: Some(head.status), ..Self::timeout(waited) };
        let (condition, problem) = match ending {
            Ending::Stalled => return timeout(waits.idle),
            Ending::DeadlinePassed => return timeout(waits.total),
            Ending::EventTooLarge => return Self::bound(head, ending, Refusal::EVENT_TOO_LARGE),
            Ending::Reset => {
                let failure = Self::unsent("the connection broke in the middle of its answer");
                let status = Some(head.status);
                return Self { blame: Blame::Model, is_sent: true, status, ..failure };
            }
            Ending::Complete
            | Ending::Rejected
            | Ending::Failed
            | Ending::ClientGone
            | Ending::Truncated
            | Ending::MessageTooLarge
            | Ending::Idle
            | Ending::Expired
            | Ending::GoingAway => (Condition::BadAnswer, "its answer stopped before it began"),
            Ending::Malformed => (Condition::BadAnswer, "it sent what is no event of this API"),
            Ending::UpstreamError => (Condition::BadAnswer, "it sent an error instead of an answer"),
        };
        Self::new(condition, Some(head.status), Refusal::UpstreamFailed { problem })
    }
}

impl From<SendFault> for Failure {
    fn from(fault: SendFault) -> Self {
        let broken = "the connection broke before it answered";
        let own = |refusal| Self {
            blame: Blame::Nobody,
            again: Again::Never,
            is_sent: false,
            ..Self::new(Condition::Connect, None, refusal)
        };
        let failure = match fault {
            SendFault::Busy => own(Refusal::ConnectionsBusy),
            // Sent again for free by then, as often as that is done.
            SendFault::Unprocessed => Self {
                blame: Blame::Nobody,
                again: Again::Never,
                ..Self::unsent("it sent the request back unread, again and again")
            },
            SendFault::Connect(cause) => match cause.shortage() {
                Some(of) => own(Refusal::Exhausted { of }),
                None => Self::unsent("it could not be reached"),
            },
            SendFault::ConnectTimeout => Self::unsent("no connection could be made in time"),
            // What was asked for may have broken it.
            SendFault::Broken => Self { is_sent: true, blame: Blame::Model, ..Self::unsent(broken) },
            // Upstreams close idle connections; it says nothing of how they are.
            SendFault::Stale => Self { is_sent: true, blame: Blame::Nobody, ..Self::unsent(broken) },
        };
        Self { connect_fault: Some(fault.cause()), ..failure }
    }
}

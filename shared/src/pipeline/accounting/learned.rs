//! What the breakers are told of a request.

use crate::ledger::record::Ending;
use crate::routing::breaker::{FaultScope, Outcome, Policies, control};
use crate::store::protocol::Finding;

/// What the breakers are told of a request.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Learned {
    pub(in crate::pipeline) findings: Vec<Finding>,
    /// The breaker of the deployment that answers; how that ends is not known yet.
    pub(in crate::pipeline) answering: Option<(String, Policies)>,
    /// That it answers has been told.
    pub(in crate::pipeline) is_told: bool,
    /// The breakers whose probe this request is, until that is reported.
    pub(in crate::pipeline) probing: Vec<String>,
}

impl Learned {
    /// Takes note of how a request ended at a candidate, in place of what its earlier attempts there said: of a request
    /// that fails at one candidate three times, one failure is counted. Nor does the whole of an upstream hear twice
    /// of one request.
    pub(in crate::pipeline) fn learn(&mut self, finding: Finding) {
        let upstream = control::upstream_of(&finding.breaker);
        let blames_all = |outcome: Outcome| outcome.scope() == Some(FaultScope::Upstream);
        self.findings.retain(|known| {
            let is_repeated = blames_all(known.outcome)
                && blames_all(finding.outcome)
                && control::upstream_of(&known.breaker) == upstream;
            known.breaker != finding.breaker && !is_repeated
        });
        self.findings.push(finding);
    }

    /// Takes note of how the answer ended.
    pub(in crate::pipeline) fn answered(&mut self, ending: Ending, caller: impl FnOnce() -> u64) {
        let outcome = outcome(ending, caller);
        let Some((breaker, policies)) = self.answering.take() else { return };
        if let Some(outcome) = outcome.filter(|outcome| !(self.is_told && *outcome == Outcome::Success)) {
            self.learn(Finding { breaker, policies, outcome });
        }
    }

    /// Takes note that the answer had fallen silent when its client left. Who asks for long work and leaves has met it alone.
    pub(in crate::pipeline) fn stalled(&mut self, caller: u64) {
        if let Some((breaker, policies)) = self.answering.take() {
            let outcome = Outcome::Timeout { caller };
            self.learn(Finding { breaker, policies, outcome });
        }
    }

    /// Takes note that an upstream has refused what the caller asked a model for.
    pub(in crate::pipeline) fn learn_of_refusal(&mut self, breaker: &str, policies: Policies) {
        self.findings.retain(|known| known.breaker != breaker);
        let breaker = control::upstream_of(breaker).to_owned();
        self.learn(Finding { breaker, policies, outcome: Outcome::Success });
    }
}

/// What the end of an answer says of its upstream: nothing, where its client has left before it. A silence, and an end of
/// the time there was, may be of the caller's own making.
fn outcome(ending: Ending, caller: impl FnOnce() -> u64) -> Option<Outcome> {
    Some(match ending {
        Ending::ClientGone => return None,
        // A bound of the gateway's says nothing against the upstream.
        Ending::Complete
        | Ending::Rejected
        | Ending::EventTooLarge
        | Ending::MessageTooLarge
        | Ending::Idle
        | Ending::Expired
        | Ending::GoingAway => Outcome::Success,
        Ending::Stalled | Ending::DeadlinePassed => Outcome::Timeout { caller: caller() },
        Ending::Reset => Outcome::Break { scope: FaultScope::Model },
        Ending::Failed | Ending::Truncated | Ending::Malformed | Ending::UpstreamError => {
            Outcome::Failure { scope: FaultScope::Model }
        }
    })
}

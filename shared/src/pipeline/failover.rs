//! One candidate after another, until one answers or nothing is left to try.

use std::time::Duration;

use http::Response;

use super::admission::Turn;
use super::attempt::Errand;
use super::attempt::answer::Answer;
use super::delivery::deliver;
use super::exchange::Journey;
use super::reply::body::Body;
use super::sent::Sent;
use crate::config::Config;
use crate::ledger::explanation::Explanation;
use crate::ledger::failure::Condition;
use crate::ledger::record::Ending;
use crate::limits::concurrency::Priority;
use crate::pipeline::accounting::Trail;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::breaker::Gate;
use crate::routing::plan::{Plan, Role};
use crate::routing::retry::{Next, Retry, Situation};
use crate::routing::route::Route;
use crate::telemetry::event::Event;
use crate::telemetry::trace::Trace;
use crate::time::Instant;

/// What a client is told to wait when no upstream may be asked.
const NO_UPSTREAM_RETRY: Duration = Duration::from_secs(5);

/// How a route wants its attempts made.
pub(super) struct Rules<'a> {
    pub(super) retry: &'a Retry,
    pub(super) fallback_on: &'a [Condition],
    pub(super) route: &'a str,
    /// How long a stream is held back for its first content.
    pub(super) hold_back: Duration,
    /// After how long a silence of a stream a comment goes out.
    pub(super) keep_alive: Option<Duration>,
}

impl<'a> Rules<'a> {
    pub(super) fn of(route: &'a Route) -> Self {
        Self {
            retry: &route.retry,
            fallback_on: &route.fallback_on,
            route: route.pattern.as_str(),
            hold_back: route.hold_back,
            keep_alive: route.keep_alive,
        }
    }
}

/// What all attempts at one request have in common.
pub(super) struct Attempts<'a, P: Platform> {
    pub(super) platform: &'a P,
    pub(super) config: &'a Config,
    pub(super) trace: &'a Trace,
    pub(super) started: Instant,
    pub(super) priority: Priority,
    pub(super) explanation: &'a mut Option<Explanation>,
}

/// There is no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) refusal: Refusal,
    pub(super) ending: Ending,
}

impl Unanswered {
    fn failed(refusal: Refusal) -> Self {
        Self { refusal, ending: Ending::Failed }
    }
}

impl<P: Platform> Journey<'_, P> {
    /// Asks one candidate behind the other, and sends off what one of them answers.
    pub(super) async fn ask_upstreams(
        &mut self,
        rules: &Rules<'_>,
        plan: &Plan,
        sent: Sent<P::Upload>,
        mut trail: Trail<P>,
    ) -> Result<Response<Body<P>>, Refusal> {
        let method = sent.method.clone();
        // By far the largest part of a request; what is answered without an upstream shall not carry it.
        let answer = Box::pin(self.attempts().make(rules, plan, sent, &mut trail)).await;
        match answer {
            Ok(answer) => Ok(deliver(answer, &method, rules.keep_alive, trail)),
            Err(Unanswered { refusal, ending }) => {
                trail.unanswered(ending, &refusal);
                Err(refusal)
            }
        }
    }

    pub(super) fn attempts(&mut self) -> Attempts<'_, P> {
        Attempts {
            platform: self.platform,
            config: self.config,
            trace: &self.trace,
            started: self.started,
            priority: self.priority,
            explanation: &mut self.explanation,
        }
    }
}

impl<P: Platform> Attempts<'_, P> {
    pub(super) async fn make(
        &mut self,
        rules: &Rules<'_>,
        plan: &Plan,
        sent: Sent<P::Upload>,
        trail: &mut Trail<P>,
    ) -> Result<Answer<P>, Unanswered> {
        let Some(first) = plan.candidates.first() else { return Err(self.no_upstream(plan)) };
        let total = self.config.upstream(first.upstream).timeouts.total;
        let deadline = self.started.after(total);
        let (platform, config, trace) = (self.platform, self.config, self.trace);
        let hold_back = rules.hold_back;
        let mut errand = Errand { platform, config, trace, sent, deadline, total, hold_back };
        let (mut at, mut attempts, mut attempts_here) = (0, 0, 0);
        // The best reason there is not to have asked those that were passed over.
        let mut shed = None;
        loop {
            let Some(candidate) = plan.candidates.get(at) else {
                return Err(shed.map_or_else(|| self.no_upstream(plan), Unanswered::failed));
            };
            let upstream = config.upstream(candidate.upstream);
            let turn = Turn { priority: self.priority, deadline };
            let slot = match turn.take(platform, &upstream.name, upstream.concurrency.as_ref()).await {
                Ok((slot, waited)) => {
                    self.explain(|explanation| explanation.queued(&upstream.name, waited));
                    slot
                }
                Err(refusal) => {
                    self.explain(|explanation| explanation.shed(&upstream.name));
                    shed = Some(refusal);
                    (at, attempts_here) = (at + 1, 0);
                    continue;
                }
            };
            if candidate.gate == Gate::HalfOpen && !trail.lease_probe(candidate).await {
                // Somebody else is trying it.
                (at, attempts_here) = (at + 1, 0);
                continue;
            }
            attempts += 1;
            attempts_here += 1;
            let outcome = errand.attempt(candidate, slot, trail).await;
            if let (Some(explanation), Some(record)) = (&mut *self.explanation, trail.record()) {
                explanation.attempted(record);
            }
            let failure = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(condition) = failure.condition else {
                return Err(Unanswered { refusal: failure.refusal, ending: failure.ending });
            };
            let situation = Situation {
                policy: rules.retry,
                fallback_on: rules.fallback_on,
                condition,
                again: failure.again,
                retry_after: failure.retry_after,
                attempts,
                attempts_here,
                candidate: at,
                candidates: plan.candidates.len(),
                left: errand.left(),
                replayable: errand.sent.may_be_sent_again(failure.is_sent),
            };
            let Next::Try { candidate: next, wait } = self.next(&situation, plan).await else {
                return Err(Unanswered::failed(failure.spent(attempts >= rules.retry.attempts)));
            };
            self.note_next(rules.route, plan, at, next, trail);
            if !wait.is_zero() {
                platform.sleep(wait).await;
            }
            if next != at {
                (at, attempts_here) = (next, 0);
            }
        }
    }

    fn explain(&mut self, note: impl FnOnce(&mut Explanation)) {
        if let Some(explanation) = &mut *self.explanation {
            note(explanation);
        }
    }

    /// What the policy says, as far as the retry budget allows.
    async fn next(&self, situation: &Situation<'_>, plan: &Plan) -> Next {
        let Next::Try { candidate, wait } = situation.next(self.platform.roll()) else { return Next::GiveUp };
        let next = &plan.candidates[candidate];
        // A probe that has failed has opened its breaker again.
        let was_probe = next.gate == Gate::HalfOpen && candidate == situation.candidate;
        if !was_probe && self.platform.withdraw_retry(&next.breaker).await {
            Next::Try { candidate, wait }
        } else {
            Next::GiveUp
        }
    }

    fn no_upstream(&self, plan: &Plan) -> Unanswered {
        let opens = plan.opens.map(|opens| opens.since(self.platform.now()));
        Unanswered::failed(Refusal::NoUpstream { retry_after: opens.unwrap_or(NO_UPSTREAM_RETRY) })
    }

    fn note_next(&self, route: &str, plan: &Plan, from: usize, to: usize, trail: &mut Trail<P>) {
        let upstream = &self.config.upstream(plan.candidates[to].upstream).name;
        if from == to {
            self.platform.observe(Event::Retried { upstream });
            return;
        }
        self.platform.observe(Event::FellBack { route, upstream });
        if let Some(record) = trail.record().filter(|_| plan.candidates[to].role == Role::Fallback) {
            record.fallbacks += 1;
        }
    }
}

//! From an understood request to its answer: read, route, plan, attempt.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode, header, response};

use super::Journey;
use super::attempt::{Answer, Errand, Failure};
use super::cargo::{Cargo, Sent, sent};
use crate::breaker::Gate;
use crate::call::{Bounds, Call, Estimate};
use crate::caller::Caller;
use crate::config::{Condition, OnDisconnect, Pick, Retry, UpstreamId};
use crate::endpoint::{Address, Operation};
use crate::ledger::{Ending, Record};
use crate::plan::{self, Candidate, Chance, Known, Plan, Resolved, Role};
use crate::platform::{Ask, Event, Platform};
use crate::refusal::Refusal;
use crate::retry::{Next, Situation};
use crate::settlement::{Docket, Trail};
use crate::stream::Body;
use crate::usage::Tokens;
use crate::{headers, intake};

/// What a client is told to wait when no upstream may be asked.
const NO_UPSTREAM_RETRY: Duration = Duration::from_secs(5);

impl<P: Platform> Journey<'_, P> {
    /// An understood call.
    pub(super) async fn call(
        &mut self,
        operation: Operation,
        address: &Address,
        head: &Parts,
        caller: Arc<Caller>,
        upload: P::Upload,
        docket: Docket<P>,
    ) -> Result<Response<Body<P>>, Refusal> {
        if headers::media_type(&head.headers).as_deref() != Some("application/json") {
            let problem = "Send JSON, with the header 'Content-Type: application/json'".into();
            return Err(Refusal::UnsupportedMedia { problem });
        }
        let body = intake::collect(self.platform, &self.config.server, &head.headers, upload).await?;
        let call = Call::parse(operation, address.deployment.as_deref(), body, self.bounds())?;
        let model = call.model.clone();
        let mut record = self.record(operation.name(), caller.clone());
        record.streamed = call.stream;
        let resolved = self.resolve(&caller, &model)?;
        let errand = sent(head, address, Cargo::Call { operation, call });
        self.route(&model, &resolved, errand, head, record, docket).await
    }

    /// A documented path that is not understood: routed by the model it names, if it names one.
    pub(super) async fn pass_through(
        &mut self,
        address: &Address,
        head: &Parts,
        caller: Arc<Caller>,
        upload: P::Upload,
        docket: Docket<P>,
    ) -> Result<Response<Body<P>>, Refusal> {
        let (model, cargo) = self.read_passthrough(address, head, upload).await?;
        let record = self.record("passthrough", caller.clone());
        let errand = sent(head, address, cargo);
        if let Some(model) = model {
            let resolved = self.resolve(&caller, &model)?;
            return self.route(&model, &resolved, errand, head, record, docket).await;
        }
        let unset = || Refusal::NoPassthrough { path: head.uri.path().to_owned() };
        let upstream = self.config.passthrough.ok_or_else(unset)?;
        let config = self.config.upstream(upstream);
        let reservation = self.reservation(&caller, head, None, NOTHING, config.timeouts.total);
        let ask = Ask { standings: &[], breakers: &[], reservation: Some(&reservation) };
        self.open(ask, head.uri.path()).await?;
        let trail = self.admit(docket, record, reservation);
        // What is not understood is not judged by either.
        let candidate = Candidate {
            upstream,
            model: String::new(),
            role: Role::Target,
            breaker: config.name.clone(),
            policy: config.breaker,
            gate: Gate::Closed,
        };
        let plan = Plan { candidates: vec![candidate], ..Plan::default() };
        let rules = Rules { retry: &ONCE_MORE, fallback_on: &[], route: "" };
        self.attempt_all(&rules, &plan, errand, trail).await
    }

    fn resolve(&mut self, caller: &Caller, model: &str) -> Result<Resolved, Refusal> {
        if let Some(explanation) = &mut self.explanation {
            explanation.asked(model);
        }
        let resolved = plan::resolve(self.config, caller, model);
        let resolved = resolved.ok_or_else(|| Refusal::ModelNotFound { model: model.to_owned() })?;
        if let Some(explanation) = &mut self.explanation {
            explanation.resolved(self.config, &resolved);
        }
        Ok(resolved)
    }

    /// Reserves, plans and asks.
    async fn route(
        &mut self,
        model: &str,
        resolved: &Resolved,
        errand: Sent<'_, P::Upload>,
        head: &Parts,
        mut record: Record,
        docket: Docket<P>,
    ) -> Result<Response<Body<P>>, Refusal> {
        let route = &self.config.routes[resolved.route];
        model.clone_into(&mut record.model);
        record.route = route.pattern.to_string();
        let caller = Arc::clone(&record.caller);
        // Of what is not understood nothing is known, and nothing is learned.
        let (estimate, prompt_bytes, on_disconnect) = match &errand.cargo {
            Cargo::Call { operation, call } => {
                (call.estimate(*operation), call.prompt_bytes, route.on_disconnect)
            }
            Cargo::Named(_) | Cargo::Form { .. } | Cargo::Whole(_) | Cargo::Stream(..) => {
                (NOTHING, 0, OnDisconnect::Cancel)
            }
        };
        let upstreams: Vec<(UpstreamId, &str)> = match route.pick {
            Pick::Weighted => Vec::new(),
            Pick::Fastest | Pick::LeastBusy => {
                let ids = route.to.iter().map(|target| target.upstream);
                ids.map(|id| (id, self.config.upstream(id).name.as_str())).collect()
            }
        };
        let longest =
            route.to.iter().map(|target| self.config.upstream(target.upstream).timeouts.total).max();
        let reservation = self.reservation(&caller, head, Some(route), estimate, longest.unwrap_or_default());
        let targets = route.to.iter().chain(&route.fallback);
        let mut breakers: Vec<String> =
            targets.map(|target| plan::breaker(self.config, route, target, &resolved.model)).collect();
        breakers.sort_unstable();
        breakers.dedup();
        let ask = Ask { standings: &upstreams, breakers: &breakers, reservation: Some(&reservation) };
        let opened = self.open(ask, model).await?;
        let gates: Vec<_> = breakers.into_iter().zip(opened.gates).collect();
        let mut trail = self.admit(docket, record, reservation);
        (trail.prompt_bytes, trail.on_disconnect) = (prompt_bytes, on_disconnect);
        let chance = Chance { roll: self.platform.roll(), now: self.platform.now() };
        let plan = plan::order(
            self.config,
            &caller,
            resolved,
            Known { standings: &opened.standings, gates: &gates },
            chance,
        );
        if let Some(explanation) = &mut self.explanation {
            explanation.planned(self.config, &plan);
        }
        let rules =
            Rules { retry: &route.retry, fallback_on: &route.fallback_on, route: route.pattern.as_str() };
        self.attempt_all(&rules, &plan, errand, trail).await
    }

    /// Asks one candidate after another until one answers or nothing is left to try.
    async fn attempt_all(
        &mut self,
        rules: &Rules<'_>,
        plan: &Plan,
        sent: Sent<'_, P::Upload>,
        mut trail: Trail<P>,
    ) -> Result<Response<Body<P>>, Refusal> {
        let Some(first) = plan.candidates.first() else {
            return Err(self.no_upstream(plan, trail));
        };
        let total = self.config.upstream(first.upstream).timeouts.total;
        let mut errand = Errand {
            platform: self.platform,
            config: self.config,
            trace: &self.trace,
            sent,
            deadline: self.started.after(total),
            total,
        };
        let (mut at, mut attempts) = (0, 0);
        loop {
            let candidate = &plan.candidates[at];
            if candidate.gate == Gate::HalfOpen && !trail.lease_probe(candidate).await {
                // Somebody else is trying it.
                at += 1;
                if at == plan.candidates.len() {
                    return Err(self.no_upstream(plan, trail));
                }
                continue;
            }
            attempts += 1;
            let outcome = errand.attempt(candidate, &mut trail).await;
            if let (Some(explanation), Some(record)) = (&mut self.explanation, trail.record()) {
                explanation.attempted(record);
            }
            let failure = match outcome {
                Ok(answer) => return Ok(deliver(answer, errand.sent.method, trail)),
                Err(failure) => failure,
            };
            let Some(condition) = failure.condition else {
                trail.ended(failure.ending, failure.refusal.status().as_u16());
                return Err(failure.refusal);
            };
            let situation = Situation {
                policy: rules.retry,
                fallback_on: rules.fallback_on,
                condition,
                retry_after: failure.retry_after,
                attempts,
                candidate: at,
                candidates: plan.candidates.len(),
                left: errand.left(),
                replayable: errand.sent.may_be_sent_again(failure.is_sent),
            };
            let Next::Try { candidate: next, wait } = self.next(&situation, plan).await else {
                let refusal = failure.spent(attempts >= rules.retry.attempts);
                trail.ended(Ending::Failed, refusal.status().as_u16());
                return Err(refusal);
            };
            self.note_next(rules.route, plan, at, next, &mut trail);
            if !wait.is_zero() {
                self.platform.sleep(wait).await;
            }
            at = next;
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

    fn no_upstream(&self, plan: &Plan, trail: Trail<P>) -> Refusal {
        let opens = plan.opens.map(|opens| opens.since(self.platform.now()));
        let refusal = Refusal::NoUpstream { retry_after: opens.unwrap_or(NO_UPSTREAM_RETRY) };
        trail.ended(Ending::Failed, refusal.status().as_u16());
        refusal
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

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { max_depth: self.config.server.max_depth, max_n: self.config.server.max_n }
    }
}

/// What is not understood is counted as a request and not in tokens.
const NOTHING: Estimate = Estimate { least: Tokens(0), wanted: Tokens(0) };

/// How a route wants its attempts made.
struct Rules<'a> {
    retry: &'a Retry,
    fallback_on: &'a [Condition],
    route: &'a str,
}

/// For what belongs to no route.
const ONCE_MORE: Retry =
    Retry { attempts: 2, backoff: Duration::from_millis(100), max_wait: Duration::from_secs(1) };

fn deliver<P: Platform>(answer: Answer<P>, method: &Method, mut trail: Trail<P>) -> Response<Body<P>> {
    let (mut head, body) = match answer {
        Answer::Whole { head, bytes, mut course } => {
            trail.note_usage(&mut course);
            trail.sent_first_byte();
            drop(course);
            trail.ended(Ending::Complete, head.status.as_u16());
            (head, Body::whole(bytes))
        }
        Answer::Flowing { head, held, course } => {
            if let Some(record) = trail.record() {
                record.status = head.status.as_u16();
            }
            let owed = owed(&head, method);
            (head, Body::flowing(held, owed, *course, trail))
        }
    };
    head.extensions.clear();
    Response::from_parts(head, body)
}

/// Bytes of an answer, where its head tells (RFC 9110, 6.4.1 and 8.6).
fn owed(head: &response::Parts, method: &Method) -> Option<u64> {
    let has_none =
        method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_none {
        return Some(0);
    }
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Failure {
    /// The refusal, knowing whether the gateway has used all its attempts.
    fn spent(self, all_used: bool) -> Refusal {
        match self.refusal {
            Refusal::RateLimited { model, retry_after, .. } => {
                Refusal::RateLimited { model, retry_after, attempts_used: all_used }
            }
            refusal => refusal,
        }
    }
}

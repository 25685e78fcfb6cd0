//! From an understood request to its answer: read, route, plan, attempt.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Response, StatusCode};

use super::attempts::{Rules, Unanswered};
use super::cargo::{Cargo, Sent, sent};
use super::delivery::deliver;
use super::lookup::{self, IDEMPOTENCY_KEY, Lookup, Request};
use super::stored::{Found, Terms};
use super::{Degraded, Journey};
use crate::breaker::Gate;
use crate::cache::Status;
use crate::call::{Bounds, Call, Estimate};
use crate::caller::Caller;
use crate::config::{Config, OnDisconnect, Pick, Retry, UpstreamId};
use crate::endpoint::{Address, Operation};
use crate::flight::Pilot;
use crate::ledger::{Ending, Record};
use crate::plan::{self, Candidate, Chance, Known, Plan, Resolved, Role};
use crate::platform::{Ask, Opened, Platform};
use crate::refusal::Refusal;
use crate::settlement::{Docket, Older, Trail};
use crate::stream::Body;
use crate::usage::Tokens;
use crate::{headers, intake};

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
        self.wait_for_turn(caller.priority).await?;
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
        self.wait_for_turn(caller.priority).await?;
        let (model, cargo) = self.read_passthrough(address, head, upload).await?;
        let record = self.record("passthrough", caller.clone());
        let mut errand = sent(head, address, cargo);
        if let Some(key) = head.headers.get(IDEMPOTENCY_KEY) {
            errand.headers.insert(IDEMPOTENCY_KEY, lookup::upstream_key(&caller, key));
        }
        if let Some(model) = model {
            let resolved = self.resolve(&caller, &model)?;
            return self.route(&model, &resolved, errand, head, record, docket).await;
        }
        let unset = || Refusal::NoPassthrough { path: head.uri.path().to_owned() };
        let upstream = self.config.passthrough.ok_or_else(unset)?;
        let config = self.config.upstream(upstream);
        let mut reservation = self.reservation(&caller, head, None, NOTHING, config.timeouts.total);
        let breaker = config.name.clone();
        let ask = Ask { breakers: std::slice::from_ref(&breaker), ..Ask::default() };
        let opened = self.open(ask, &mut reservation, head.uri.path()).await?;
        let trail = self.admit(docket, record, reservation);
        // What is not understood is not judged by either; but an operator's word counts.
        let gate = match opened.gates.first() {
            Some(gate @ Gate::Forced(_)) => *gate,
            Some(Gate::Closed | Gate::Open { .. } | Gate::HalfOpen) | None => Gate::Closed,
        };
        let candidate = Candidate {
            upstream,
            model: String::new(),
            role: Role::Target,
            breaker,
            policy: config.breaker,
            gate,
        };
        let mut plan = Plan::default();
        plan.take(candidate, self.platform.now());
        let rules = Rules { retry: &ONCE_MORE, fallback_on: &[], route: "" };
        self.ask_upstreams(&rules, &plan, errand, trail).await
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

    /// Answers from what is kept, from a call in flight, or from an upstream.
    async fn route(
        &mut self,
        model: &str,
        resolved: &Resolved,
        sent: Sent<P::Upload>,
        head: &Parts,
        mut record: Record,
        docket: Docket<P>,
    ) -> Result<Response<Body<P>>, Refusal> {
        let route = &self.config.routes[resolved.route];
        model.clone_into(&mut record.model);
        record.route = route.pattern.to_string();
        let caller = Arc::clone(&record.caller);
        // Of what is not understood nothing is known, and nothing is learned.
        let (mut lookup, estimate, prompt_bytes, on_disconnect) = match &sent.cargo {
            Cargo::Call { operation, call } => {
                let (suffix, query) = (sent.suffix.as_str(), sent.query.as_deref());
                let request = Request { operation: *operation, suffix, query, headers: &head.headers };
                let lookup = self.lookup(request, call, resolved, &caller)?;
                (lookup, call.estimate(*operation), call.prompt_bytes, route.on_disconnect)
            }
            Cargo::Named(_) | Cargo::Form { .. } | Cargo::Whole(_) | Cargo::Stream(..) => {
                (Lookup::default(), NOTHING, 0, OnDisconnect::Cancel)
            }
        };
        let longest =
            route.to.iter().map(|target| self.config.upstream(target.upstream).timeouts.total).max();
        let longest = longest.unwrap_or_default();
        let mut reservation = self.reservation(&caller, head, Some(route), estimate, longest);
        let (breakers, upstreams) = (breakers(self.config, resolved), upstreams(self.config, resolved));
        let ask = Ask { standings: &upstreams, breakers: &breakers, ..Ask::default() };
        let (opened, listener) = self.open_call(ask, &lookup, &mut reservation, model).await?;
        (record.cache, self.cache) = (lookup.status, lookup.status);
        let mut trail = self.admit(docket, record, reservation);
        trail.prompt_bytes = prompt_bytes;
        trail.on_disconnect = lookup.on_disconnect(on_disconnect);
        (trail.keeping, trail.most_kept) = (std::mem::take(&mut lookup.keeping), lookup.most);

        let found = Found::look(&opened, &sent.cargo);
        let plan = self.plan(&opened, breakers, &caller, resolved);
        let stale = match found {
            Some(found) if found.terms == Terms::IfError => Some(found),
            Some(found) => {
                if let Some(record) = trail.record() {
                    (record.cache, record.status) = (Some(found.status), StatusCode::OK.as_u16());
                }
                match found.terms {
                    Terms::Replace => {
                        trail.older = Older::Given;
                        self.lead(Pilot::alone(), plan, resolved.route, sent, trail);
                    }
                    Terms::Given | Terms::IfError => trail.followed(found.end()),
                }
                return Ok(self.give(found));
            }
            None => None,
        };
        if lookup.only_if_cached {
            let refusal = Refusal::NotCached;
            trail.ended(Ending::Rejected, refusal.status().as_u16());
            return Err(refusal);
        }
        if stale.is_some() {
            trail.older = Older::StandsIn;
        }
        let answer = match self.platform.flights().filter(|_| !lookup.flights.is_empty()) {
            None => {
                let rules = Rules {
                    retry: &route.retry,
                    fallback_on: &route.fallback_on,
                    route: route.pattern.as_str(),
                };
                self.ask_upstreams(&rules, &plan, sent, trail).await
            }
            Some(flights) => {
                let deserted = lookup.on_disconnect(on_disconnect).into();
                match listener.map_or_else(|| flights.begin(&lookup.flights, deserted), Err) {
                    Ok((pilot, listener)) => {
                        self.lead(pilot, plan, resolved.route, sent, trail);
                        self.follow(listener, None, longest).await
                    }
                    Err(listener) => {
                        self.cache = Some(Status::Coalesced);
                        if let Some(record) = trail.record() {
                            record.cache = self.cache;
                        }
                        self.follow(listener, Some(trail), longest).await
                    }
                }
            }
        };
        match (answer, stale) {
            (Err(refusal), Some(stale)) if refusal.is_upstreams() => {
                self.degraded = Some(Degraded::Stale);
                Ok(self.give(stale))
            }
            (answer, _) => answer,
        }
    }

    async fn ask_upstreams(
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
            Ok(answer) => Ok(deliver(answer, &method, trail)),
            Err(Unanswered { refusal, ending }) => {
                trail.unanswered(ending, &refusal);
                Err(refusal)
            }
        }
    }

    fn plan(&mut self, opened: &Opened, breakers: Vec<String>, caller: &Caller, resolved: &Resolved) -> Plan {
        let gates: Vec<_> = breakers.into_iter().zip(opened.gates.iter().copied()).collect();
        let known = Known { standings: &opened.standings, gates: &gates };
        let chance = Chance { roll: self.platform.roll(), now: self.platform.now() };
        let plan = plan::order(self.config, caller, resolved, known, chance);
        if let Some(explanation) = &mut self.explanation {
            explanation.planned(self.config, &plan);
        }
        plan
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { max_depth: self.config.server.max_depth, max_n: self.config.server.max_n }
    }
}

/// Whose standing the plan needs.
fn upstreams<'c>(config: &'c Config, resolved: &Resolved) -> Vec<(UpstreamId, &'c str)> {
    let route = &config.routes[resolved.route];
    match route.pick {
        Pick::Weighted => Vec::new(),
        Pick::Fastest | Pick::LeastBusy => {
            let ids = route.to.iter().map(|target| target.upstream);
            ids.map(|id| (id, config.upstream(id).name.as_str())).collect()
        }
    }
}

/// Whose gates it needs.
fn breakers(config: &Config, resolved: &Resolved) -> Vec<String> {
    let route = &config.routes[resolved.route];
    let targets = route.to.iter().chain(&route.fallback);
    let mut breakers: Vec<String> =
        targets.map(|target| plan::breaker(config, route, target, &resolved.model)).collect();
    breakers.sort_unstable();
    breakers.dedup();
    breakers
}

/// What is not understood is counted as a request and not in tokens.
const NOTHING: Estimate = Estimate { least: Tokens(0), wanted: Tokens(0) };

/// For what belongs to no route.
const ONCE_MORE: Retry =
    Retry { attempts: 2, backoff: Duration::from_millis(100), max_wait: Duration::from_secs(1) };

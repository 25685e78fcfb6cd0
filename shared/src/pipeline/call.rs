//! From a request to what it asks for: read, resolve; and the asking of what belongs to no route.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http::request::Parts;

use super::Journey;
use super::cache::lookup::{self, IDEMPOTENCY_KEY};
use super::failover::{Rules, Unanswered};
use super::heavy;
use super::ownership::Named;
use super::reply::deliver;
use super::request_body::{self, Asked, Cargo, Sent, may_call_any};
use crate::config::{Config, PassthroughRule, Retry, Unlisted, UpstreamId};
use crate::dialect::call::{self, Bounds, Call, Estimate};
use crate::dialect::endpoint::{Address, Bodies, Operation, PassedPath, PassthroughKind};
use crate::identity::caller::Caller;
use crate::ledger::record::Record;
use crate::ledger::usage::Tokens;
use crate::pipeline::accounting::Trail;
use crate::pipeline::read;
use crate::pipeline::reply::body::Body;
use crate::platform::{Ask, Platform};
use crate::refusal::Refusal;
use crate::routing::breaker::{Gate, Policies};
use crate::routing::plan::{self, Candidate, Plan, Resolved, Role};
use crate::wire::headers::AllowedHeaders;
use crate::wire::{headers, websocket};

impl<P: Platform> Journey<'_, P> {
    /// An understood call.
    pub(super) async fn call(
        &mut self,
        operation: Operation,
        address: &Address,
        head: &Parts,
        caller: Arc<Caller>,
        upload: P::Upload,
    ) -> Result<Response<Body<P>>, Refusal> {
        if headers::media_type(&head.headers).as_deref() != Some("application/json") {
            return Err(request_body::not_json());
        }
        let holder = self.holder(&caller);
        let body = read::collect(self.platform, &self.config.server, &holder, &head.headers, upload).await?;
        let body_length = body.len();
        let (deployment, bounds) = (address.deployment.clone(), self.bounds());
        let read = move || Call::parse(operation, deployment.as_deref(), body, bounds);
        let mut call = heavy::computed(self.platform, body_length, read).await?;
        if !may_call_any(&caller) {
            self.check_nested(heavy::of_call(self.platform, &call, Call::other_models).await, &caller)?;
        }
        let model = call.model.clone();
        let queried = request_body::queried(head)?;
        if queried.is_some_and(|queried| queried.model != model) {
            return Err(request_body::names_two());
        }
        self.wait_for_turn(caller.priority).await?;
        let owner = self.own_called(operation, &call, &caller).await?;
        let mut record = self.record(operation.name(), caller.clone());
        record.streamed = call.stream;
        let resolved = if model.is_empty() {
            let Some(resolved) = plan::resolve_unnamed(self.config, &caller) else {
                let path = PassedPath::of_call(&address.suffix);
                let access = self.opened(head, &path, &caller).map_err(|_| call::no_model())?;
                if !access.rule.admits(&caller, Unlisted::AnyModel) {
                    return Err(call::no_model());
                }
                let asked = Asked { head, address, cargo: Cargo::Call { operation, call }, owner };
                return self.ask_passthrough(access.rule, None, asked, record).await;
            };
            resolved
        } else {
            self.resolve(&caller, &model)?
        };
        call.fill(operation, &self.config.routes[resolved.route].defaults);
        if let Some(explanation) = &mut self.explanation {
            explanation.filled(call.given());
        }
        let asked = Asked { head, address, cargo: Cargo::Call { operation, call }, owner };
        self.route(&model, &resolved, asked, record).await
    }

    /// A path that is not understood and is opened: routed by the model it names, if nothing that stays is made there.
    pub(super) async fn pass_through(
        &mut self,
        kind: PassthroughKind,
        address: &Address,
        head: &Parts,
        caller: Arc<Caller>,
        upload: P::Upload,
    ) -> Result<Response<Body<P>>, Refusal> {
        let access = self.opened(head, &address.passed, &caller)?;
        let is_websocket = websocket::is_relayed(head, address);
        if is_websocket {
            self.check_websocket(head)?;
        }
        // A form that names an object of this account is read, whatever files are in it.
        let bodies = match kind.bodies {
            Bodies::Files if access.rule.owners.is_some() && access.reached.id.is_some() => Bodies::Readable,
            bodies @ (Bodies::Json | Bodies::Readable | Bodies::Files) => bodies,
        };
        let (model, cargo) = self.read_passthrough(bodies, address, head, &caller, upload).await?;
        let named = Named::by(&access, (head, address), &cargo)?.read(self.platform).await?;
        let owner = self.own_passed(&access, (head, address), named, &caller).await?;
        self.wait_for_turn(caller.priority).await?;
        let record = self.record(if is_websocket { "realtime" } else { "passthrough" }, caller.clone());
        let asked = Asked { head, address, cargo, owner };
        let Some(model) = model else {
            // Behind its handshake a session may name any.
            let unlisted = if is_websocket { Unlisted::AnyModel } else { Unlisted::Nothing };
            if !access.rule.admits(&caller, unlisted) {
                return Err(Refusal::NamesNoModel { path: head.uri.path().to_owned() });
            }
            return self.ask_passthrough(access.rule, None, asked, record).await;
        };
        let resolved = self.resolve(&caller, &model)?;
        if access.is_bound {
            return self.ask_passthrough(access.rule, Some((&model, &resolved)), asked, record).await;
        }
        self.check_tenant(&resolved, head, &caller)?;
        self.route(&model, &resolved, asked, record).await
    }

    /// Refuses a websocket that cannot be relayed, before anything is held for it.
    fn check_websocket(&self, head: &Parts) -> Result<(), Refusal> {
        if !self.platform.relays_websockets() {
            return Err(Refusal::NoWebSocket);
        }
        websocket::check(head)
    }

    /// How long a request may hold what it holds, which is bounded by `total` at its upstream.
    pub(super) fn longest<U>(&self, asked: &Asked<'_, U>, total: Duration) -> Duration {
        let session = self.config.server.websocket.total;
        if websocket::is_relayed(asked.head, asked.address) { total + session } else { total }
    }

    /// What goes to the upstream that `rule` opens: it names no model, or the model that it names does not lead elsewhere.
    async fn ask_passthrough(
        &mut self,
        rule: &PassthroughRule,
        named: Option<(&str, &Resolved)>,
        asked: Asked<'_, P::Upload>,
        mut record: Record,
    ) -> Result<Response<Body<P>>, Refusal> {
        let (head, operation) = (asked.head, asked.cargo.operation());
        let caller = Arc::clone(&record.caller);
        let (estimate, prompt_bytes) = match &asked.cargo {
            Cargo::Call { operation, call } => (call.estimate(*operation), call.prompt_bytes),
            Cargo::Named(_)
            | Cargo::Form { .. }
            | Cargo::Pairs { .. }
            | Cargo::Whole(_)
            | Cargo::Stream(..) => (NOTHING, 0),
        };
        let (upstream, route) =
            (rule.upstream, named.map(|(_, resolved)| &self.config.routes[resolved.route]));
        let model =
            named.map(|(_, resolved)| upstream_model(self.config, upstream, resolved)).unwrap_or_default();
        let config = self.config.upstream(upstream);
        let mut reservation = self.reservation(&caller, route, estimate);
        if let (Some((model, _)), Some(route)) = (named, route) {
            model.clone_into(&mut record.model);
            record.route = route.pattern.to_string();
        }
        let breaker = config.name.clone();
        let ask = Ask { tenant: &caller.tenant, breakers: std::slice::from_ref(&breaker), ..Ask::default() };
        let opened = self.open(ask, &mut reservation, head.uri.path()).await?;
        let mut trail = self.admit(record, reservation);
        trail.address = self.address;
        trail.prompt_bytes = prompt_bytes;
        trail.hold(None);
        let gate = opened.gates.first().copied().unwrap_or(Gate::Closed);
        let gate = match (gate, operation) {
            (Gate::Forced(_), _) | (_, Some(_)) => gate,
            // What is not understood is not judged by either; but an operator's word counts.
            (Gate::Closed | Gate::Open { .. } | Gate::HalfOpen, None) => Gate::Closed,
        };
        let candidate = Candidate {
            upstream,
            model,
            role: Role::Target,
            breaker,
            policies: Policies::alone(config.breaker),
            gate,
        };
        let mut plan = Plan::default();
        plan.take(candidate, self.platform.now());
        let rules = Rules {
            retry: &ONCE_MORE,
            fallback_on: &[],
            route: "",
            hold_back: Duration::ZERO,
            keep_alive: None,
        };
        let key = head.headers.get(IDEMPOTENCY_KEY);
        let allowed = AllowedHeaders::of(&head.headers, &[&config.forward_headers]);
        let mut sent = asked.sent(&caller, allowed);
        // Nothing is kept of it here, so it is the upstream that knows it again.
        if let Some(key) = key {
            sent.headers.insert(IDEMPOTENCY_KEY, lookup::upstream_key(&caller, key));
        }
        self.ask_upstreams(&rules, &plan, sent, trail).await
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

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { max_depth: self.config.server.max_depth, max_n: self.config.server.max_n }
    }
}

/// What the model is called at the upstream that a rule opens: as its route has it, where that leads there.
fn upstream_model(config: &Config, upstream: UpstreamId, resolved: &Resolved) -> String {
    let route = &config.routes[resolved.route];
    let target = route.to.iter().chain(&route.fallback).find(|target| target.upstream == upstream);
    target.and_then(|target| target.model.clone()).unwrap_or_else(|| resolved.model.clone())
}

/// What is not understood is counted as a request and not in tokens.
pub(super) const NOTHING: Estimate = Estimate { least: Tokens(0), wanted: Tokens(0) };

/// For what belongs to no route.
const ONCE_MORE: Retry =
    Retry { attempts: 2, backoff: Duration::from_millis(100), max_wait: Duration::from_secs(1) };

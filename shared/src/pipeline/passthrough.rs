//! A path that is not understood and is opened: routed by the model it names, or sent to the upstream that opens it.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http::request::Parts;

use super::cache::lookup::{self, IDEMPOTENCY_KEY};
use super::exchange::Journey;
use super::failover::Rules;
use super::open::NOTHING;
use super::ownership::Named;
use super::reply::body::Body;
use super::request_body::Asked;
use super::sent::Cargo;
use super::share::lease;
use crate::config::Config;
use crate::dialect::endpoint::{Address, Bodies, PassthroughKind};
use crate::identity::caller::Caller;
use crate::ledger::record::Record;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::breaker::{Gate, Policies};
use crate::routing::passthrough::{PassthroughRule, Unlisted};
use crate::routing::plan::{Candidate, Plan, Resolved, Role};
use crate::routing::retry::Retry;
use crate::routing::upstream::UpstreamId;
use crate::store::protocol::Ask;
use crate::wire::headers::AllowedHeaders;
use crate::wire::websocket;

impl<P: Platform> Journey<'_, P> {
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
        let is_websocket = websocket::is_relayed(head, &address.suffix);
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
            return self.ask_passthrough(access.rule, None, &caller, asked, record).await;
        };
        let resolved = self.resolve(&caller, &model)?;
        if access.is_bound {
            return self
                .ask_passthrough(access.rule, Some((&model, &resolved)), &caller, asked, record)
                .await;
        }
        self.check_tenant(&resolved, head, &caller)?;
        self.route(caller, &model, &resolved, asked, record).await
    }

    /// Refuses a websocket that cannot be relayed, before anything is held for it.
    fn check_websocket(&self, head: &Parts) -> Result<(), Refusal> {
        if !self.platform.relays_websockets() {
            return Err(Refusal::NoWebSocket);
        }
        websocket::check(head).map_err(Refusal::from)
    }

    /// What goes to the upstream that `rule` opens: it names no model, or the model that it names does not lead elsewhere.
    pub(super) async fn ask_passthrough(
        &mut self,
        rule: &PassthroughRule,
        named: Option<(&str, &Resolved)>,
        caller: &Caller,
        asked: Asked<'_, P::Upload>,
        mut record: Record,
    ) -> Result<Response<Body<P>>, Refusal> {
        let (head, operation) = (asked.head, asked.cargo.operation());
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
        let mut reservation = self.reservation(caller, route, estimate);
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
        lease::hold(&mut trail, None);
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
        let mut sent = asked.sent(caller, allowed);
        // Nothing is kept of it here, so it is the upstream that knows it again.
        if let Some(key) = key {
            sent.headers.insert(IDEMPOTENCY_KEY, lookup::upstream_key(caller, key));
        }
        self.ask_upstreams(&rules, &plan, sent, trail).await
    }
}

/// What the model is called at the upstream that a rule opens: as its route has it, where that leads there.
fn upstream_model(config: &Config, upstream: UpstreamId, resolved: &Resolved) -> String {
    let route = &config.routes[resolved.route];
    let target = route.to.iter().chain(&route.fallback).find(|target| target.upstream == upstream);
    target.and_then(|target| target.model.clone()).unwrap_or_else(|| resolved.model.clone())
}

/// For what belongs to no route.
const ONCE_MORE: Retry =
    Retry { attempts: 2, backoff: Duration::from_millis(100), max_wait: Duration::from_secs(1) };

//! A request on its route: answered from what is kept, from a call in flight, or by an upstream.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};

use super::accounting::task::Relay;
use super::cache::answer::{Found, Terms};
use super::cache::lookup::Lookup;
use super::exchange::{Degraded, Journey};
use super::explanation;
use super::failover::Rules;
use super::open::NOTHING;
use super::request_body::Asked;
use super::sent::Cargo;
use super::share::{Open, lease};
use crate::cache::in_flight::{Deserted, Listener, Pilot};
use crate::config::Config;
use crate::identity::caller::Caller;
use crate::ledger::cache_status::Status;
use crate::ledger::record::{Ending, Record};
use crate::pipeline::accounting::{Older, Trail};
use crate::pipeline::reply::body::Body;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::plan::{self, Chance, Known, Plan, Resolved};
use crate::routing::route::{OnDisconnect, Pick};
use crate::routing::upstream::UpstreamId;
use crate::store::lease::Leased;
use crate::store::protocol::{Ask, Opened, Repeated};
use crate::wire::headers::{AllowedHeaders, HeaderNames};
use crate::wire::websocket;

/// A request whose books are open, and all that is known of it.
struct Case<'a, U> {
    resolved: &'a Resolved,
    caller: Arc<Caller>,
    asked: Asked<'a, U>,
    allowed: AllowedHeaders,
    breakers: Vec<String>,
    opened: Opened,
    /// How long it may take.
    longest: Duration,
}

impl<P: Platform> Journey<'_, P> {
    /// The route for the model that `caller` names, if it may use it.
    pub(super) fn resolve(&mut self, caller: &Caller, model: &str) -> Result<Resolved, Refusal> {
        if let Some(explanation) = &mut self.explanation {
            explanation.asked(model);
        }
        let resolved = plan::resolve(self.config.table(), caller, model);
        let resolved = resolved.ok_or_else(|| Refusal::ModelNotFound { model: model.to_owned() })?;
        if let Some(explanation) = &mut self.explanation {
            explanation::resolved(explanation, self.config, &resolved);
        }
        Ok(resolved)
    }

    /// Reserves and looks, and asks if nothing was found.
    pub(super) async fn route(
        &mut self,
        caller: Arc<Caller>,
        model: &str,
        resolved: &Resolved,
        asked: Asked<'_, P::Upload>,
        mut record: Record,
    ) -> Result<Response<Body<P>>, Refusal> {
        let route = &self.config.routes[resolved.route];
        model.clone_into(&mut record.model);
        record.route = route.pattern.to_string();
        let allowed = AllowedHeaders::of(&asked.head.headers, &header_lists(self.config, resolved));
        // Of what is not understood nothing is known, and nothing is learned.
        let (mut lookup, call, estimate, on_disconnect) = match &asked.cargo {
            Cargo::Call { operation, call } => {
                let lookup =
                    self.lookup(asked.request(*operation, &allowed), call, resolved, &caller).await?;
                (lookup, Some(call), call.estimate(*operation), route.on_disconnect)
            }
            Cargo::Named(_)
            | Cargo::Form { .. }
            | Cargo::Pairs { .. }
            | Cargo::Whole(_)
            | Cargo::Stream(..) => (Lookup::default(), None, NOTHING, OnDisconnect::Cancel),
        };
        let longest =
            route.to.iter().map(|target| self.config.upstream(target.upstream).timeouts.total).max();
        let longest = self.longest(&asked, longest.unwrap_or_default());
        let mut reservation = self.reservation(&caller, Some(route), estimate);
        let (breakers, upstreams) = (breakers(self.config, resolved), upstreams(self.config, resolved));
        let ask =
            Ask { tenant: &caller.tenant, standings: &upstreams, breakers: &breakers, ..Ask::default() };
        let open = self.open_call(ask, &mut lookup, &mut reservation, (model, call), longest).await?;
        let Open { opened, mut found, listener } = open;
        (record.cache, self.cache) = (lookup.status, lookup.status);
        let mut trail = self.admit(record, reservation);
        trail.address = self.address;
        trail.prompt_bytes = call.map_or(0, |call| call.prompt_bytes);
        trail.on_disconnect = lookup.on_disconnect(on_disconnect);
        (trail.keeping, trail.most_kept) = (std::mem::take(&mut lookup.keeping), lookup.most);
        // Whoever repeats a call has nothing to keep for its key: it is the first one's.
        let is_first = opened.repeated == Some(Repeated::First);
        trail.keeping.repeat = trail.keeping.repeat.filter(|_| is_first);
        lease::hold(&mut trail, lookup.lease.filter(|_| opened.leased == Some(Leased::Own)));

        if let Some(found) = found.as_mut().filter(|_| lookup.awaited.is_some()) {
            found.was_awaited();
        }
        let case = Case { resolved, caller, asked, allowed, breakers, opened, longest };
        let stale = match found {
            Some(found) if found.terms != Terms::IfError => return Ok(self.give_kept(found, case, trail)),
            stale => stale,
        };
        if lookup.only_if_cached {
            let refusal = Refusal::NotCached;
            trail.ended(Ending::Rejected, refusal.status().as_u16());
            return Err(refusal);
        }
        if stale.is_some() {
            trail.older = Older::StandsIn;
        }
        let answer = self.obtain(case, &lookup, listener, trail).await;
        match (answer, stale) {
            (Err(refusal), Some(stale)) if refusal.is_upstreams() => {
                self.degraded = Some(Degraded::Stale);
                Ok(self.give(stale))
            }
            (answer, _) => answer,
        }
    }

    /// Gives what is kept; behind it the settlement may fetch a new one.
    fn give_kept(
        &mut self,
        found: Found,
        case: Case<'_, P::Upload>,
        mut trail: Trail<P>,
    ) -> Response<Body<P>> {
        if let Some(record) = trail.record() {
            (record.cache, record.status) = (Some(found.status), StatusCode::OK.as_u16());
        }
        match found.terms {
            Terms::Replace => {
                trail.older = Older::Given;
                self.lead(Pilot::alone(), case, trail);
            }
            Terms::Given | Terms::IfError => trail.followed(found.end()),
        }
        self.give(found)
    }

    /// An answer that is not here yet: from a call in flight, or by a call of its own.
    async fn obtain(
        &mut self,
        case: Case<'_, P::Upload>,
        lookup: &Lookup,
        listener: Option<Listener>,
        mut trail: Trail<P>,
    ) -> Result<Response<Body<P>>, Refusal> {
        let longest = case.longest;
        let keep_alive = match &case.asked.cargo {
            Cargo::Call { call, .. } if call.stream => self.config.routes[case.resolved.route].keep_alive,
            Cargo::Call { .. }
            | Cargo::Named(_)
            | Cargo::Form { .. }
            | Cargo::Pairs { .. }
            | Cargo::Whole(_)
            | Cargo::Stream(..) => None,
        };
        let Some(flights) = self.platform.flights().filter(|_| !lookup.flights.is_empty()) else {
            let plan = self.plan(&case);
            let rules = Rules::of(&self.config.routes[case.resolved.route]);
            let sent = case.asked.sent(&case.caller, case.allowed);
            return self.ask_upstreams(&rules, &plan, sent, trail).await;
        };
        let overheard = lookup.lease.zip(lookup.overheard).filter(|_| self.degraded.is_none());
        // What is made elsewhere is cancelled by nobody here.
        let deserted = match trail.on_disconnect {
            OnDisconnect::Finish if overheard.is_none() => Deserted::Finish,
            OnDisconnect::Finish | OnDisconnect::Cancel => Deserted::Cancel,
        };
        let listener = match listener.map_or_else(|| flights.begin(&lookup.flights, deserted), Err) {
            Ok((pilot, listener)) => match overheard {
                None => {
                    self.lead(pilot, case, trail);
                    return self.follow(listener, None, longest, keep_alive).await;
                }
                Some((lease, id)) => {
                    Relay { platform: self.platform.clone(), lease, id, pilot }.start(&mut trail);
                    listener
                }
            },
            Err(listener) => listener,
        };
        self.cache = Some(Status::Coalesced);
        if let Some(record) = trail.record() {
            record.cache = self.cache;
        }
        self.follow(listener, Some(trail), longest, keep_alive).await
    }

    /// How long a request may hold what it holds, which is bounded by `total` at its upstream.
    fn longest<U>(&self, asked: &Asked<'_, U>, total: Duration) -> Duration {
        let session = self.config.server.websocket.total;
        if websocket::is_relayed(asked.head, &asked.address.suffix) { total + session } else { total }
    }

    /// Lets the settlement make the call.
    fn lead(&mut self, pilot: Pilot, case: Case<'_, P::Upload>, trail: Trail<P>) {
        let plan = self.plan(&case);
        let sent = case.asked.sent(&case.caller, case.allowed);
        self.hand_over(pilot, plan, case.resolved.route, sent, trail);
    }

    fn plan<U>(&mut self, case: &Case<'_, U>) -> Plan {
        let gates: Vec<_> = case.breakers.iter().cloned().zip(case.opened.gates.iter().copied()).collect();
        let known = Known { standings: &case.opened.standings, gates: &gates };
        let chance = Chance { roll: self.platform.roll(), now: self.platform.now() };
        let plan = plan::order(self.config.table(), &case.caller, case.resolved, known, chance);
        if let Some(explanation) = &mut self.explanation {
            explanation::planned(explanation, self.config, &plan);
        }
        plan
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

/// The headers that any of its upstreams may have: none of them is sent what the key does not know.
fn header_lists<'c>(config: &'c Config, resolved: &Resolved) -> Vec<&'c HeaderNames> {
    let route = &config.routes[resolved.route];
    let targets = route.to.iter().chain(&route.fallback);
    targets.map(|target| &config.upstream(target.upstream).forward_headers).collect()
}

/// Whose gates it needs.
fn breakers(config: &Config, resolved: &Resolved) -> Vec<String> {
    let route = &config.routes[resolved.route];
    let targets = route.to.iter().chain(&route.fallback);
    let mut breakers: Vec<String> =
        targets.map(|target| plan::breaker(config.table(), route, target, &resolved.model)).collect();
    breakers.sort_unstable();
    breakers.dedup();
    breakers
}

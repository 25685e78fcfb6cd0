//! A store under observation: each operation goes to the real one and to its model, and what it answers is
//! judged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir::cache::{Entry, Freshness};
use weir::dialect::endpoint::Form;
use weir::routing::breaker::control::{self, Full, Listing, Order};
use weir::routing::breaker::{FaultScope, Gate, Report};
use weir::store::embedded::Store;
use weir::store::lease::{Lease, Leased, Overheard, Piece, Renewed};
use weir::store::protocol::{
    Ask, Closing, Finding, Held, Holding, Opened, Ownership, Recalled, Repeated, Reservation,
};
use weir::time::Instant;

use crate::model::Model;
use crate::model::breakers::Breakers;
use crate::model::limits::Grant;
use crate::model::retries::Retries;
use crate::paper::Paper;
use crate::request::Reserved;
use crate::setup;
use crate::world::World;

/// Bytes of answers that are kept: more than any run has.
const CACHE: u64 = 256 << 20;

/// A core that is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// Requests are let through and not counted.
    ForgetsToCount,
    /// Whoever asks gets the probe.
    LetsAllProbe,
    /// An open breaker is said to be closed.
    HidesOpenBreakers,
    /// The answer to anything is what was kept last, whoever asked for it.
    GivesForeignAnswers,
    /// Half of an answer is kept.
    KeepsHalves,
    /// Books are closed, and what they held is not given back.
    NeverSettles,
    /// Books are not closed at all.
    LosesBooks,
    /// Every retry is granted.
    GrantsAllRetries,
}

/// One store, real and as it should be.
#[derive(Debug)]
pub(crate) struct Counter {
    held: Held,
    store: RefCell<Store>,
    model: RefCell<Model>,
    sabotage: Sabotage,
    last: RefCell<Option<Arc<Entry>>>,
}

impl Counter {
    pub(crate) fn new(held: Held, now: Instant, sabotage: Sabotage) -> Self {
        let model = Model { retries: Retries::since(now), ..Model::default() };
        let (store, model) = (RefCell::new(Store::new(now, CACHE)), RefCell::new(model));
        Self { held, store, model, sabotage, last: RefCell::default() }
    }

    pub(crate) fn sabotage(&self) -> Sabotage {
        self.sabotage
    }

    pub(crate) fn model(&self) -> std::cell::Ref<'_, Model> {
        self.model.borrow()
    }

    /// Does what is asked, for the request whose turn it is. Gives the name of the reservation that was made.
    pub(crate) fn open(&self, world: &World, ask: Ask<'_>) -> (Opened, Option<u64>) {
        let now = world.now();
        let mut opened = self.opened(ask, now);
        self.judge_gates(world, ask, &opened);
        self.judge_recalled(world, ask, &opened);
        let Some(reservation) = ask.reservation else { return (opened, None) };
        let is_elsewhere = match &opened.repeated {
            Some(Repeated::Conflict) => true,
            Some(Repeated::Running) => !ask.follows,
            Some(Repeated::First | Repeated::Answered { .. }) | None => false,
        };
        if is_elsewhere || matches!(opened.leased, Some(Leased::Elsewhere { .. })) {
            return (opened, None);
        }
        if matches!(opened.repeated, Some(Repeated::Answered { .. })) {
            world.count(|tally| tally.repeated += 1);
        }
        let mut model = self.model.borrow_mut();
        let accounts = self.accounts(world, reservation);
        if let Some(denied) = &opened.denied {
            world.judge.hear(1, model.limits.deny(&accounts, denied, now));
            return (opened, None);
        }
        if is_charge(reservation) {
            let grant = Grant { id: reservation.want.id, tokens: 0, expires: now, now };
            world.judge.hear(1, model.limits.admit(&accounts, grant));
            return (opened, None);
        }
        world.request_mut(world.current()).tokens = opened.reserved.0;
        // Who is answered from elsewhere earns no retry.
        if opened.reserved.0 > 0 {
            model.retries.request();
        }
        let want = reservation.want;
        let grant = Grant { id: want.id, tokens: opened.reserved.0, expires: now.after(want.lasts), now };
        world.judge.hear(1, model.limits.admit(&accounts, grant));
        if self.sabotage == Sabotage::GivesForeignAnswers && opened.recalled.is_none() {
            opened.recalled = self.foreign();
        }
        (opened, Some(want.id))
    }

    fn opened(&self, ask: Ask<'_>, now: Instant) -> Opened {
        let mut store = self.store.borrow_mut();
        match (self.sabotage, ask.reservation) {
            (Sabotage::ForgetsToCount, Some(reservation)) => {
                let uncounted = Reservation { scopes: Vec::new(), ..reservation.clone() };
                store.open(Ask { reservation: Some(&uncounted), ..ask }, now)
            }
            (Sabotage::HidesOpenBreakers, _) => {
                let mut opened = store.open(ask, now);
                opened.gates.iter_mut().for_each(|gate| *gate = Gate::Closed);
                opened
            }
            _ => store.open(ask, now),
        }
    }

    fn foreign(&self) -> Option<Recalled> {
        let entry = self.last.borrow().clone()?;
        let (age, freshness) = (std::time::Duration::ZERO, Freshness::Fresh);
        Some(Recalled { entry, age, freshness, refresh: false, is_stale: false })
    }

    /// What is to hold, in the words of the configuration; what the core asks for must be the same.
    fn accounts(
        &self,
        world: &World,
        reservation: &Reservation,
    ) -> Vec<(weir::limits::account::Scope, weir::limits::Limits)> {
        let request = world.request(world.current());
        let accounts = match self.held {
            Held::InStore => Some(setup::accounts(&world.plan.config, request.order())),
            Held::Locally => setup::local_accounts(&world.plan.config, request.order()),
        };
        let Some(accounts) = accounts else {
            world.judge.broken(1, "the store is lost, the policy is closed, and a request is admitted");
            return Vec::new();
        };
        let accounts = if is_charge(reservation) { charged(accounts) } else { accounts };
        if accounts != reservation.scopes {
            let text =
                format!("reserved {:?} where {accounts:?} holds ({:?})", reservation.scopes, self.held);
            world.judge.broken(1, text);
        }
        accounts
    }

    fn judge_gates(&self, world: &World, ask: Ask<'_>, opened: &Opened) {
        let (model, now) = (self.model.borrow(), world.now());
        if ask.reservation.is_none() || opened.gates.len() != ask.breakers.len() {
            return;
        }
        let mut request = world.request_mut(world.current());
        request.gates.clear();
        for (name, gate) in ask.breakers.iter().zip(&opened.gates) {
            world.judge.hear(2, model.breakers.gate(name, *gate, now));
            request.gates.insert(name.clone(), *gate);
        }
    }

    /// What is recalled must be the answer to the same question of the same tenant; and where there is one,
    /// it must be recalled.
    fn judge_recalled(&self, world: &World, ask: Ask<'_>, opened: &Opened) {
        let Some(recall) = ask.recall else { return };
        let request = world.request(world.current());
        let question = (request.order().tenant(), request.order().canonical());
        let window = recall.window.fresh.max(recall.window.revalidate).max(recall.window.if_error);
        let longest = window.min(setup::life(&world.plan.config));
        let model = self.model.borrow();
        let kept = model.answers.find(&question, longest, world.now());
        let recalled = opened.recalled.as_ref().map(|recalled| Paper::call_of(&recalled.entry.body));
        match (kept, recalled) {
            (None, None) => {}
            (Some(kept), Some(call)) if call == Some(kept.call) => {}
            (Some(kept), Some(call)) => {
                let text = format!("{question:?} is answered with call {call:?}, not with {kept:?}");
                world.judge.broken(8, text);
            }
            (Some(kept), None) => {
                world.judge.broken(8, format!("{question:?} is kept as {kept:?}, and is not found"));
            }
            (None, Some(call)) => {
                world.judge.broken(8, format!("nothing is kept for {question:?}, and {call:?} is found"));
            }
        }
    }

    pub(crate) fn close(&self, world: &World, closing: &Closing, roll: u64) {
        let now = world.now();
        Self::judge_kept(world, closing);
        let mut closing = closing.clone();
        if let (Sabotage::KeepsHalves, Some(entry)) = (self.sabotage, &mut closing.keeping.entry) {
            let half = entry.body.slice(..entry.body.len() / 2);
            *entry = Arc::new(Entry { body: half, ..Entry::clone(entry) });
        }
        if self.sabotage != Sabotage::NeverSettles {
            self.store.borrow_mut().close(&closing, now, roll);
        }
        let mut model = self.model.borrow_mut();
        let id = closing.reservation.want.id;
        world.judge.hear(4, model.limits.settle(id, closing.used.0, now));
        if let Some(reserved) = world.request_mut(world.current()).reservations.get_mut(&id) {
            *reserved = Reserved::Settled;
        }
        Self::judge_findings(world, &closing);
        for finding in &closing.findings {
            model.breakers.observe(finding, id, now);
        }
        for abandoned in &closing.abandoned {
            model.breakers.release(abandoned, id);
        }
        Self::judge_leases(world, &model.breakers, id);
        if let (Some(entry), Some(_)) = (&closing.keeping.entry, closing.keeping.cache) {
            let request = world.request(world.current());
            let question = (request.order().tenant(), request.order().canonical());
            if let Some(call) = Paper::call_of(&entry.body) {
                model.answers.keep(question, call, now);
            }
            *self.last.borrow_mut() = Some(Arc::clone(entry));
        }
    }

    /// Of a request no breaker hears twice, and each goes by the rate of the request's route.
    fn judge_findings(world: &World, closing: &Closing) {
        let model = world.request(world.current()).order().model;
        let mut heard = BTreeSet::new();
        for Finding { breaker, policies, outcome } in &closing.findings {
            let is_whole = outcome.scope() == Some(FaultScope::Upstream);
            let at_fault = if is_whole { breaker.split('/').next().unwrap_or_default() } else { breaker };
            if !heard.insert(at_fault) {
                world
                    .judge
                    .broken(2, format!("{at_fault} hears twice of one request: {:?}", closing.findings));
            }
            let expected = setup::failure_rate(&world.plan.config, breaker, model);
            if [policies.model.failure_rate, policies.upstream.failure_rate] != [expected; 2] {
                world.judge.broken(2, format!("{breaker} opens at {policies:?}, not at {expected:?}"));
            }
        }
    }

    /// Whoever is through holds no probe: nobody else may go while it does.
    fn judge_leases(world: &World, breakers: &Breakers, id: u64) {
        let request = world.request(world.current());
        let is_unheard = |name: &str| {
            let mut unheard = request.unheard.iter();
            unheard.any(|unheard| unheard == name || unheard.split('/').next() == Some(name))
        };
        let held = breakers.leased_to(id, world.now());
        for name in held.filter(|name| world.plan.outages.is_empty() && !is_unheard(name)) {
            world.judge.broken(2, format!("the probe of {name} is leased to a request that is over"));
        }
    }

    /// What is kept is the whole answer of a call that came to its end, to the same question of the same
    /// tenant.
    fn judge_kept(world: &World, closing: &Closing) {
        let Some(entry) = &closing.keeping.entry else { return };
        let Some(call) = Paper::call_of(&entry.body).and_then(|number| world.calls.get(number)) else {
            return world.judge.broken(7, "what is kept is the answer of no call");
        };
        let asked = world.request(call.request).order().clone();
        let request = world.request(world.current());
        if (asked.tenant(), asked.canonical()) != (request.order().tenant(), request.order().canonical()) {
            let text = format!("{:?} is kept as the answer to {:?}", asked, request.order());
            world.judge.broken(8, text);
        }
        let Some(paper) = call.paper.filter(|_| call.is_complete()) else {
            return world.judge.broken(7, format!("the answer of call {} is kept: {call:?}", call.number));
        };
        let whole = match paper.form {
            Form::Whole => paper.whole(),
            Form::Events => paper.events(crate::paper::Reader::Gateway).concat().into(),
        };
        if entry.body != whole {
            world.judge.broken(6, format!("what is kept of call {} is not what it sent", call.number));
        }
    }

    pub(crate) fn withdraw_retry(&self, world: &World, breaker: &str) -> bool {
        let granted = match self.sabotage {
            Sabotage::GrantsAllRetries => true,
            _ => self.store.borrow_mut().withdraw_retry(breaker, world.now()),
        };
        if granted {
            world.judge.hear(3, self.model.borrow_mut().retries.retry(world.now()));
        }
        granted
    }

    pub(crate) fn renew_hold(&self, world: &World, holding: &Holding) {
        let now = world.now();
        self.store.borrow_mut().renew_hold(holding, now);
        let want = holding.reservation.want;
        self.model.borrow_mut().limits.renew(want.id, now.after(want.lasts));
    }

    pub(crate) fn renew(&self, world: &World, lease: &Lease, id: u64, piece: Option<&Piece>) -> Renewed {
        self.store.borrow_mut().renew(lease, id, piece, world.now())
    }

    pub(crate) fn overhear(&self, world: &World, lease: &Lease, id: u64, from: u64) -> Overheard {
        self.store.borrow_mut().overhear(lease, id, from, world.now())
    }

    pub(crate) fn own(&self, world: &World, ownership: Ownership<'_>) -> bool {
        self.store.borrow_mut().own(ownership, world.now())
    }

    pub(crate) fn lease_probe(&self, world: &World, breaker: &str, id: u64) -> bool {
        let granted = match self.sabotage {
            Sabotage::LetsAllProbe => true,
            _ => self.store.borrow_mut().lease_probe(breaker, id, world.now()),
        };
        if granted {
            world.judge.hear(2, self.model.borrow_mut().breakers.lease(breaker, id, world.now()));
        }
        granted
    }

    pub(crate) fn report_probe(&self, world: &World, finding: &Finding, id: u64, roll: u64) {
        let now = world.now();
        self.store.borrow_mut().report_probe(finding, Report { id, now, roll });
        self.model.borrow_mut().breakers.observe(finding, id, now);
    }

    /// What an operator orders. No run has one.
    pub(crate) fn control(&self, order: &Order, now: Instant) -> Result<control::Entry, Full> {
        self.store.borrow_mut().control(order, now)
    }

    pub(crate) fn breakers(&self, names: &[String], now: Instant) -> Listing {
        self.store.borrow_mut().breakers(names, now)
    }

    /// What the gates are, with nothing asked for.
    pub(crate) fn gates(&self, now: Instant, names: &[String]) -> BTreeMap<String, Gate> {
        let opened = self.store.borrow_mut().open(Ask { breakers: names, ..Ask::default() }, now);
        names.iter().cloned().zip(opened.gates).collect()
    }

    /// Whether the real store would let this many more calls of a scope begin at the same time.
    pub(crate) fn has_room(&self, reservation: &Reservation, now: Instant) -> bool {
        let ask = Ask { reservation: Some(reservation), ..Ask::default() };
        self.store.borrow_mut().open(ask, now).denied.is_none()
    }
}

/// Whether it is what a request costs that was refused for its form: it holds nothing, and nothing settles it.
fn is_charge(reservation: &Reservation) -> bool {
    reservation.want.lasts.is_zero()
}

/// Such a request is on its caller's own account, and has no place.
fn charged(
    accounts: Vec<(weir::limits::account::Scope, weir::limits::Limits)>,
) -> Vec<(weir::limits::account::Scope, weir::limits::Limits)> {
    let own =
        accounts.into_iter().filter(|(scope, _)| !matches!(scope, weir::limits::account::Scope::Route(_)));
    own.map(|(scope, limits)| (scope, weir::limits::Limits { concurrent: None, ..limits })).collect()
}

//! Isolates that ask no object what they have just heard of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::scene::{at, reservation};
use super::world;
use crate::ledger::usage::Tokens;
use crate::random::{STEP, scramble};
use crate::routing::breaker::control::{Change, Forced, Order};
use crate::routing::breaker::{FaultScope, Gate, Outcome, Policies, Policy, Report};
use crate::store::durable::{self, Asked, Beliefs, Desk, Object, Opening};
use crate::store::embedded::Store;
use crate::store::protocol::{Ask, Closing, Finding};
use crate::time::Instant;

/// Nothing leaves the window while a test lasts: what is told a second late stands in another tenth of it.
const POLICY: Policy = Policy {
    consecutive: 5,
    failure_rate: Some(500_000),
    window: Duration::from_hours(10),
    minimum: 20,
    open: Duration::from_secs(30),
    on_rate_limit: crate::routing::breaker::OnRateLimit::Open,
};

fn millis(millis: u64) -> Instant {
    at(millis * 1000)
}

/// The objects, and how often each is asked.
#[derive(Default)]
struct Network {
    desks: BTreeMap<Object, Desk>,
    asked: BTreeMap<Object, u32>,
}

impl Network {
    fn send(&mut self, beliefs: &mut Beliefs, asked: &Asked, now: Instant) -> Vec<u8> {
        *self.asked.entry(asked.object.clone()).or_default() += 1;
        let desk = self.desks.entry(asked.object.clone()).or_insert_with(|| Desk::new(at(0)));
        desk.answer(&beliefs.tell(asked, now), now, 0).answer
    }

    fn asked_of(&self, upstream: &str) -> u32 {
        self.asked.get(&Object::of_breaker(upstream)).copied().unwrap_or_default()
    }

    /// Opens a call of an isolate, and tells how the gates stand.
    fn open(&mut self, beliefs: &mut Beliefs, id: u64, breakers: &[String], now: Instant) -> Vec<Gate> {
        let reservation = reservation(id, Vec::new());
        let ask = Ask { tenant: "t", breakers, reservation: Some(&reservation), ..Ask::default() };
        let mut opening = Opening::new(ask, None, now).believing(beliefs, now);
        let asked = opening.asked().to_vec();
        let said: Vec<_> = asked.iter().map(|asked| Ok(self.send(beliefs, asked, now))).collect();
        opening.hear(&said, now);
        let opened = opening.join(&Store::new(at(0), 0), now).opened.unwrap();
        opening.teach(beliefs, &opened, now);
        opened.gates
    }

    fn close(&mut self, beliefs: &mut Beliefs, id: u64, finding: Finding, now: Instant) {
        let mut closing = closing(id, finding);
        beliefs.absorb(&mut closing, now);
        for asked in durable::close(&closing, now) {
            durable::done(&self.send(beliefs, &asked, now), now).unwrap();
        }
    }

    fn withdraw(&mut self, beliefs: &mut Beliefs, breaker: &str, now: Instant) -> bool {
        let answer = self.send(beliefs, &durable::withdraw_retry(breaker, now), now);
        durable::granted(&answer, now).unwrap()
    }
}

fn closing(id: u64, finding: Finding) -> Closing {
    let closing = world::closing("t", reservation(id, Vec::new()), Tokens(0));
    Closing { findings: vec![finding], ..closing }
}

fn of(breaker: &str, outcome: Outcome) -> Finding {
    Finding { breaker: breaker.into(), policies: Policies::both(POLICY), outcome }
}

#[test]
fn an_upstream_that_is_well_is_asked_once_a_second_and_told_of_every_call() {
    let (mut network, mut beliefs) = (Network::default(), Beliefs::default());
    let breakers = ["a".to_owned()];
    for id in 0..1000 {
        let now = millis(id * 3);
        assert_eq!(network.open(&mut beliefs, id, &breakers, now), [Gate::Closed]);
        network.close(&mut beliefs, id, of("a", Outcome::Success), now);
    }
    assert_eq!(network.asked_of("a"), 3, "of 1000 calls in 3 s");
    // Nine hundred successes and more stand against these: no rate, and no five in a row.
    for id in 1000..1004 {
        network.close(&mut beliefs, id, of("a", Outcome::Failure { scope: FaultScope::Model }), millis(3000));
    }
    assert_eq!(network.open(&mut beliefs, 1004, &breakers, millis(3000)), [Gate::Closed]);
    network.close(&mut beliefs, 1004, of("a", Outcome::Failure { scope: FaultScope::Model }), millis(3000));
    assert!(matches!(network.open(&mut beliefs, 1005, &breakers, millis(3000))[..], [Gate::Open { .. }]));
}

#[test]
fn requests_that_nobody_was_asked_for_count_for_the_budget_of_retries() {
    let spent = |requests: u64| {
        let (mut network, mut beliefs) = (Network::default(), Beliefs::default());
        for id in 0..requests {
            network.open(&mut beliefs, id, &["a".to_owned()], at(0));
        }
        (0..1000).take_while(|_| network.withdraw(&mut beliefs, "a", at(0))).count()
    };
    assert_eq!([0, 5, 100].map(spent), [10, 11, 30]);
}

type Act = fn(&mut Network, &mut Beliefs, Instant);

#[test]
fn what_an_isolate_does_it_knows_at_once_and_what_others_do_within_a_second() {
    let fails: Act = |network, beliefs, now| {
        for id in 0..5 {
            network.close(beliefs, id, of("a", Outcome::Failure { scope: FaultScope::Model }), now);
        }
    };
    let orders: Act = |network, beliefs, now| {
        let change = Change::Force { forced: Forced::Open, lasting: None };
        let asked = durable::control(&Order { breaker: "a".into(), change }, now);
        network.send(beliefs, &asked, now);
        beliefs.doubt("a", now);
    };
    for (what, act, breaker) in [
        ("it has failed", fails, "a"),
        ("an order for it", orders, "a"),
        ("an order for all of the upstream", orders, "a/m"),
    ] {
        let (mut network, mut own, mut other) = (Network::default(), Beliefs::default(), Beliefs::default());
        let is_open = |network: &mut Network, beliefs: &mut Beliefs, at| {
            network.open(beliefs, 9, &[breaker.to_owned()], millis(at)).iter().all(|gate| gate.is_open())
        };
        assert!(!is_open(&mut network, &mut own, 0) && !is_open(&mut network, &mut other, 0), "{what}");
        act(&mut network, &mut own, millis(10));
        assert!(is_open(&mut network, &mut own, 10), "{what}: its own");
        assert!(!is_open(&mut network, &mut other, 999), "{what}: believed");
        assert!(is_open(&mut network, &mut other, 1000), "{what}: no longer");
    }
}

/// An answer that was given before a failure and comes after it.
#[test]
fn an_answer_from_before_a_failure_is_not_believed() {
    let (mut network, mut beliefs) = (Network::default(), Beliefs::default());
    let breakers = ["a".to_owned()];
    let ask = Ask { tenant: "t", breakers: &breakers, ..Ask::default() };
    let mut opening = Opening::new(ask, None, at(0));
    let said = network.send(&mut beliefs, &opening.asked()[0].clone(), at(0));
    for id in 0..5 {
        network.close(&mut beliefs, id, of("a", Outcome::Failure { scope: FaultScope::Model }), at(0));
    }
    opening.hear(&[Ok(said)], at(0));
    let opened = opening.join(&Store::new(at(0), 0), at(0)).opened.unwrap();
    assert_eq!(opened.gates, [Gate::Closed]);
    opening.teach(&mut beliefs, &opened, at(0));
    assert!(matches!(network.open(&mut beliefs, 9, &breakers, at(0))[..], [Gate::Open { .. }]));
}

/// Calls of one isolate, one behind the other: its gates are those of one store.
#[test]
fn one_isolate_sees_what_one_store_would() {
    let names = ["a", "a/m", "b"].map(str::to_owned);
    let mut seen = BTreeSet::new();
    for seed in 0..200_u64 {
        let (mut network, mut beliefs) = (Network::default(), Beliefs::default());
        let mut store = Store::new(at(0), 0);
        let (mut now, mut state) = (0, seed);
        let mut roll = |below: u64| {
            state = state.wrapping_add(STEP);
            scramble(state) % below
        };
        let failing = 1 + roll(99);
        for id in 0..300 {
            let longest = if roll(10) == 0 { 40_000 } else { 300 };
            now += roll(longest);
            let (breaker, now) = (&names[usize::try_from(roll(3)).unwrap()], millis(now));
            let gates = network.open(&mut beliefs, id, std::slice::from_ref(breaker), now);
            assert_eq!(gates, [store.gate(breaker, now)], "seed {seed}, call {id} of {breaker}");
            match gates[0] {
                Gate::Open { .. } => {
                    seen.insert("open");
                    continue;
                }
                Gate::HalfOpen => {
                    let answer = network.send(&mut beliefs, &durable::lease_probe(breaker, id, now), now);
                    assert!(durable::granted(&answer, now).unwrap());
                    assert!(store.lease_probe(breaker, id, now));
                    seen.insert("half-open");
                }
                Gate::Closed => drop(seen.insert("closed")),
                Gate::Forced(_) => unreachable!("nobody orders anything"),
            }
            let outcome = if roll(100) < failing {
                Outcome::Failure { scope: FaultScope::Model }
            } else {
                Outcome::Success
            };
            network.close(&mut beliefs, id, of(breaker, outcome), now);
            store.report_probe(&of(breaker, outcome), Report { id, now, roll: 0 });
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

//! A clock that jumps, both ways, keeps nobody out for longer than a clock that does not.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::Store;
use crate::cache::fingerprint::{Fingerprint, Framed, of_tenant};
use crate::cache::{Entry, Place, Window};
use crate::dialect::endpoint::{Form, Operation};
use crate::identity::caller::Caller;
use crate::ledger::record::{Ending, Record};
use crate::ledger::usage::{Tokens, Usage};
use crate::limits::Limits;
use crate::limits::account::{HELD, Scope, Want};
use crate::limits::concurrency::Priority;
use crate::limits::rate::{Denial, Rate};
use crate::routing::breaker::{FaultScope, Gate, Outcome, Policies, Report};
use crate::store::lease::{Lease, Leased};
use crate::store::protocol::{
    Ask, Closing, Finding, Held, Keeping, Opened, Recall, Repeat, Repeated, Reservation,
};
use crate::time::{Instant, UnixMillis};

const MINUTE: Duration = Duration::from_mins(1);

/// What is done, and by how many microseconds the clock jumps before it.
type Step = (u8, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let jump = prop_oneof![3 => 0..2_000_000_i64, 1 => -300_000_000..300_000_000_i64];
    proptest::collection::vec((0..6_u8, jump), 1..40)
}

fn key(name: &str) -> Fingerprint {
    Framed::new("test").field("name", name.as_bytes()).finish()
}

fn limits() -> Limits {
    let rate = |count| vec![Rate { count, per: MINUTE }];
    Limits { requests: rate(4), tokens: rate(100), concurrent: Some(2), ..Limits::default() }
}

fn reservation(id: u64) -> Reservation {
    let want = Want { id, tokens: Tokens(20), lasts: HELD };
    let scope = Scope::Caller { tenant: "t".into(), name: "c".into() };
    Reservation { want, scopes: vec![(scope, limits())], held: Held::InStore }
}

fn lease() -> Lease {
    Lease { tenant: of_tenant("t"), key: key("lease"), form: None, span: Duration::from_secs(3) }
}

fn recall() -> Recall {
    let window = Window { fresh: MINUTE, revalidate: MINUTE, if_error: MINUTE, ttl: MINUTE };
    Recall { key: key("cache"), window, place: Place::Edge }
}

fn repeat() -> Repeat {
    Repeat { key: key("repeat"), request: key("request") }
}

fn closing(reservation: Reservation, keeping: Keeping) -> Closing {
    let (tenant, name) = ("t".to_owned(), "c".to_owned());
    let (models, passthrough, limits) = (Vec::new(), Vec::new(), Limits::default());
    let caller = Caller { name, tenant, models, passthrough, limits, priority: Priority::default() };
    let record = Record {
        request_id: String::new(),
        trace_id: String::new(),
        at: UnixMillis(0),
        caller: Arc::new(caller),
        operation: "chat",
        model: String::new(),
        route: String::new(),
        upstream: String::new(),
        upstream_model: String::new(),
        response_model: String::new(),
        streamed: false,
        cache: None,
        status: 200,
        ending: Ending::Complete,
        usage: Usage::NOTHING,
        attempts: Vec::new(),
        fallbacks: 0,
        took: Duration::ZERO,
        first_byte: None,
        websocket: None,
    };
    let (findings, abandoned) = (Vec::new(), Vec::new());
    Closing { record, reservation, used: Tokens(90), findings, abandoned, keeping }
}

fn entry() -> Arc<Entry> {
    Arc::new(Entry {
        operation: Operation::Chat,
        form: Form::Whole,
        content_type: "application/json".into(),
        model: "m".into(),
        body: "{}".into(),
    })
}

/// What a call asks for beside its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Lease,
    Key,
}

const ALL: [Beside; 3] = [Beside::Nothing, Beside::Lease, Beside::Key];

fn open(store: &mut Store, id: u64, beside: Beside, now: Instant) -> Opened {
    let (mut reservation, lease, repeat) = (reservation(id), lease(), repeat());
    if beside != Beside::Nothing {
        reservation.scopes.clear();
    }
    let ask = Ask {
        tenant: "t",
        reservation: Some(&reservation),
        lease: (beside == Beside::Lease).then_some(&lease),
        repeat: (beside == Beside::Key).then_some(&repeat),
        ..Ask::default()
    };
    store.open(ask, now)
}

/// One step of a store that somebody uses; nothing is ever settled that has begun, but for answers that are kept.
fn step(store: &mut Store, what: u8, id: u64, now: Instant) {
    match what {
        0 | 1 => drop(ALL.map(|beside| open(store, id, beside, now))),
        2 => {
            for roll in 0..6 {
                let outcome = Outcome::Failure { scope: FaultScope::Model };
                let finding = Finding { breaker: "up/m".into(), policies: Policies::default(), outcome };
                store.report_probe(&finding, Report { id, now, roll });
            }
        }
        3 => drop(store.lease_probe("up/m", id, now)),
        4 => {
            let keeping =
                Keeping { entry: Some(entry()), cache: Some((recall().key, MINUTE)), ..Keeping::default() };
            let nothing = Reservation { scopes: Vec::new(), ..reservation(id) };
            store.close(&closing(nothing, keeping), now, 0);
        }
        _ => while store.withdraw_retry("other", now) {},
    }
}

proptest! {
    #[test]
    fn a_clock_that_jumps_keeps_nobody_out_longer_than_one_that_does_not(
        steps in steps(),
        last in -300_000_000..300_000_000_i64,
    ) {
        let begin = Instant::from_micros(1_790_000_000_000_000);
        let (mut store, mut now) = (Store::new(begin, 1 << 20), begin);
        for (id, (what, jump)) in (0..).zip(steps) {
            now = Instant::from_micros(now.as_micros().saturating_add_signed(jump));
            step(&mut store, what, id, now);
        }
        now = Instant::from_micros(now.as_micros().saturating_add_signed(last));

        // Whoever comes now is told how long to wait, and it is no longer than a period, or a lease.
        let [looked, ..] = ALL.map(|beside| open(&mut store, 1000, beside, now));
        if let Some(Denial::NotYet { wait }) = looked.denied.map(|denied| denied.denial) {
            prop_assert!(wait <= MINUTE, "{:?}", looked.denied);
        }
        let (names, recall) = (["up/m".to_owned()], recall());
        let looked = store.open(Ask { recall: Some(&recall), ..Ask::default() }, now);
        if let Some(recalled) = &looked.recalled {
            prop_assert!(recalled.age <= MINUTE);
        }
        let gates = |store: &mut Store, now| store.open(Ask { breakers: &names, ..Ask::default() }, now).gates;
        if let Gate::Open { until } = gates(&mut store, now)[0] {
            prop_assert!(until.since(now) <= Duration::from_secs(330), "{until:?} at {now:?}");
        }

        // Somebody asks for a retry, in vain or not.
        store.withdraw_retry("other", now);

        // And after those, all of it is there again.
        let second = now.after(Duration::from_secs(2));
        prop_assert!(store.withdraw_retry("other", second), "the budget of retries has a floor");
        let behind = now.after(MINUTE + Duration::from_secs(1));
        let [place, led, keyed] = ALL.map(|beside| open(&mut store, 1001, beside, behind));
        prop_assert!(place.denied.is_none(), "{:?}", place.denied);
        prop_assert_eq!(led.leased, Some(Leased::Own));
        prop_assert_eq!(keyed.repeated, Some(Repeated::First));
        let looked = store.open(Ask { recall: Some(&recall), ..Ask::default() }, behind);
        prop_assert!(looked.recalled.is_none(), "an answer outlives its time");
        let gates = gates(&mut store, now.after(Duration::from_secs(400)));
        prop_assert!(!gates[0].is_open(), "{gates:?}");
    }
}

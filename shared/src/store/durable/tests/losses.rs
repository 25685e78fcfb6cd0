//! Objects that do not answer, or too late.

use std::time::Duration;

use super::scene::{at, caller, key, limits, reservation};
use super::world::closing;
use crate::cache::{Place, Window, fingerprint};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::Scope;
use crate::routing::breaker::{FaultScope, Gate, Outcome, Policies, Report};
use crate::routing::upstream::UpstreamId;
use crate::store::durable::{self, Asked, Desk, Joined, Object, Opening};
use crate::store::embedded::Store;
use crate::store::lease::{Lease, Release};
use crate::store::protocol::{
    Ask, Closing, Finding, Held, Keeping, Opened, Recall, Repeat, Reservation, StoreLost,
};
use crate::time::UnixMillis;

/// One desk for all objects: what each is told shows in what is left.
struct Bureau {
    desk: Desk,
}

impl Bureau {
    fn new() -> Self {
        Self { desk: Desk::new(at(0)) }
    }

    fn send(&mut self, asked: &Asked) -> Vec<u8> {
        self.desk.answer(&asked.question, at(0), 0).answer
    }

    fn tell(&mut self, asked: &[Asked]) {
        for asked in asked {
            durable::done(&self.send(asked), at(0)).unwrap();
        }
    }

    /// Opens while `lost` does not answer, though it does what it is asked. Gives what that comes to, and what the
    /// answer calls for once it comes.
    fn open_without(&mut self, ask: Ask<'_>, lost: &Object, own: &Store) -> (Joined, Option<Asked>) {
        let mut opening = Opening::new(ask, None, at(0));
        let mut late = None;
        while !opening.asked().is_empty() {
            let asked = opening.asked().to_vec();
            let answers = asked.iter().map(|asked| {
                let answer = self.send(asked);
                if asked.object == *lost {
                    late = Some(answer);
                    return Err(StoreLost);
                }
                Ok(answer)
            });
            let answers: Vec<_> = answers.collect();
            opening.hear(&answers, at(0));
        }
        let joined = opening.join(own, at(0));
        let abandoned = opening.abandon();
        let belated = late.and_then(|answer| abandoned.belated(lost, &answer, at(0)));
        (joined, belated)
    }

    /// Requests, tokens and places that are left in a scope that has had nine of each.
    fn left(&mut self, scope: &(Scope, Limits)) -> (u64, u64) {
        let reservation = reservation(99, vec![scope.clone()]);
        let ask = Ask { reservation: Some(&reservation), ..Ask::default() };
        let own = Store::new(at(0), 0);
        let mut opening = Opening::new(ask, None, at(0));
        let answers: Vec<_> = opening.asked().to_vec().iter().map(|asked| Ok(self.send(asked))).collect();
        opening.hear(&answers, at(0));
        let opened = opening.join(&own, at(0)).opened.unwrap();
        self.tell(&durable::give_back(ask, &opened, at(0)));
        let left = |allowance: Option<crate::limits::rate::Allowance>| allowance.unwrap().remaining;
        (left(opened.left.requests), left(opened.left.tokens))
    }
}

fn route() -> (Scope, Limits) {
    (Scope::Route("*".into()), limits(9))
}

fn failing(breaker: &str) -> Store {
    let mut own = Store::new(at(0), 0);
    for id in 0..5 {
        let finding = Finding {
            breaker: breaker.into(),
            policies: Policies::default(),
            outcome: Outcome::Failure { scope: FaultScope::Model },
        };
        own.report_probe(&finding, Report { id, now: at(0), roll: 0 });
    }
    own
}

/// What becomes of it is for `on_store_loss` to say.
#[test]
fn without_an_object_that_counts_the_store_is_lost_and_nothing_stays_reserved() {
    for lost in [Object::tenant("t"), Object::Route("*".into())] {
        let mut bureau = Bureau::new();
        let reservation = reservation(1, vec![caller("t"), route()]);
        let breakers = ["a".to_owned()];
        let ask = Ask { tenant: "t", breakers: &breakers, reservation: Some(&reservation), ..Ask::default() };
        let (joined, belated) = bureau.open_without(ask, &lost, &Store::new(at(0), 0));
        assert_eq!(joined.opened.err(), Some(StoreLost), "{lost:?}");
        bureau.tell(&joined.mends);
        bureau.tell(&[belated.unwrap()]);
        // The look itself has counted one request.
        assert_eq!(bureau.left(&caller("t")), (8, 80), "{lost:?}");
        assert_eq!(bureau.left(&route()), (8, 80), "{lost:?}");
    }
}

#[test]
fn without_the_object_that_keeps_its_key_a_call_is_not_made_twice_by_chance() {
    let (repeat, reservation) = (Repeat { key: key(1), request: key(2) }, reservation(1, Vec::new()));
    let ask = Ask { tenant: "t", repeat: Some(&repeat), reservation: Some(&reservation), ..Ask::default() };
    let mut bureau = Bureau::new();
    let (joined, belated) = bureau.open_without(ask, &Object::tenant("t"), &Store::new(at(0), 0));
    assert_eq!(joined.opened.err(), Some(StoreLost));
    bureau.tell(&[belated.unwrap()]);
    let (joined, _) = bureau.open_without(ask, &Object::tenant("another"), &Store::new(at(0), 0));
    let repeated = joined.opened.unwrap().repeated;
    assert_eq!(repeated, Some(crate::store::protocol::Repeated::First), "the key is free again");
}

/// As a process whose Redis is lost asks its own breakers; but limits hold.
#[test]
fn without_an_upstreams_object_the_isolate_asks_its_own_breakers() {
    let (mut bureau, own) = (Bureau::new(), failing("a/m"));
    let reservation = reservation(1, vec![caller("t")]);
    let breakers = ["a/m".to_owned(), "b".to_owned()];
    let standings = [(UpstreamId(0), "a")];
    let ask = Ask {
        tenant: "t",
        standings: &standings,
        breakers: &breakers,
        reservation: Some(&reservation),
        ..Ask::default()
    };
    let (joined, _) = bureau.open_without(ask, &Object::of_breaker("a"), &own);
    let opened = joined.opened.unwrap();
    assert!(matches!(opened.gates[..], [Gate::Open { .. }, Gate::Closed]), "{:?}", opened.gates);
    assert_eq!((opened.reserved, joined.mends.len(), opened.standings.len()), (Tokens(10), 0, 1));
    let (joined, _) = bureau.open_without(ask, &Object::Route("*".into()), &own);
    assert_eq!(
        joined.opened.unwrap().gates,
        [Gate::Closed, Gate::Closed],
        "what the objects say is believed"
    );
}

/// Nothing hangs on the answer but who makes the call.
#[test]
fn without_the_object_that_leads_each_call_is_made_for_itself() {
    let span = Duration::from_secs(3);
    let lease = Lease { tenant: fingerprint::of_tenant("t"), key: key(1), form: None, span };
    let (reservation, breakers) = (reservation(1, vec![route()]), ["a".to_owned()]);
    for awaited in [None, Some(7)] {
        let ask = Ask {
            tenant: "t",
            breakers: &breakers,
            reservation: Some(&reservation),
            lease: Some(&lease),
            awaited,
            ..Ask::default()
        };
        let (joined, belated) = Bureau::new().open_without(ask, &Object::tenant("t"), &Store::new(at(0), 0));
        let opened = joined.opened.unwrap();
        assert_eq!((opened.leased, opened.reserved), (None, Tokens(10)), "{awaited:?}");
        assert!(belated.is_some(), "it has the lease, and does not know");
    }
}

#[test]
fn where_all_that_were_asked_are_lost_the_store_is() {
    let breakers = ["a".to_owned(), "a/m".to_owned()];
    let ask = Ask { breakers: &breakers, ..Ask::default() };
    let (joined, belated) = Bureau::new().open_without(ask, &Object::of_breaker("a"), &failing("a"));
    assert_eq!(joined.opened.err(), Some(StoreLost));
    assert!(belated.is_none() && joined.mends.is_empty(), "a look takes nothing");
}

#[test]
fn nobody_is_asked_who_has_nothing_to_say() {
    let second = Duration::from_secs;
    let window = Window { fresh: second(9), revalidate: second(99), if_error: second(99), ttl: second(9) };
    let recall = Recall { key: key(1), window, place: Place::Edge };
    let kept = durable::keep(key(1), &super::scene::entry(9), second(999), UnixMillis(0));
    let lease = Lease { tenant: fingerprint::of_tenant("t"), key: key(1), form: None, span: second(3) };
    let breakers = ["a".to_owned()];
    let (tenant, upstream) = (Object::tenant("t"), Object::of_breaker("a"));
    let pattern = Object::Route("*".into());
    for (scopes, age, expected, why) in [
        (vec![], 1, vec![], "a fresh hit"),
        (vec![caller("t")], 1, vec![&tenant], "a fresh hit that is counted"),
        (vec![caller("t"), route()], 1, vec![&tenant, &pattern], "in two"),
        (vec![], 10, vec![&tenant, &upstream], "one that is to be replaced"),
        (vec![caller("t"), route()], 100, vec![&tenant, &pattern, &upstream], "a miss"),
    ] {
        let reservation = reservation(1, scopes);
        let ask = Ask {
            tenant: "t",
            breakers: &breakers,
            reservation: Some(&reservation),
            recall: Some(&recall),
            lease: Some(&lease),
            ..Ask::default()
        };
        let recalled = durable::recall(&recall, &kept, UnixMillis(age * 1000));
        let opening = Opening::new(ask, recalled, at(0));
        let asked: Vec<&Object> = opening.asked().iter().map(|asked| &asked.object).collect();
        assert_eq!(asked, expected, "{why}");
    }
}

#[test]
fn an_object_that_learns_nothing_is_not_told() {
    let lease =
        Lease { tenant: fingerprint::of_tenant("t"), key: key(1), form: None, span: Duration::from_secs(3) };
    let finding = Finding { breaker: "a/m".into(), policies: Policies::default(), outcome: Outcome::Success };
    let counted = || reservation(1, vec![caller("t"), route()]);
    let mut requests_alone = counted();
    for (_, limits) in &mut requests_alone.scopes {
        (limits.tokens, limits.concurrent) = (Vec::new(), None);
    }
    let locally = Reservation { held: Held::Locally, ..counted() };
    let led = Keeping { lease: Some((lease, Release::Spent)), ..Keeping::default() };
    let (tenant, upstream) = (Object::tenant("t"), Object::of_breaker("a"));
    let pattern = Object::Route("*".into());
    for (reservation, keeping, findings, expected, why) in [
        (counted(), Keeping::default(), vec![], vec![&tenant, &pattern], "places are free again"),
        (requests_alone.clone(), Keeping::default(), vec![], vec![], "requests are counted for good"),
        (requests_alone, led.clone(), vec![], vec![&tenant], "a lease goes back"),
        (locally, led, vec![finding.clone()], vec![&upstream], "what was held locally is settled locally"),
        (reservation(1, vec![]), Keeping::default(), vec![finding], vec![&upstream], "a finding"),
    ] {
        let closing = Closing { findings, keeping, ..closing("t", reservation, Tokens(10)) };
        let asked = durable::close(&closing, at(0));
        let objects: Vec<&Object> = asked.iter().map(|asked| &asked.object).collect();
        assert_eq!(objects, expected, "{why}");
    }
    let nothing = Ask { tenant: "t", ..Ask::default() };
    assert_eq!(durable::give_back(nothing, &Opened::default(), at(0)), []);
}

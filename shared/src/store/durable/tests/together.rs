//! Calls that are under way at the same time, in whatever order their questions and answers come.

use std::collections::BTreeMap;

use super::scene::{at, limits, reservation};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Scope, Want};
use crate::random::{STEP, scramble};
use crate::store::durable::{self, Asked, Denials, Desk, Object, Opening};
use crate::store::embedded::Store;
use crate::store::protocol::{Ask, Closing, Reservation};

const CALLS: u64 = 500;

type Scopes = Vec<(Scope, Limits)>;

#[derive(Default)]
struct Network {
    desks: BTreeMap<String, Desk>,
    state: u64,
}

impl Network {
    fn send(&mut self, asked: &Asked) -> Vec<u8> {
        let desk = self.desks.entry(asked.object.name()).or_insert_with(|| Desk::new(at(0)));
        desk.answer(&asked.question, at(0), 0).answer
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.state = self.state.wrapping_add(STEP);
            items.swap(last, usize::try_from(scramble(self.state) % (last as u64 + 1)).unwrap());
        }
    }

    /// All of them at the same time: every question, in any order, before any answer is heard. Gives those that are
    /// let in. What has to be taken back is, and before or behind what others are told.
    fn open(&mut self, reservations: &[Reservation]) -> Vec<Reservation> {
        let asks = reservations.iter().map(|reservation| Ask {
            tenant: "t",
            reservation: Some(reservation),
            ..Ask::default()
        });
        let mut openings: Vec<_> = asks.map(|ask| Opening::new(ask, None, at(0))).collect();
        let questions = openings.iter().enumerate().flat_map(|(call, opening)| {
            opening.asked().iter().cloned().enumerate().map(move |(leg, asked)| (call, leg, asked))
        });
        let mut questions: Vec<_> = questions.collect();
        self.shuffle(&mut questions);
        let mut answers = BTreeMap::new();
        for (call, leg, asked) in questions {
            answers.insert((call, leg), self.send(&asked));
        }
        let (mut let_in, mut mends, own) = (Vec::new(), Vec::new(), Store::new(at(0), 0));
        for (call, (opening, reservation)) in openings.iter_mut().zip(reservations).enumerate() {
            let legs = 0..opening.asked().len();
            let heard: Vec<_> = legs.map(|leg| Ok(answers[&(call, leg)].clone())).collect();
            opening.hear(&heard, at(0));
            let joined = opening.join(&own, at(0));
            mends.extend(joined.mends);
            if joined.opened.unwrap().denied.is_none() {
                let_in.push(reservation.clone());
            }
        }
        self.shuffle(&mut mends);
        for mend in &mends {
            durable::done(&self.send(mend), at(0)).unwrap();
        }
        let_in
    }
}

fn tenant(name: &str, most: u64) -> (Scope, Limits) {
    (Scope::Caller { tenant: name.into(), name: "c".into() }, limits(most))
}

fn route(most: u64) -> (Scope, Limits) {
    (Scope::Route("gpt-*".into()), limits(most))
}

fn reservations(first: u64, scopes: impl Fn(u64) -> Scopes) -> Vec<Reservation> {
    (first..first + CALLS).map(|id| reservation(id, scopes(id))).collect()
}

/// Invariant 1, over objects.
#[test]
fn five_hundred_calls_at_once_are_a_hundred_where_a_hundred_may_go() {
    for seed in 0..3 {
        let narrow_route =
            |id: u64| vec![tenant(["a", "b"][usize::from(id.is_multiple_of(2))], 1000), route(100)];
        let narrow_tenant = |_| vec![tenant("a", 100), route(1000)];
        let one_by_one = |_| vec![tenant("a", 100)];
        let cases: [(&str, &dyn Fn(u64) -> Scopes); 3] = [
            ("the route's limit", &narrow_route),
            ("the tenant's", &narrow_tenant),
            ("the tenant's alone", &one_by_one),
        ];
        for (why, scopes) in cases {
            let mut network = Network { state: seed, ..Network::default() };
            let let_in = network.open(&reservations(0, scopes));
            assert_eq!(let_in.len(), 100, "{why}, seed {seed}");
            assert_eq!(
                network.open(&reservations(CALLS, scopes)).len(),
                0,
                "{why}, seed {seed}: it is spent"
            );
        }
    }
}

/// Where two limits refuse different calls, fewer are let in at first, and what they leave is there for the next.
#[test]
fn nothing_stays_reserved_of_who_was_denied() {
    for seed in 0..3 {
        let both = |_| vec![tenant("a", 100), route(100)];
        let mut network = Network { state: seed, ..Network::default() };
        let mut let_in = network.open(&reservations(0, both));
        assert!(let_in.len() <= 100, "seed {seed}: {} at once", let_in.len());
        for reservation in &reservations(CALLS, both)[..200] {
            let_in.extend(network.open(std::slice::from_ref(reservation)));
        }
        assert_eq!(let_in.len(), 100, "seed {seed}");
        // What was not used of the tokens comes back with the places, but a request is a request.
        for reservation in let_in {
            let asked = durable::close(&closing(reservation), at(0));
            assert_eq!(asked.len(), 2);
            for asked in &asked {
                durable::done(&network.send(asked), at(0)).unwrap();
            }
        }
        let tokens_alone = |id: u64| {
            let mut scopes = both(id);
            for (_, limits) in &mut scopes {
                limits.requests.clear();
            }
            scopes
        };
        assert_eq!(network.open(&reservations(90_000, tokens_alone)[..100]).len(), 100, "seed {seed}");
    }
}

/// One tenant's flood is not everybody's.
#[test]
fn a_flood_of_who_is_denied_does_not_come_to_the_objects_of_upstreams() {
    let (mut network, mut denials) = (Network::default(), Denials::default());
    let (own, breakers) = (Store::new(at(0), 0), ["a".to_owned(), "b/m".to_owned()]);
    let (mut let_in, mut at_upstreams) = (0, 0);
    for id in 0..CALLS {
        let reservation = reservation(id, vec![tenant("t", 9), route(1000)]);
        let ask = Ask { tenant: "t", breakers: &breakers, reservation: Some(&reservation), ..Ask::default() };
        let mut opening = Opening::new(ask, None, at(0)).heeding(&denials, at(0));
        let mut asked = Vec::new();
        while !opening.asked().is_empty() {
            asked.extend_from_slice(opening.asked());
            let heard: Vec<_> =
                opening.asked().to_vec().iter().map(|asked| Ok(network.send(asked))).collect();
            opening.hear(&heard, at(0));
        }
        let joined = opening.join(&own, at(0));
        let opened = joined.opened.unwrap();
        denials.note(ask, &opened, at(0));
        let_in += u64::from(opened.denied.is_none());
        assert!(opened.denied.is_some() || opened.gates.len() == 2);
        asked.extend(joined.mends);
        let upstreams = asked.iter().filter(|asked| matches!(asked.object, Object::Upstream(_)));
        at_upstreams += upstreams.count();
    }
    // Two for each that is let in, and for the first that is denied two and what they take back.
    assert_eq!((let_in, at_upstreams), (9, 9 * 2 + 4));
}

fn closing(reservation: Reservation) -> Closing {
    let want = Want { tokens: Tokens(10), ..reservation.want };
    super::world::closing("a", Reservation { want, ..reservation }, Tokens(0))
}

//! Many calls whose questions, answers and ends come in any order, some of them late, some of them for nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::scene::{at, key, limits, reservation};
use super::world::closing;
use crate::cache::fingerprint;
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::Scope;
use crate::random::{STEP, scramble};
use crate::store::durable::{self, Asked, Denials, Desk, Object, Opening};
use crate::store::embedded::Store;
use crate::store::lease::{Lease, Leased, Release};
use crate::store::protocol::{Ask, Closing, Keeping, Opened, Repeat, Repeated, Reservation, StoreLost};
use crate::time::Instant;

const CALLS: u64 = 300;

/// What one call wants.
struct Wish {
    reservation: Reservation,
    lease: Option<Lease>,
    repeat: Option<Repeat>,
    breakers: Vec<String>,
}

/// What may happen next.
enum Event {
    Begin {
        call: usize,
    },
    Question {
        call: usize,
        at: usize,
        asked: Asked,
    },
    Answer {
        call: usize,
        at: usize,
        object: Object,
        answer: Vec<u8>,
    },
    /// Whoever waits has waited for long enough.
    Impatience {
        call: usize,
        at: usize,
    },
    End {
        call: usize,
    },
    /// Nobody waits for it.
    Told {
        asked: Asked,
    },
}

/// A call on its way.
struct Call<'a> {
    wish: &'a Wish,
    opening: Option<Opening<'a>>,
    heard: Vec<Option<Result<Vec<u8>, StoreLost>>>,
    keeping: Keeping,
}

struct Chaos<'a> {
    calls: Vec<Call<'a>>,
    events: Vec<Event>,
    desks: BTreeMap<String, Desk>,
    denials: Denials,
    state: u64,
    /// Those that are let in and not over.
    present: BTreeSet<usize>,
    /// Requests that were let in, by whose they are.
    counted: BTreeMap<Scope, u64>,
    seen: BTreeMap<&'static str, usize>,
}

impl Wish {
    fn ask(&self) -> Ask<'_> {
        Ask {
            tenant: "t",
            breakers: &self.breakers,
            reservation: Some(&self.reservation),
            repeat: self.repeat.as_ref(),
            lease: self.lease.as_ref(),
            ..Ask::default()
        }
    }
}

impl<'a> Chaos<'a> {
    fn new(wishes: &'a [Wish], seed: u64) -> Self {
        let calls = wishes.iter().map(|wish| Call {
            wish,
            opening: None,
            heard: Vec::new(),
            keeping: Keeping::default(),
        });
        Self {
            calls: calls.collect(),
            events: (0..wishes.len()).map(|call| Event::Begin { call }).collect(),
            desks: BTreeMap::new(),
            denials: Denials::default(),
            state: seed.wrapping_mul(STEP.wrapping_mul(11)),
            present: BTreeSet::new(),
            counted: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(STEP);
        usize::try_from(scramble(self.state) % bound as u64).unwrap()
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn send(&mut self, asked: &Asked) -> Vec<u8> {
        let desk = self.desks.entry(asked.object.name()).or_insert_with(|| Desk::new(now()));
        desk.answer(&asked.question, now(), 0).answer
    }

    fn run(&mut self) {
        while !self.events.is_empty() {
            let which = self.below(self.events.len());
            match self.events.swap_remove(which) {
                Event::Begin { call } => {
                    let opening = Opening::new(self.calls[call].wish.ask(), None, now());
                    self.calls[call].opening = Some(opening.heeding(&self.denials, now()));
                    self.ask(call);
                }
                Event::Question { call, at, asked } => {
                    let answer = self.send(&asked);
                    self.events.push(Event::Answer { call, at, object: asked.object, answer });
                }
                Event::Answer { call, at, object, answer } => self.hear(call, at, &object, answer),
                Event::Impatience { call, at } => {
                    if let Some(heard @ None) = self.calls[call].heard.get_mut(at) {
                        *heard = Some(Err(StoreLost));
                        self.go_on(call);
                    }
                }
                Event::End { call } => self.end(call),
                Event::Told { asked } => durable::done(&self.send(&asked), now()).unwrap(),
            }
        }
    }

    fn ask(&mut self, call: usize) {
        let asked = self.calls[call].opening.as_ref().unwrap().asked().to_vec();
        let first = self.calls[call].heard.len();
        self.calls[call].heard.resize(first + asked.len(), None);
        for (at, asked) in (first..).zip(asked) {
            if self.below(60) == 0 {
                self.events.push(Event::Impatience { call, at });
            }
            self.events.push(Event::Question { call, at, asked });
        }
    }

    fn hear(&mut self, call: usize, at: usize, object: &Object, answer: Vec<u8>) {
        let heard = &mut self.calls[call].heard[at];
        if heard.is_none() {
            *heard = Some(Ok(answer));
            return self.go_on(call);
        }
        self.note("too late");
        // Nobody but who outlives the call hears of it.
        let mut again = Opening::new(self.calls[call].wish.ask(), None, now());
        let mend = again.abandon().belated(object, &answer, now());
        self.events.extend(mend.map(|asked| Event::Told { asked }));
    }

    /// Once all that were asked have answered, or are not waited for any more.
    fn go_on(&mut self, call: usize) {
        let Call { opening: Some(opening), heard, .. } = &mut self.calls[call] else { return };
        if heard.iter().any(Option::is_none) {
            return;
        }
        let answers: Vec<_> =
            heard[heard.len() - opening.asked().len()..].iter().flatten().cloned().collect();
        opening.hear(&answers, now());
        if opening.asked().is_empty() { self.join(call) } else { self.ask(call) }
    }

    fn join(&mut self, call: usize) {
        let opening = self.calls[call].opening.take().unwrap();
        let joined = opening.join(&Store::new(now(), 0), now());
        self.events.extend(joined.mends.into_iter().map(|asked| Event::Told { asked }));
        let Ok(opened) = joined.opened else { return self.note("lost") };
        let wish = self.calls[call].wish;
        self.denials.note(wish.ask(), &opened, now());
        match (opened.denied, &opened.repeated, opened.leased) {
            (Some(_), ..) => return self.note("denied"),
            (_, Some(Repeated::Running), _) => return self.note("running"),
            (_, _, Some(Leased::Elsewhere { .. })) => return self.note("led elsewhere"),
            (_, Some(Repeated::Conflict | Repeated::Answered { .. }), _) => panic!("nothing was answered"),
            (None, Some(Repeated::First) | None, _) => {}
        }
        for (scope, _) in &wish.reservation.scopes {
            *self.counted.entry(scope.clone()).or_default() += 1;
        }
        if self.below(10) == 0 {
            self.note("given back");
            let asked = durable::give_back(wish.ask(), &opened, now());
            return self.events.extend(asked.into_iter().map(|asked| Event::Told { asked }));
        }
        self.note("let in");
        self.let_in(call, &opened);
    }

    fn let_in(&mut self, call: usize, opened: &Opened) {
        let wish = self.calls[call].wish;
        self.calls[call].keeping = Keeping {
            repeat: wish.repeat.map(|repeat| (repeat, Duration::from_mins(1))),
            lease: wish
                .lease
                .filter(|_| opened.leased == Some(Leased::Own))
                .map(|lease| (lease, Release::Free)),
            ..Keeping::default()
        };
        self.present.insert(call);
        for (scope, limits) in &wish.reservation.scopes {
            let present = self.present.iter().filter(|call| {
                self.calls[**call].wish.reservation.scopes.iter().any(|(other, _)| other == scope)
            });
            assert!(present.count() as u64 <= limits.concurrent.unwrap(), "{scope:?}");
            assert!(self.counted[scope] <= limits.requests[0].count, "{scope:?}");
        }
        let present = || self.present.iter().map(|call| &self.calls[*call].keeping);
        let repeats: Vec<_> = present().filter_map(|keeping| keeping.repeat.map(|(it, _)| it.key)).collect();
        let leases: Vec<_> = present().filter_map(|keeping| keeping.lease.map(|(it, _)| it.key)).collect();
        for keys in [repeats, leases] {
            assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "two have the same");
        }
        self.events.push(Event::End { call });
    }

    fn end(&mut self, call: usize) {
        self.present.remove(&call);
        let (wish, keeping) = (self.calls[call].wish, self.calls[call].keeping.clone());
        let closing = Closing { keeping, ..closing("t", wish.reservation.clone(), Tokens(0)) };
        let asked = durable::close(&closing, now());
        self.events.extend(asked.into_iter().map(|asked| Event::Told { asked }));
    }

    /// All places are free, no token is held, no key is taken, and what was let in is counted, once.
    fn is_quiet(&mut self, wishes: &[Wish]) {
        let scopes: BTreeMap<_, _> =
            wishes.iter().flat_map(|wish| wish.reservation.scopes.iter().cloned()).collect();
        for (number, (scope, limits)) in scopes.into_iter().enumerate() {
            let counted = self.counted.get(&scope).copied().unwrap_or_default();
            let last = reservation(90_000 + number as u64, vec![(scope.clone(), limits.clone())]);
            let follows = Ask { reservation: Some(&last), follows: true, ..Ask::default() };
            let opened = self.open(follows);
            let (requests, tokens) = (opened.left.requests.unwrap(), opened.left.tokens.unwrap());
            assert_eq!(opened.denied, None, "{scope:?}");
            let expected = (limits.requests[0].count - counted - 1, limits.tokens[0].count);
            assert_eq!((requests.remaining, tokens.remaining), expected, "{scope:?}, {counted} counted");
            // One has just come; so many others fit in beside it.
            let places = Limits { requests: Vec::new(), tokens: Vec::new(), ..limits };
            for other in 0..places.concurrent.unwrap() {
                let other =
                    reservation(95_000 + 100 * number as u64 + other, vec![(scope.clone(), places.clone())]);
                let denied = self.open(Ask { reservation: Some(&other), ..Ask::default() }).denied;
                let is_last = other.want.id % 100 == places.concurrent.unwrap() - 1;
                assert_eq!(denied.is_some(), is_last, "{scope:?}");
            }
        }
        for wish in wishes {
            let looks = Ask { reservation: None, lease: None, ..wish.ask() };
            let repeated = self.open(looks).repeated;
            assert!(repeated.is_none_or(|repeated| repeated == Repeated::First));
            let nothing = reservation(1, Vec::new());
            let leads = Ask { reservation: Some(&nothing), repeat: None, ..wish.ask() };
            let opened = self.open(leads);
            assert!(!matches!(opened.leased, Some(Leased::Elsewhere { .. })));
            for asked in durable::give_back(leads, &opened, now()) {
                self.send(&asked);
            }
        }
    }

    fn open(&mut self, ask: Ask<'_>) -> Opened {
        let mut opening = Opening::new(ask, None, now());
        while !opening.asked().is_empty() {
            let heard: Vec<_> = opening.asked().to_vec().iter().map(|asked| Ok(self.send(asked))).collect();
            opening.hear(&heard, now());
        }
        opening.join(&Store::new(now(), 0), now()).opened.unwrap()
    }
}

/// It all happens in a moment: nothing ends by itself.
fn now() -> Instant {
    at(0)
}

fn wishes(seed: u64) -> Vec<Wish> {
    let caller = |name: u64| (Scope::Caller { tenant: "t".into(), name: format!("{name}") }, few(40, 4));
    let route = |name: u64| (Scope::Route(format!("route-{name}")), few(60, 5));
    let second = Duration::from_secs;
    (0..CALLS)
        .map(|id| {
            let roll = scramble((seed * CALLS + id).wrapping_mul(STEP));
            let lease = Lease {
                tenant: fingerprint::of_tenant("t"),
                key: key(roll >> 8 & 3),
                form: None,
                span: second(3),
            };
            let repeat = Repeat { key: key(10 + (roll >> 12 & 3)), request: key(20) };
            Wish {
                reservation: reservation(id, vec![caller(roll & 1), route(roll >> 1 & 1)]),
                lease: (roll >> 16).is_multiple_of(4).then_some(lease),
                repeat: (roll >> 20).is_multiple_of(4).then_some(repeat),
                breakers: vec!["a".into(), "b/m".into()],
            }
        })
        .collect()
}

/// So many requests an hour and ten tokens for each of twice as many, and so many at the same time.
fn few(requests: u64, concurrent: u64) -> Limits {
    Limits { concurrent: Some(concurrent), ..limits(requests) }
}

/// Invariants 1 and 5, over objects.
#[test]
fn whatever_comes_first_limits_hold_and_in_the_end_nothing_is_held() {
    let mut seen = BTreeMap::new();
    for seed in 0..12 {
        let wishes = wishes(seed);
        let mut chaos = Chaos::new(&wishes, seed);
        chaos.run();
        chaos.is_quiet(&wishes);
        for (what, count) in chaos.seen {
            *seen.entry(what).or_insert(0) += count;
        }
    }
    for what in ["denied", "given back", "led elsewhere", "let in", "lost", "running", "too late"] {
        assert!(seen.contains_key(what), "no seed comes to: {what}; {seen:?}");
    }
}

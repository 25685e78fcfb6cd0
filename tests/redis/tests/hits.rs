//! A hit's own short way through the script: instants and limits that chance seldom comes to.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir::cache::fingerprint::Framed;
use weir::cache::{Entry, Freshness, Place, Window};
use weir::dialect::endpoint::{Form, Operation};
use weir::ledger::usage::Tokens;
use weir::limits::Limits;
use weir::limits::account::{Scope, Want};
use weir::limits::rate::Rate;
use weir::store::embedded::Store;
use weir::store::protocol::{Ask, Closing, Held, Keeping, Opened, Recall, Reservation};
use weir::store::redis::{Clock, Codec, Moment, Value};
use weir::time::Instant;
use weir_redis_tests::{Connection, Server, record};

const START: Instant = Instant::from_micros(1_790_000_000_000_000);
const FRESH: Duration = Duration::from_secs(10);
/// How long a call is taken to be under way.
const HELD: Duration = Duration::from_secs(2);

/// Callers that ask both stores for one answer, which was kept at the start.
struct Twins {
    connection: Connection,
    codec: Codec,
    store: Store,
}

impl Twins {
    fn keeping(server: &Server, life: Duration) -> Self {
        let (connection, codec) = (server.connect(), Codec::new("default", Clock::Sender));
        let mut twins = Self { connection, codec, store: Store::new(START, 1 << 20) };
        let entry = Entry {
            operation: Operation::Chat,
            form: Form::Whole,
            content_type: "application/json".into(),
            model: "m".into(),
            body: Bytes::from_static(b"{\"\xff\r\n\"}"),
        };
        let cache = Some((recall().key, life));
        let closing = Closing {
            record: record(),
            reservation: reservation(Limits::default(), START),
            used: Tokens(0),
            findings: Vec::new(),
            abandoned: Vec::new(),
            keeping: Keeping { entry: Some(Arc::new(entry)), cache, ..Keeping::default() },
        };
        twins.store.close(&closing, START, 0);
        let command = twins.codec.close(&closing, 0, Moment { now: START, nonce: 1 }).unwrap();
        twins.connection.run(&command).unwrap();
        twins
    }

    /// What both say, and whether Redis said it the short way.
    fn open(&mut self, limits: Limits, after: Duration) -> (Opened, bool) {
        let (now, recall) = (START.after(after), recall());
        let reservation = reservation(limits, now);
        let ask = Ask { recall: Some(&recall), reservation: Some(&reservation), ..Ask::default() };
        let moment = Moment { now, nonce: 2 };
        let command = self.codec.open(ask, moment);
        let value = self.connection.run(&command).unwrap();
        let Value::Array(words) = &value else { panic!("{value:?}") };
        let is_short = words.get(2) == Some(&Value::Bytes(Bytes::from_static(b"hit")));
        let told = self.codec.opened(ask, &command, moment, value).unwrap();
        assert_eq!(told.faults, 0);
        let ours = self.store.open(ask, now);
        assert_eq!(told.answer.recalled, ours.recalled, "after {after:?}");
        assert_eq!((told.answer.left, &told.answer.denied), (ours.left, &ours.denied), "after {after:?}");
        (told.answer, is_short)
    }

    /// The only one of a kind.
    fn key(&mut self, kind: &str) -> String {
        let keys = self.connection.call(&["KEYS", &format!("*:{kind}:*")]);
        let Ok(Value::Array(keys)) = keys else { panic!("{keys:?}") };
        let [Value::Bytes(key)] = &keys[..] else { panic!("{keys:?}") };
        String::from_utf8(key.to_vec()).unwrap()
    }

    /// Milliseconds that it lives.
    fn left(&mut self, kind: &str) -> i64 {
        let key = self.key(kind);
        let left = self.connection.call(&["PTTL", &key]);
        let Ok(Value::Int(left)) = left else { panic!("{left:?}") };
        left
    }
}

fn recall() -> Recall {
    let window = Window { fresh: FRESH, revalidate: FRESH, if_error: FRESH * 2, ttl: FRESH / 2 };
    Recall { key: Framed::new("test").finish(), window, place: Place::Edge }
}

fn reservation(limits: Limits, now: Instant) -> Reservation {
    Reservation {
        want: Want { id: now.as_micros(), tokens: Tokens(5), lasts: HELD },
        scopes: vec![(Scope::Caller { tenant: "t".into(), name: "n".into() }, limits)],
        held: Held::InStore,
    }
}

fn requests(count: u64, per: Duration) -> Limits {
    Limits { requests: vec![Rate { count, per }], ..Limits::default() }
}

#[test]
fn an_answer_is_fresh_until_the_microsecond_it_is_not() {
    let server = Server::start();
    for (label, life, after, freshness) in [
        ("at once", FRESH * 3, Duration::ZERO, Some(Freshness::Fresh)),
        ("behind its ttl", FRESH * 3, FRESH / 2, Some(Freshness::Fresh)),
        ("to the last", FRESH * 3, Duration::from_micros(9_999_999), Some(Freshness::Fresh)),
        ("no longer", FRESH * 3, FRESH, Some(Freshness::IfError)),
        ("nearly at its end", FRESH / 2, Duration::from_micros(4_999_999), Some(Freshness::Fresh)),
        ("at its end", FRESH / 2, FRESH / 2, None),
    ] {
        let mut twins = Twins::keeping(&server, life);
        let (opened, is_short) = twins.open(requests(1000, FRESH), after);
        assert_eq!(opened.recalled.map(|recalled| recalled.freshness), freshness, "{label}");
        assert_eq!(is_short, freshness == Some(Freshness::Fresh), "{label}");
        twins.connection.call(&["FLUSHALL"]).unwrap();
    }
}

/// Whoever put it there: a tenant's answer is given to nobody else.
#[test]
fn an_answer_that_says_it_is_another_is_no_hit() {
    let server = Server::start();
    let mut twins = Twins::keeping(&server, FRESH);
    let other = Recall { key: Framed::new("another").finish(), ..recall() };
    let key = twins.key("answer");
    let named = key.replace(&recall().key.to_hex(), &other.key.to_hex());
    twins.connection.call(&["RENAME", &key, &named]).unwrap();
    let reservation = reservation(Limits::default(), START);
    let ask = Ask { recall: Some(&other), reservation: Some(&reservation), ..Ask::default() };
    let moment = Moment { now: START, nonce: 2 };
    let command = twins.codec.open(ask, moment);
    assert!(command.keys.iter().any(|key| key == named.as_bytes()));
    let value = twins.connection.run(&command).unwrap();
    let told = twins.codec.opened(ask, &command, moment, value).unwrap();
    assert_eq!((told.answer.recalled, told.answer.is_kept, told.faults), (None, false, 1));
}

#[test]
fn a_hit_tells_what_is_left_of_the_tightest_rate_of_each_kind() {
    let server = Server::start();
    let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
    let rates = |counts: [u64; 2]| {
        counts.into_iter().zip([second, minute]).map(|(count, per)| Rate { count, per }).collect::<Vec<_>>()
    };
    for (requests, tokens, tightest) in [([100, 5], [900, 50], [5, 50]), ([5, 100], [50, 900], [5, 50])] {
        let mut twins = Twins::keeping(&server, FRESH);
        let limits = Limits { requests: rates(requests), tokens: rates(tokens), ..Limits::default() };
        let (opened, is_short) = twins.open(limits, Duration::ZERO);
        let limits = [opened.left.requests, opened.left.tokens].map(|left| left.unwrap().limit);
        assert_eq!((limits, is_short), (tightest, true));
        twins.connection.call(&["FLUSHALL"]).unwrap();
    }
}

#[test]
fn a_hit_finds_what_has_run_off_to_the_millisecond() {
    let server = Server::start();
    let mut twins = Twins::keeping(&server, FRESH);
    for (millis, remaining) in [(0, 999), (0, 998), (0, 997), (2, 998), (3, 998)] {
        let (opened, is_short) =
            twins.open(requests(1000, Duration::from_secs(1)), Duration::from_millis(millis));
        assert_eq!((opened.left.requests.unwrap().remaining, is_short), (remaining, true), "{millis} ms");
    }
}

/// What was taken under another rate is not forgotten.
#[test]
fn a_hit_under_a_rate_that_has_changed_goes_on_with_what_was_taken() {
    let server = Server::start();
    let mut twins = Twins::keeping(&server, FRESH);
    let second = Duration::from_secs(1);
    for limits in [requests(10, second), requests(10, second)] {
        assert!(twins.open(limits, Duration::ZERO).1);
    }
    let (opened, is_short) = twins.open(requests(10, second * 7), Duration::ZERO);
    assert_eq!((opened.left.requests.unwrap().remaining, is_short), (7, false));
    let (opened, is_short) = twins.open(requests(10, second * 7), Duration::ZERO);
    assert_eq!((opened.left.requests.unwrap().remaining, is_short), (6, true));
}

#[test]
fn a_hit_is_remembered_for_as_long_as_it_counts() {
    let server = Server::start();
    let mut twins = Twins::keeping(&server, FRESH);
    let limits = Limits { concurrent: Some(3), ..requests(4, Duration::from_hours(4)) };
    let hour = 3_600_000;
    // In virtual time keys live up to an hour longer than they have to.
    for taken in 1..=3 {
        let (_, is_short) = twins.open(limits.clone(), Duration::ZERO);
        assert!(is_short, "{taken}");
        let left = twins.left("account");
        assert!((taken * hour - 60_000..=(taken + 1) * hour).contains(&left), "{left} ms after {taken}");
        assert!((hour..=hour + 60_000).contains(&twins.left("holds")));
    }
}

#[test]
fn a_hit_clears_away_the_holds_that_are_over() {
    let server = Server::start();
    let mut twins = Twins::keeping(&server, FRESH);
    for (after, held) in [(0, 1), (1, 2), (HELD.as_secs(), 2)] {
        let limits = Limits { concurrent: Some(2), ..Limits::default() };
        let (opened, is_short) = twins.open(limits, Duration::from_secs(after));
        assert!(opened.denied.is_none() && is_short, "after {after} s");
        let key = twins.key("holds");
        assert_eq!(twins.connection.call(&["ZCARD", &key]), Ok(Value::Int(held)), "after {after} s");
    }
}

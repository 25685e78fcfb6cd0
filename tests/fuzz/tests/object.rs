//! What crosses between isolates and objects, and what lies in an object's storage, any bytes at all: an object
//! answers, what it writes is what it reads again, and an isolate that cannot understand takes an object for lost.
#![cfg(test)]

use std::time::Duration;

use weir::cache::fingerprint::Framed;
use weir::cache::{Place, Window};
use weir::ledger::usage::Tokens;
use weir::limits::Limits;
use weir::limits::account::{Scope, Want};
use weir::limits::rate::Rate;
use weir::routing::breaker::control::{Change, Order};
use weir::store::durable::{self, Desk, Opening};
use weir::store::embedded::Store;
use weir::store::protocol::{Ask, Held, Recall, Repeat, Reservation, StoreLost};
use weir::time::{Instant, UnixMillis};

/// 2026, in microseconds since 1970.
const NOW: Instant = Instant::from_micros(1_790_000_000_000_000);

/// Keys that records of each kind may lie under.
const KEYS: [&str; 5] = ["retries", "account:1", "key:1:2", "breaker:", "order"];

#[test]
fn object() {
    bolero::check!().for_each(holds);
}

#[test]
fn object_damaged() {
    weir_fuzz::mutants("object", 100).for_each(|bytes| holds(&bytes));
}

fn holds(bytes: &[u8]) {
    let mut desk = Desk::restore(KEYS.map(|key| (key.to_owned(), bytes.to_vec())), NOW);
    assert!(desk.faults() >= 4, "one value is the record of one name at most");
    let later = NOW.after(Duration::from_secs(2));
    for (question, now) in [(bytes, NOW), (bytes, later)] {
        assert!(!desk.answer(question, now, u64::MAX).answer.is_empty());
    }
    is_written_as_it_is_read(&mut desk, later);
    is_heard(bytes);
}

fn is_written_as_it_is_read(desk: &mut Desk, now: Instant) {
    let mut entries = Vec::new();
    loop {
        let changes = desk.changes(now);
        if changes.is_empty() {
            break;
        }
        assert!(changes.puts.len() + changes.deletions.len() <= 128);
        entries.extend(changes.puts);
    }
    let mut again = Desk::restore(entries, now);
    assert_eq!(again.faults(), 0);
    assert!(again.changes(now).is_empty());
}

/// In the place of each answer there is.
fn is_heard(bytes: &[u8]) {
    let key = Framed::new("test").finish();
    let rates = vec![Rate { count: 10, per: Duration::from_mins(1) }];
    let limits = Limits { requests: rates, concurrent: Some(3), ..Limits::default() };
    let want = Want { id: 1, tokens: Tokens(7), lasts: Duration::from_mins(1) };
    let scopes = vec![(Scope::Route("*".into()), limits)];
    let reservation = Reservation { want, scopes, held: Held::InStore };
    let (repeat, breakers) = (Repeat { key, request: key }, ["a".to_owned()]);
    let ask = Ask {
        tenant: "t",
        breakers: &breakers,
        reservation: Some(&reservation),
        repeat: Some(&repeat),
        ..Ask::default()
    };
    let mut opening = Opening::new(ask, None, NOW);
    let asked = opening.asked().to_vec();
    opening.hear(&vec![Ok(bytes.to_vec()); asked.len()], NOW);
    let joined = opening.join(&Store::new(NOW, 0), NOW);
    // No answer is one of a tenant's object, of a route's and of an upstream's.
    assert_eq!(joined.opened.err(), Some(StoreLost));
    let abandoned = opening.abandon();
    for asked in asked {
        let _ = abandoned.belated(&asked.object, bytes, NOW);
    }
    let told = [
        durable::done(bytes, NOW).is_ok(),
        durable::granted(bytes, NOW).is_ok(),
        durable::renewed(bytes, NOW).is_ok(),
        durable::listed(&[], &[Ok(bytes.to_vec())], NOW).is_ok(),
        durable::obeyed(&Order { breaker: "a".into(), change: Change::Release }, bytes, NOW).is_ok(),
    ];
    assert!(told.iter().filter(|is_told| **is_told).count() <= 1, "one answer has one meaning: {told:?}");
    let window = Window {
        fresh: Duration::MAX,
        revalidate: Duration::MAX,
        if_error: Duration::MAX,
        ttl: Duration::MAX,
    };
    assert_eq!(
        durable::recall(&Recall { key, window, place: Place::Edge }, bytes, UnixMillis(2)),
        None,
        "it is another's"
    );
}

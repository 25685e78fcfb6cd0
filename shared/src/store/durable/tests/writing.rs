//! When a desk is written, in which batches, and what is lost if it is not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::scene::{at, caller, entry, key, limits, reservation};
use super::world::closing;
use crate::cache::fingerprint::{Fingerprint, of_tenant};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::Scope;
use crate::routing::breaker::control::{Change, Forced, Order, Override};
use crate::routing::breaker::{FaultScope, Gate, Outcome, Policies};
use crate::store::durable::{self, Answered, Asked, Changes, Desk, Flush, Object, Opening};
use crate::store::embedded::Store;
use crate::store::protocol::{
    Ask, Closing, Finding, Keeping, Opened, Ownership, Repeat, Repeated, Reservation,
};
use crate::time::Instant;

const SECOND: u64 = 1_000_000;

/// Bytes of what was answered to idempotency keys that an object keeps.
const MOST: usize = 16 << 20;

type Storage = BTreeMap<String, Vec<u8>>;

fn apply(changes: Changes, storage: &mut Storage) {
    let Changes { puts, deletions } = changes;
    storage.retain(|key, _| !deletions.contains(key));
    storage.extend(puts);
}

/// Writes all there is to write; gives the number of batches.
fn write(desk: &mut Desk, storage: &mut Storage, now: Instant) -> usize {
    let mut batches = 0;
    loop {
        let changes = desk.changes(now);
        if changes.is_empty() {
            return batches;
        }
        batches += 1;
        apply(changes, storage);
    }
}

fn tell(desk: &mut Desk, asked: &[Asked], now: Instant) {
    for asked in asked {
        durable::done(&desk.answer(&asked.question, now, 0).answer, now).unwrap();
    }
}

fn open(desk: &mut Desk, ask: Ask<'_>, now: Instant) -> Opened {
    let mut opening = Opening::new(ask, None, now);
    let answers = opening.asked().iter().map(|asked| {
        let Answered { answer, flush } = desk.answer(&asked.question, now, 0);
        assert_eq!(flush, Flush::Later);
        Ok(answer)
    });
    let answers: Vec<_> = answers.collect();
    opening.hear(&answers, now);
    opening.join(&Store::new(now, 0), now).opened.unwrap()
}

#[test]
fn whose_an_object_is_is_written_before_its_maker_hears_of_it_and_read_again() {
    let (mut desk, mut storage, tenant) = (Desk::new(at(0)), Storage::new(), of_tenant("t"));
    let (one, none) = ([key(1)], []);
    let own = |desk: &mut Desk, named: &[Fingerprint], made: &[Fingerprint], now| {
        let asked = durable::own(Ownership { tenant, named, made }, now);
        assert_eq!(asked.object, Object::Tenant(tenant));
        let Answered { answer, flush } = desk.answer(&asked.question, now, 0);
        (durable::granted(&answer, now).unwrap(), flush)
    };
    assert_eq!(own(&mut desk, &one, &none, at(0)), (false, Flush::Later));
    assert_eq!(own(&mut desk, &none, &one, at(0)), (true, Flush::First));
    write(&mut desk, &mut storage, at(0));
    let mut desk = Desk::restore(storage.clone(), at(SECOND));
    assert_eq!(own(&mut desk, &one, &none, at(SECOND)), (true, Flush::Later));
    let later = at(0).after(Duration::from_hours(24 * 31));
    assert_eq!(own(&mut desk, &one, &none, later), (false, Flush::Later));
    write(&mut desk, &mut storage, later);
    assert!(storage.is_empty(), "what is forgotten is deleted: {:?}", storage.keys());
}

fn reserve(desk: &mut Desk, reservation: &Reservation, now: Instant) -> Opened {
    open(desk, Ask { tenant: "t", reservation: Some(reservation), ..Ask::default() }, now)
}

/// `name` of the tenant, with nine of each.
fn named(name: u64) -> (Scope, Limits) {
    (Scope::Caller { tenant: "t".into(), name: format!("{name}") }, limits(9))
}

#[test]
fn what_changes_is_due_a_second_later_and_what_has_ended_at_leisure() {
    let (mut desk, mut storage) = (Desk::new(at(0)), Storage::new());
    assert_eq!((desk.next_alarm(), desk.changes(at(0))), (None, Changes::default()));
    let mut expiring = reservation(1, vec![caller("t")]);
    expiring.want.lasts = Duration::from_secs(4);
    expiring.scopes[0].1 = Limits { concurrent: Some(1), ..Limits::default() };
    reserve(&mut desk, &expiring, at(SECOND));
    assert_eq!(desk.next_alarm(), Some(at(2 * SECOND)));
    reserve(&mut desk, &expiring, at(SECOND + 500_000));
    assert_eq!(desk.next_alarm(), Some(at(2 * SECOND)), "more changes do not put it off");
    assert_eq!(write(&mut desk, &mut storage, at(2 * SECOND)), 1);
    assert_eq!(storage.len(), 1);
    assert_eq!(desk.next_alarm(), Some(at(65 * SECOND)), "a minute behind the end of its hold");
    let denied = reservation(2, expiring.scopes.clone());
    assert!(reserve(&mut desk, &denied, at(3 * SECOND)).denied.is_some());
    assert_eq!(desk.changes(at(3 * SECOND)), Changes::default(), "a denial changes nothing");
    write(&mut desk, &mut storage, at(65 * SECOND));
    assert_eq!((storage.len(), desk.next_alarm()), (0, None), "it means nothing any more");
}

#[test]
fn batches_are_as_large_as_a_storage_takes_them() {
    let (mut desk, mut storage) = (Desk::new(at(0)), Storage::new());
    for name in 0..300 {
        reserve(&mut desk, &reservation(name, vec![named(name)]), at(0));
    }
    assert_eq!(write(&mut desk, &mut storage, at(0)), 3, "128, 128 and 44");
    assert_eq!(storage.len(), 300);
    reserve(&mut desk, &reservation(900, vec![named(7)]), at(0));
    let changes = desk.changes(at(0));
    assert_eq!((changes.puts.len(), changes.deletions.len()), (1, 0), "what has not changed is not written");
    apply(changes, &mut storage);
    let mut again = Desk::restore(storage, at(0));
    assert_eq!(again.faults(), 0);
    let left = |desk: &mut Desk, name| {
        reserve(desk, &reservation(901, vec![named(name)]), at(0)).left.requests.unwrap().remaining
    };
    assert_eq!((left(&mut again, 7), left(&mut again, 8), left(&mut again, 300)), (6, 7, 8));
}

/// With the pieces of one in one batch, no half of an answer is ever read.
#[test]
fn an_answer_longer_than_a_value_is_written_in_pieces_that_come_and_go_together() {
    let (mut desk, mut storage) = (Desk::new(at(0)), Storage::new());
    let repeat = Repeat { key: key(1), request: key(2) };
    let nothing = reservation(1, Vec::new());
    let ask = Ask { tenant: "t", reservation: Some(&nothing), repeat: Some(&repeat), ..Ask::default() };
    assert_eq!(open(&mut desk, ask, at(0)).repeated, Some(Repeated::First));
    write(&mut desk, &mut storage, at(0));
    assert_eq!(storage.len(), 1, "somebody uses the key");
    let mut again = Desk::restore(storage.clone(), at(SECOND));
    assert_eq!(open(&mut again, ask, at(SECOND)).repeated, Some(Repeated::Running));
    // Others change at the same time, so that it does not fit into the first batch.
    for name in 0..100 {
        reserve(&mut desk, &reservation(name + 10, vec![named(name)]), at(0));
    }
    let keeping = Keeping {
        entry: Some(entry(4 << 20)),
        repeat: Some((repeat, Duration::from_mins(1))),
        ..Keeping::default()
    };
    let closing = Closing { keeping, ..closing("t", nothing.clone(), Tokens(0)) };
    tell(&mut desk, &durable::close(&closing, at(0)), at(0));
    assert_eq!(write(&mut desk, &mut storage, at(0)), 2);
    assert_eq!(storage.len(), 100 + 33);
    let mut again = Desk::restore(storage.clone(), at(SECOND));
    assert_eq!(again.faults(), 0);
    let expected = Repeated::Answered { entry: entry(4 << 20), age: Duration::from_secs(1) };
    assert_eq!(open(&mut again, ask, at(SECOND)).repeated, Some(expected));
    let mut halved = storage.clone();
    let piece = halved.keys().find(|key| key.ends_with(":17")).unwrap().clone();
    halved.remove(&piece);
    assert_eq!(Desk::restore(halved, at(0)).faults(), 1);
    write(&mut again, &mut storage, at(61 * SECOND));
    assert_eq!(storage.keys().filter(|key| key.starts_with("key:")).count(), 0, "its life is over");
}

/// Issue 14, item 2: an object that begins anew reads everything that was written of it.
#[test]
fn an_answer_that_makes_room_goes_from_the_storage_as_well() {
    let (mut desk, mut storage) = (Desk::new(at(0)), Storage::new());
    let bytes = |storage: &Storage| storage.values().map(Vec::len).sum::<usize>();
    let repeated = |desk: &mut Desk, number, now| {
        let repeat = Repeat { key: key(number), request: key(number) };
        let nothing = reservation(number, Vec::new());
        let ask = Ask { tenant: "t", reservation: Some(&nothing), repeat: Some(&repeat), ..Ask::default() };
        (open(desk, ask, now).repeated.unwrap(), repeat, nothing)
    };
    for number in 0..60 {
        let now = at(number);
        let (known, repeat, nothing) = repeated(&mut desk, number, now);
        assert_eq!(known, Repeated::First);
        let keeping = Keeping {
            entry: Some(entry(1 << 20)),
            repeat: Some((repeat, Duration::from_hours(24))),
            ..Keeping::default()
        };
        let closing = Closing { keeping, ..closing("t", nothing, Tokens(0)) };
        tell(&mut desk, &durable::close(&closing, now), now);
        write(&mut desk, &mut storage, now);
        assert!(bytes(&storage) <= MOST, "{} bytes after {number}", bytes(&storage));
    }
    let mut again = Desk::restore(storage.clone(), at(SECOND));
    for (number, is_kept) in [(0, false), (40, false), (50, true), (59, true)] {
        let (known, ..) = repeated(&mut again, number, at(SECOND));
        assert_eq!(matches!(known, Repeated::Answered { .. }), is_kept, "{number}: {known:?}");
    }
    // What an earlier version has left there is too much to be kept.
    let (mut first, mut second) = (Storage::new(), Storage::new());
    for (numbers, storage) in [(100..112, &mut first), (200..212, &mut second)] {
        let mut desk = Desk::new(at(0));
        for number in numbers {
            let (_, repeat, nothing) = repeated(&mut desk, number, at(0));
            let keeping = Keeping {
                entry: Some(entry(1 << 20)),
                repeat: Some((repeat, Duration::from_secs(number))),
                ..Keeping::default()
            };
            let closing = Closing { keeping, ..closing("t", nothing, Tokens(0)) };
            tell(&mut desk, &durable::close(&closing, at(0)), at(0));
        }
        write(&mut desk, storage, at(0));
    }
    first.append(&mut second);
    assert!(bytes(&first) > MOST);
    let mut again = Desk::restore(first.clone(), at(SECOND));
    write(&mut again, &mut first, at(SECOND));
    assert!(bytes(&first) <= MOST, "{} bytes", bytes(&first));
    assert!(matches!(repeated(&mut again, 211, at(SECOND)).0, Repeated::Answered { .. }));
    assert_eq!(repeated(&mut again, 100, at(SECOND)).0, Repeated::First);
}

#[test]
fn a_batch_that_was_not_written_is_written_with_the_next() {
    let (mut desk, mut storage) = (Desk::new(at(0)), Storage::new());
    reserve(&mut desk, &reservation(1, vec![named(1)]), at(0));
    write(&mut desk, &mut storage, at(0));
    reserve(&mut desk, &reservation(2, vec![named(1)]), at(0));
    let lost = desk.changes(at(0));
    assert_eq!(desk.next_alarm(), Some(at(860 * SECOND)), "it is taken for written");
    desk.unwritten(at(5 * SECOND));
    assert_eq!(desk.next_alarm(), Some(at(6 * SECOND)));
    assert_eq!(desk.changes(at(6 * SECOND)), lost);
    apply(lost, &mut storage);
    assert_eq!(desk.changes(at(6 * SECOND)), Changes::default());
}

#[test]
fn an_order_is_written_before_it_is_confirmed() {
    let (mut desk, mut storage) = (Desk::new(at(0)), Storage::new());
    let force = Change::Force { forced: Forced::Open, lasting: None };
    for (change, gate) in [
        (force, Gate::Forced(Override { forced: Forced::Open, until: None })),
        (Change::Release, Gate::Closed),
    ] {
        let order = Order { breaker: "a/m".into(), change };
        let Answered { answer, flush } = desk.answer(&durable::control(&order, at(0)).question, at(0), 0);
        assert_eq!(flush, Flush::First);
        assert_eq!(durable::obeyed(&order, &answer, at(0)).unwrap().unwrap().gate, gate);
        assert_eq!(write(&mut desk, &mut storage, at(0)), 1);
        let breakers = ["a/m".to_owned()];
        let ask = Ask { breakers: &breakers, ..Ask::default() };
        let mut again = Desk::restore(storage.clone(), at(9_999 * SECOND));
        assert_eq!(open(&mut again, ask, at(9_999 * SECOND)).gates, [gate]);
    }
    let unknown = Order { breaker: "b".into(), change: Change::Release };
    desk.answer(&durable::control(&unknown, at(0)).question, at(0), 0);
    assert_eq!(desk.changes(at(0)), Changes::default(), "there was nothing to release");
}

/// A change that is not written is one that a next life does not know.
#[test]
fn each_step_writes_what_it_changes_and_nothing_else() {
    let finding = |outcome| Finding { breaker: "a".into(), policies: Policies::default(), outcome };
    let opens = Outcome::RateLimited { scope: FaultScope::Model, retry_after: Some(Duration::from_secs(1)) };
    let report = |outcome| durable::report_probe(&finding(outcome), 1, at(0));
    let forced = Order {
        breaker: "b".into(),
        change: Change::Force { forced: Forced::Closed, lasting: Some(Duration::from_secs(9)) },
    };
    let counted = reservation(1, vec![caller("t")]);
    let repeat = Repeat { key: key(1), request: key(2) };
    let breakers = ["a".to_owned()];
    let opening = |ask: Ask<'_>| Opening::new(ask, None, at(0)).asked().to_vec();
    let whole = Ask {
        tenant: "t",
        breakers: &breakers,
        reservation: Some(&counted),
        repeat: Some(&repeat),
        ..Ask::default()
    };
    let over = |keeping, findings, abandoned| {
        let closing = closing("t", counted.clone(), Tokens(3));
        durable::close(&Closing { findings, abandoned, keeping, ..closing }, at(0))
    };
    let life = Duration::from_mins(1);
    let answered = Keeping { entry: Some(entry(9)), repeat: Some((repeat, life)), ..Keeping::default() };
    let nothing = Keeping::default;
    let steps: [(&str, u64, Vec<Asked>, &[&str]); 13] = [
        ("nothing has happened", 2, vec![], &[]),
        ("a look", 2, opening(Ask { reservation: None, ..whole }), &[]),
        ("a retry", 2, vec![durable::withdraw_retry("a", at(0))], &["retries"]),
        ("a call", 2, opening(whole), &["account", "key", "retries"]),
        ("its like, that waits for it", 2, opening(whole), &["retries"]),
        ("its end", 2, over(answered, vec![], vec![]), &["account", "key"]),
        (
            "a failure",
            2,
            over(nothing(), vec![finding(Outcome::Failure { scope: FaultScope::Model })], vec![]),
            &["account", "breaker"],
        ),
        ("a report that opens it", 2, vec![report(opens)], &["breaker"]),
        ("a retry that is not to be had", 2, vec![durable::withdraw_retry("a", at(0))], &[]),
        ("an order", 2, vec![durable::control(&forced, at(0))], &["order"]),
        ("a probe", 4, vec![durable::lease_probe("a", 1, at(0))], &["breaker"]),
        ("a probe that is another's", 4, vec![durable::lease_probe("a", 2, at(0))], &[]),
        (
            "a probe that came to nothing",
            4,
            over(nothing(), vec![], vec!["a".into()]),
            &["account", "breaker"],
        ),
    ];
    let mut desk = Desk::new(at(0));
    for (what, second, asked, expected) in steps {
        for asked in asked {
            desk.answer(&asked.question, at(second * SECOND), 0);
        }
        let changes = desk.changes(at(second * SECOND));
        let kinds: Vec<_> = changes.puts.iter().filter_map(|(key, _)| key.split(':').next()).collect();
        assert_eq!((kinds, changes.deletions), (expected.to_vec(), vec![]), "{what}");
    }
}

//! Nothing that an object or an isolate is sent, and nothing that lies in a storage, makes it panic.

use std::time::Duration;

use proptest::prelude::*;

use super::scene::{at, caller, entry, key, limits, reservation};
use crate::cache::fingerprint::{self, Framed};
use crate::cache::{Place, Window};
use crate::ledger::usage::Tokens;
use crate::limits::account::{Scope, Told};
use crate::routing::breaker::control::{Change, Forced, Order};
use crate::routing::breaker::{FaultScope, Outcome, Policies};
use crate::store::durable::message::{Answer, Ended, Mend, Question, Successes, Taken, Tally};
use crate::store::durable::{self, Desk, Object, Opening};
use crate::store::embedded::Store;
use crate::store::lease::Lease;
use crate::store::protocol::{Ask, Finding, Held, Holding, Recall, Repeat, Reservation, StoreLost};
use crate::time::UnixMillis;

/// One of each kind, with something in every field.
fn questions() -> Vec<Vec<u8>> {
    let reservation = reservation(1, vec![caller("t"), (Scope::Route("*".into()), limits(9))]);
    let (want, scopes) = (reservation.want, reservation.scopes.clone());
    let repeat = Repeat { key: key(1), request: key(2) };
    let span = Duration::from_secs(3);
    let lease = Lease { tenant: fingerprint::of_tenant("t"), key: key(3), form: Some(key(4)), span };
    let window =
        Window { fresh: Duration::ZERO, revalidate: Duration::MAX, if_error: Duration::MAX, ttl: span };
    let recall = Recall { key: key(3), window, place: Place::Edge };
    let breakers = ["a".to_owned(), "a/m".to_owned()];
    let ask = Ask {
        tenant: "t",
        breakers: &breakers,
        reservation: Some(&reservation),
        repeat: Some(&repeat),
        lease: Some(&lease),
        awaited: None,
        recall: Some(&recall),
        ..Ask::default()
    };
    let kept = durable::keep(key(3), &entry(9), Duration::MAX, UnixMillis(0));
    let recalled = durable::recall(&recall, &kept, UnixMillis(5)).unwrap();
    let missed = Opening::new(ask, None, at(0));
    let stale = Opening::new(ask, Some(recalled), at(0));
    let opened = missed.asked().iter().chain(stale.asked()).map(|asked| asked.question.clone());
    let retry_after = Some(Duration::from_secs(9));
    let outcome = Outcome::RateLimited { scope: FaultScope::Model, retry_after };
    let finding = Finding { breaker: "a".into(), policies: Policies::default(), outcome };
    let ended = Ended {
        told: Told::First,
        id: 1,
        held: Some((want, scopes.clone())),
        used: Tokens(3),
        refresh: Some(key(3)),
        repeat: Some((repeat, span)),
        entry: Some(entry(99)),
        lease: None,
        findings: vec![finding.clone()],
        abandoned: vec!["a".into()],
    };
    let mend = Mend {
        want,
        scopes,
        taken: Taken::Whole,
        stays: Taken::Place,
        repeat: Some(repeat),
        lease: Some(lease),
        refresh: Some(key(3)),
        deposited: 200,
    };
    let reservation = Reservation { want, scopes: vec![caller("t")], held: Held::InStore };
    let holding = Holding { tenant: "t".into(), reservation, repeat: Some(repeat) };
    let change = Change::Force { forced: Forced::Open, lasting: Some(span) };
    let order = Order { breaker: "a".into(), change };
    let object = Object::tenant("t");
    let others = [Question::Close(ended), Question::Mend(mend)]
        .map(|question| question.to(object.clone(), at(0)).question)
        .into_iter()
        .chain([
            durable::withdraw_retry("a", at(0)).question,
            durable::lease_probe("a", 1, at(0)).question,
            durable::report_probe(&finding, 1, at(0)).question,
            durable::control(&order, at(0)).question,
            durable::listing(&breakers, [], at(0)).remove(0).question,
            durable::renew(&lease, 1, at(0)).question,
            durable::renew_hold(&holding, at(0)).remove(0).question,
        ]);
    let mut questions: Vec<_> = opened.chain(others).collect();
    let successes = vec![Successes { breaker: "a".into(), policies: Policies::default(), count: 9 }];
    let question = questions.iter().last().cloned().unwrap_or_default();
    let behind = Question::Behind { tally: Tally { successes, deposits: 7 }, question };
    questions.push(behind.write(at(0)));
    questions
}

/// A desk that knows something, and what is written of it.
fn written() -> Vec<(String, Vec<u8>)> {
    let mut desk = Desk::new(at(0));
    for question in questions() {
        desk.answer(&question, at(0), 0);
    }
    let (mut entries, mut changes) = (Vec::new(), desk.changes(at(0)));
    while !changes.is_empty() {
        entries.extend(std::mem::take(&mut changes.puts));
        changes = desk.changes(at(0));
    }
    entries
}

/// Bytes with some of them changed, cut or doubled.
fn spoiled(mut bytes: Vec<u8>, harm: &[(usize, u8)], cut: Option<usize>) -> Vec<u8> {
    for (at, bits) in harm {
        let at = at % bytes.len();
        bytes[at] ^= bits;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut % bytes.len());
    }
    bytes
}

fn harm() -> impl Strategy<Value = Vec<(usize, u8)>> {
    proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)
}

/// Whoever changes a form changes its version and the hash of it in here: objects and what they have written outlive
/// what is deployed.
#[test]
fn what_is_said_and_written_stays_as_it_is() {
    let mut desk = Desk::new(at(0));
    let answers: Vec<_> = questions().iter().map(|question| desk.answer(question, at(0), 0).answer).collect();
    let (keys, values): (Vec<_>, Vec<_>) = written().into_iter().unzip();
    let kept = durable::keep(key(3), &entry(9), Duration::from_mins(1), UnixMillis(1));
    for (what, bytes, expected) in [
        ("questions", questions(), "b863b25e4643c767"),
        ("answers", answers, "b61a6f30ec0bc240"),
        ("keys of records", keys.into_iter().map(String::into_bytes).collect(), "e75780335a62f196"),
        ("records", values, "09534aebefd620e5"),
        ("an answer in a cache", vec![kept], "84c8ea42fc8f07d6"),
    ] {
        let framed = bytes.iter().fold(Framed::new("test"), |framed, bytes| framed.field(what, bytes));
        assert_eq!(&framed.finish().to_hex()[..16], expected, "{what}");
    }
}

#[test]
fn every_question_has_its_answer() {
    let mut desk = Desk::new(at(0));
    for question in questions() {
        let answer = desk.answer(&question, at(0), 0).answer;
        assert_ne!(Answer::read(&answer, at(0)), Ok(Answer::Garbled), "{question:?}");
    }
    let other_version = [&[1][..], &questions()[0][1..]].concat();
    let nothing = || Tally::default();
    let twice = Question::Behind { tally: nothing(), question: questions()[0].clone() }.write(at(0));
    let twice = Question::Behind { tally: nothing(), question: twice }.write(at(0));
    for garbled in [&[][..], b"rubbish", &other_version, &twice] {
        let answer = desk.answer(garbled, at(0), 0).answer;
        assert_eq!(Answer::read(&answer, at(0)), Ok(Answer::Garbled), "{garbled:?}");
        assert_eq!(durable::done(&answer, at(0)), Err(StoreLost));
        assert_eq!(durable::granted(&answer, at(0)), Err(StoreLost));
    }
}

#[test]
fn what_cannot_be_read_is_missing_is_counted_and_is_deleted() {
    let mut entries = written();
    let whole = entries.len();
    assert!(whole >= 5, "{entries:?}");
    let restored = Desk::restore(entries.clone(), at(0));
    assert_eq!(restored.faults(), 0);
    // One is cut, one lies under another's key, one is nobody's.
    entries[0].1.pop();
    entries[1].0 = "account:1:7".into();
    entries.push(("retries?".into(), b"rubbish".to_vec()));
    let mut restored = Desk::restore(entries.clone(), at(0));
    assert_eq!(restored.faults(), 3);
    assert!(restored.next_alarm().is_some());
    let changes = restored.changes(at(0));
    let mut deleted = changes.deletions.clone();
    deleted.sort();
    let mut expected = [&entries[0].0, &entries[1].0, &entries[whole].0].map(String::clone);
    expected.sort();
    assert_eq!((deleted, changes.puts.len()), (expected.to_vec(), 0));
}

proptest! {
    #[test]
    fn no_bytes_make_a_desk_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut desk = Desk::new(at(0));
        desk.answer(&bytes, at(0), 0);
        desk.answer(&[&[1], &bytes[..]].concat(), at(0), 0);
    }

    /// A question that is nearly one comes further than rubbish does, and so does what is asked behind it.
    #[test]
    fn no_question_makes_a_desk_panic(
        spoils in proptest::collection::vec((any::<usize>(), harm(), proptest::option::of(any::<usize>())), 1..30),
        roll: u64,
    ) {
        let questions = questions();
        let (mut desk, mut now) = (Desk::new(at(0)), 0);
        for (which, harm, cut) in spoils {
            now += roll % 5_000_000;
            let question = questions[which % questions.len()].clone();
            let answer = desk.answer(&spoiled(question, &harm, cut), at(now), roll).answer;
            prop_assert!(Answer::read(&answer, at(now)).is_ok());
            desk.answer(&questions[(which / 7) % questions.len()], at(now), roll);
        }
        while !desk.changes(at(now)).is_empty() {}
    }

    #[test]
    fn no_storage_makes_a_desk_panic(
        spoils in proptest::collection::vec((any::<usize>(), harm(), proptest::option::of(any::<usize>())), 1..8),
    ) {
        let mut entries = written();
        let count = entries.len();
        for (which, harm, cut) in spoils {
            let value = &mut entries[which % count].1;
            if !value.is_empty() {
                *value = spoiled(std::mem::take(value), &harm, cut);
            }
        }
        let mut desk = Desk::restore(entries, at(0));
        for question in questions() {
            desk.answer(&question, at(1_000_000), 1);
        }
        while !desk.changes(at(2_000_000)).is_empty() {}
    }

    #[test]
    fn no_answer_makes_an_isolate_panic(
        harm in harm(),
        cut in proptest::option::of(any::<usize>()),
        rubbish in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let reservation = reservation(1, vec![caller("t"), (Scope::Route("*".into()), limits(9))]);
        let breakers = ["a".to_owned()];
        let repeat = Repeat { key: key(1), request: key(2) };
        let ask = Ask {
            tenant: "t",
            breakers: &breakers,
            reservation: Some(&reservation),
            repeat: Some(&repeat),
            ..Ask::default()
        };
        let own = Store::new(at(0), 0);
        for at_leg in 0..3 {
            let mut opening = Opening::new(ask, None, at(0));
            let mut answers: Vec<_> = opening.asked().iter().map(|asked| {
                Ok(Desk::new(at(0)).answer(&asked.question, at(0), 0).answer)
            }).collect();
            let object = opening.asked()[at_leg].object.clone();
            let answer = spoiled(answers[at_leg].clone().unwrap(), &harm, cut);
            answers[at_leg] = Ok(answer.clone());
            opening.hear(&answers, at(0));
            let _ = opening.join(&own, at(0));
            let _ = opening.abandon().belated(&object, &answer, at(0));
            let mut opening = Opening::new(ask, None, at(0));
            answers[at_leg] = Ok(rubbish.clone());
            opening.hear(&answers, at(0));
            let _ = opening.join(&own, at(0));
        }
        let kept = durable::keep(key(3), &entry(30), Duration::from_mins(1), UnixMillis(1));
        let window = Window {
            fresh: Duration::MAX, revalidate: Duration::MAX, if_error: Duration::MAX, ttl: Duration::MAX,
        };
        let recall = Recall { key: key(3), window, place: Place::Edge };
        let _ = durable::recall(&recall, &spoiled(kept, &harm, cut), UnixMillis(2));
        let _ = durable::recall(&recall, &rubbish, UnixMillis(2));
    }
}

#[test]
fn what_is_kept_is_given_to_who_asks_for_it_and_while_it_lives() {
    let second = Duration::from_secs;
    let kept = durable::keep(key(3), &entry(30), second(60), UnixMillis(1_000_000));
    let window = |fresh| Window { fresh, revalidate: second(20), if_error: second(90), ttl: second(5) };
    let recalled = |name, fresh, wall| {
        durable::recall(
            &Recall { key: key(name), window: window(fresh), place: Place::Edge },
            &kept,
            UnixMillis(wall),
        )
    };
    let found = recalled(3, second(10), 1_007_000).unwrap();
    assert_eq!((found.age, found.is_stale, found.refresh), (second(7), true, false));
    assert_eq!(found.entry, entry(30));
    assert_eq!(recalled(4, second(10), 1_007_000), None, "it is another's");
    assert_eq!(recalled(3, second(10), 1_060_000), None, "its life is over");
    assert!(recalled(3, second(10), 1_059_999).is_some());
    assert_eq!(recalled(3, second(10), 999_100).unwrap().age, Duration::ZERO, "no two clocks agree");
    assert_eq!(recalled(3, second(10), 900_000), None, "nobody knows how old it is");
}

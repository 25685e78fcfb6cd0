use std::pin::pin;
use std::task::{Context, Waker};

use http::{HeaderMap, StatusCode};

use super::*;
use crate::cache::fingerprint::Framed;

fn key(name: &str) -> Fingerprint {
    Framed::new("test").field("name", name.as_bytes()).finish()
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn flight(flights: &Flights, name: &str) -> (Pilot, Listener) {
    flights.begin(&[key(name)], Deserted::Cancel).ok().unwrap()
}

fn head() -> Head {
    Head { status: StatusCode::OK, headers: HeaderMap::new(), whole: None, explanation: None }
}

fn complete() -> End {
    End { ending: Ending::Complete, notice: None, entry: None }
}

fn hear(listener: &Listener) -> Option<(usize, bool)> {
    match listener.poll_next(&mut context()) {
        Poll::Pending => None,
        Poll::Ready(Heard::Bytes { bytes, end }) => Some((bytes.len(), end.is_some())),
        Poll::Ready(Heard::End(_)) => Some((0, true)),
    }
}

fn held(flights: &Flights) -> usize {
    flights.0.held.load(Ordering::Relaxed)
}

#[test]
fn whoever_comes_late_hears_it_from_the_beginning_and_the_end_comes_with_the_last_bytes() {
    let flights = Flights::default();
    let (pilot, first) = flight(&flights, "a");
    pilot.begin(head());
    pilot.give(b"one");
    assert_eq!((hear(&first), hear(&first)), (Some((3, false)), None));
    let late = flights.join(&[key("b"), key("a")]).unwrap();
    pilot.end(Some(b"last"), complete());
    assert_eq!((hear(&first), hear(&first)), (Some((4, true)), Some((0, true))));
    assert_eq!((hear(&late), hear(&late)), (Some((3, false)), Some((4, true))));
    assert!(flights.join(&[key("a")]).is_none() && flights.is_empty());
    drop((first, late));
    assert_eq!(held(&flights), 0);
}

#[test]
fn a_long_answer_is_held_for_the_slowest_who_listens_and_for_nobody_to_come() {
    let flights = Flights::default();
    let (pilot, slow) = flight(&flights, "a");
    let quick = flights.join(&[key("a")]).unwrap();
    let chunk = Bytes::from(vec![0; 64 << 10]);
    let mut given = 0;
    while pilot.poll_room(&mut context()).is_ready() {
        pilot.give(&chunk);
        given += chunk.len();
        assert!(hear(&quick).is_some());
        assert!(given <= 5 << 20, "nobody reads, and it goes on");
    }
    assert!(flights.join(&[key("a")]).is_none(), "its beginning will soon be gone");
    assert_eq!(held(&flights), given);
    while hear(&slow).is_some() {}
    assert_eq!(held(&flights), 0);
    assert!(pilot.poll_room(&mut context()).is_ready());
    pilot.give(&chunk);
    assert_eq!((hear(&slow), held(&flights)), (Some((64 << 10, false)), 64 << 10));
    drop(quick);
    assert_eq!(held(&flights), 0, "who leaves is not waited for");
}

#[test]
fn nobody_can_join_what_is_about_to_be_cancelled() {
    let flights = Flights::default();
    let (pilot, listener) = flight(&flights, "a");
    assert!(pilot.poll_deserted(&mut context()).is_pending());
    drop(listener);
    let last = flights.join(&[key("a")]).unwrap();
    assert!(pilot.poll_deserted(&mut context()).is_pending(), "somebody came in time");
    assert!(pilot.is_left_by_first());
    drop(last);
    assert!(pilot.poll_deserted(&mut context()).is_ready());
    assert!(flights.join(&[key("a")]).is_none());
    assert!(flights.begin(&[key("a")], Deserted::Cancel).is_ok(), "whoever comes asks for itself");
}

#[test]
fn a_call_that_is_never_made_is_an_error_for_all_who_wait() {
    let flights = Flights::default();
    let (pilot, listener) = flight(&flights, "a");
    drop(pilot);
    let head = pin!(listener.head());
    let Poll::Ready(Err(refusal)) = head.poll(&mut context()) else { panic!("it waits on") };
    assert_eq!(refusal, Refusal::Internal);
    assert!(flights.is_empty());
}

#[test]
fn an_older_call_does_not_take_a_newer_one_with_it() {
    let flights = Flights::default();
    let (older, listener) = flight(&flights, "a");
    drop(listener);
    assert!(older.poll_deserted(&mut context()).is_ready());
    let (newer, _listener) = flight(&flights, "a");
    drop(older);
    assert_eq!(flights.len(), 1);
    drop(newer);
}

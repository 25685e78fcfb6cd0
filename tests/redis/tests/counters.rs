//! What is counted in Redis, where something goes wrong with it.
#![cfg(test)]

use std::time::Duration;

use weir::ledger::usage::Tokens;
use weir::limits::account::Want;
use weir::store::protocol::{Ask, Held, Reservation};
use weir::store::redis::{Clock, Codec, Moment, Value};
use weir::telemetry::metrics::{Exposition, Family, Sink as _, Tally};
use weir::time::Instant;
use weir_redis_tests::{Connection, Server};

const HASH: &str = "weir:{default}:counters";

fn at(micros: u64) -> Moment {
    Moment { now: Instant::from_micros(1_790_000_000_000_000 + micros), nonce: 1 }
}

fn codec() -> Codec {
    Codec::new("default", Clock::Sender).counting()
}

fn call() -> Reservation {
    let lasts = Duration::from_secs(1);
    Reservation { want: Want { id: 7, tokens: Tokens(0), lasts }, scopes: Vec::new(), held: Held::InStore }
}

fn sums(connection: &mut Connection, codec: &Codec, moment: Moment) -> Exposition {
    let command = codec.sums(moment);
    let value = connection.run(&command).unwrap();
    codec.summed(&command, value).unwrap().answer
}

fn retried(upstream: &str) -> Tally {
    let mut tally = Tally::default();
    tally.count(Family::Retries, &[upstream], 2);
    tally
}

#[track_caller]
fn assert_line(exposition: &Exposition, line: &str) {
    let text = exposition.to_string();
    assert!(text.lines().any(|have| have == line), "{line}\n{text}");
}

/// An instance that is killed never says that it is over.
#[test]
fn who_never_closes_is_counted_until_his_reservation_expires() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let reservation = call();
    let command = codec.open(Ask { reservation: Some(&reservation), ..Ask::default() }, at(0));
    connection.run(&command).unwrap();
    for (micros, present) in [(0, 1), (999_999, 1), (1_000_000, 0)] {
        assert_line(&sums(&mut connection, &codec, at(micros)), &format!("weir_in_flight {present}"));
    }
}

#[test]
fn who_is_given_back_is_not_counted() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let reservation = call();
    let ask = Ask { reservation: Some(&reservation), ..Ask::default() };
    let command = codec.open(ask, at(0));
    let value = connection.run(&command).unwrap();
    let opened = codec.opened(ask, &command, at(0), value).unwrap().answer;
    connection.run(&codec.give_back(ask, &opened, at(1)).unwrap()).unwrap();
    assert_line(&sums(&mut connection, &codec, at(1)), "weir_in_flight 0");
}

/// A server that counts by itself pays nothing for it.
#[test]
fn who_does_not_ask_for_it_writes_nothing_down() {
    let server = Server::start();
    let mut connection = server.connect();
    let codec = Codec::new("default", Clock::Sender);
    let reservation = call();
    connection.run(&codec.open(Ask { reservation: Some(&reservation), ..Ask::default() }, at(0))).unwrap();
    let keys = connection.call(&["KEYS", "*"]).unwrap();
    let Value::Array(keys) = keys else { panic!("{keys:?}") };
    assert_eq!(keys, [Value::Bytes("weir:{default}:retries".into())]);
}

#[test]
fn what_is_no_field_is_skipped_and_counted() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    connection.run(&codec.tell(&retried("a"), at(0))).unwrap();
    for (field, value) in [("", "1"), ("zz\ta", "1"), ("rt\tb", "x"), ("rt\tc", "-1"), ("rq\ta", "1")] {
        connection.call(&["HSET", HASH, field, value]).unwrap();
    }
    let read = sums(&mut connection, &codec, at(0));
    assert_eq!(read.skipped(), 5);
    assert_line(&read, "weir_retries_total{upstream=\"a\"} 2");
}

/// What a call owes is settled whatever becomes of the numbers.
#[test]
fn a_number_that_cannot_grow_is_a_fault_and_the_rest_is_counted() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    connection.call(&["HSET", HASH, "rt\ta", &i64::MAX.to_string()]).unwrap();
    let mut tally = retried("a");
    tally.merge(retried("b"));
    let command = codec.tell(&tally, at(0));
    let value = connection.run(&command).unwrap();
    assert_eq!(codec.closed(&command, value).unwrap().faults, 1);
    let read = sums(&mut connection, &codec, at(0));
    assert_line(&read, &format!("weir_retries_total{{upstream=\"a\"}} {}", i64::MAX));
    assert_line(&read, "weir_retries_total{upstream=\"b\"} 2");
}

#[test]
fn numbers_are_kept_for_30_days_after_the_last() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let left = |connection: &mut Connection| match connection.call(&["PTTL", HASH]) {
        Ok(Value::Int(left)) => Duration::from_millis(u64::try_from(left).unwrap()),
        other => panic!("{other:?}"),
    };
    let days = |days: u64| Duration::from_hours(24 * days);
    connection.run(&codec.tell(&retried("a"), at(0))).unwrap();
    assert!(left(&mut connection) > days(29) && left(&mut connection) <= days(30));
    connection.call(&["PEXPIRE", HASH, "5000"]).unwrap();
    connection.run(&codec.tell(&retried("a"), at(0))).unwrap();
    assert!(left(&mut connection) > days(29));
}

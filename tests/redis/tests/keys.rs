//! What lies in Redis: how long, how much, and what is made of what nobody should have put there.
#![cfg(test)]

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant as Clocked};

use weir::cache::fingerprint::{Fingerprint, Framed, of_tenant};
use weir::cache::{Place, Window};
use weir::ledger::usage::Tokens;
use weir::limits::Limits;
use weir::limits::account::{Scope, Want};
use weir::limits::rate::Rate;
use weir::routing::breaker::Gate;
use weir::store::lease::{Lease, Leased, Renewed};
use weir::store::protocol::{Ask, Held, Recall, Repeat, Repeated, Reservation};
use weir::store::redis::{Clock, Codec, Moment, Value};
use weir::time::Instant;
use weir_redis_tests::{Connection, Fault, Server};

const NOW: Moment = Moment { now: Instant::from_micros(5_000_000), nonce: 1 };

fn codec() -> Codec {
    Codec::new("default", Clock::Server)
}

fn from(address: u32) -> Reservation {
    let requests = vec![Rate { count: 1, per: Duration::from_secs(1) }];
    Reservation {
        want: Want { id: address.into(), tokens: Tokens(0), lasts: Duration::from_secs(1) },
        scopes: vec![(
            Scope::Address(Ipv4Addr::from_bits(address).into()),
            Limits { requests, concurrent: Some(1), ..Limits::default() },
        )],
        held: Held::InStore,
    }
}

fn key() -> Fingerprint {
    Framed::new("test").field("a", b"b").finish()
}

fn count(connection: &mut Connection) -> i64 {
    match connection.call(&["DBSIZE"]) {
        Ok(Value::Int(count)) => count,
        other => panic!("{other:?}"),
    }
}

fn memory(connection: &mut Connection) -> u64 {
    let Ok(Value::Bytes(info)) = connection.call(&["INFO", "memory"]) else { panic!("no INFO") };
    let info = String::from_utf8_lossy(&info).into_owned();
    info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().parse().unwrap()
}

/// By the server's own clock: what runs off within a second is gone two seconds later. `WEIR_CALLERS=500000`
/// is half a million of them.
#[test]
fn callers_who_go_away_leave_nothing_behind() {
    /// Commands that are sent ahead.
    const AHEAD: u32 = 1000;
    let callers = std::env::var("WEIR_CALLERS").map_or(50_000, |callers| callers.parse().unwrap());
    let server = Server::start();
    let mut connection = server.connect();
    let (empty, codec) = (memory(&mut connection), codec());
    let mut most = 0;
    for first in (0..callers).step_by(AHEAD as usize) {
        for address in first..first + AHEAD {
            let reservation = from(address);
            let command = codec.open(Ask { reservation: Some(&reservation), ..Ask::default() }, NOW);
            if address == 0 {
                connection.run(&command).unwrap();
            }
            connection.send_script("EVALSHA", command.script.sha1, &command);
        }
        for _ in 0..AHEAD {
            connection.receive().unwrap();
        }
        if first % 10_000 == 0 {
            most = memory(&mut connection).max(most);
        }
    }
    let deadline = Clocked::now() + Duration::from_secs(20);
    // The budget of retries stays for an hour.
    while count(&mut connection) > 1 {
        assert!(Clocked::now() < deadline, "{} keys are left", count(&mut connection));
        thread::sleep(Duration::from_millis(50));
    }
    let grown = (most - empty) >> 20;
    // Two keys of some 150 bytes each for a caller, those of two or three seconds at a time.
    assert!(grown < 60, "{grown} MiB");
}

/// A value that says it belongs to another key is a miss, and is told.
#[test]
fn a_value_of_another_key_is_not_believed() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let second = Duration::from_secs(1);
    let recall = Recall {
        key: key(),
        window: Window { fresh: second, revalidate: second, if_error: second, ttl: second },
        place: Place::Edge,
    };
    let repeat = Repeat { key: key(), request: key() };
    let breakers = ["a".to_owned()];
    let (reservation, lease) = (
        Reservation { scopes: Vec::new(), ..from(1) },
        Lease { tenant: of_tenant("t"), key: key(), form: None, span: second },
    );
    let ask = Ask {
        recall: Some(&recall),
        repeat: Some(&repeat),
        breakers: &breakers,
        reservation: Some(&reservation),
        lease: Some(&lease),
        ..Ask::default()
    };
    let command = codec.open(ask, NOW);
    for at in command.keys.iter() {
        let at = std::str::from_utf8(at).unwrap();
        if at.contains(":answer:") {
            connection.call(&["SET", at, &"another".repeat(20)]).unwrap();
        } else if !at.ends_with("control") && !at.ends_with("retries") {
            connection.call(&["HSET", at, "key", "another", "name", "another", "until", "9"]).unwrap();
        }
    }
    let value = connection.run(&command).unwrap();
    let told = codec.opened(ask, &command, NOW, value).unwrap();
    assert_eq!(told.faults, 4);
    assert_eq!(told.answer.recalled, None);
    assert_eq!(told.answer.repeated, Some(Repeated::First));
    assert_eq!(told.answer.leased, Some(Leased::Own));
    assert_eq!(told.answer.gates, [Gate::Closed]);
    let renewed = codec.renew(&lease, reservation.want.id, None, NOW);
    let value = connection.run(&renewed).unwrap();
    let told = codec.renewed(&renewed, value).unwrap();
    assert_eq!(told.answer, Renewed::Unheard, "the foreign value has made way");
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_and_leaves_nothing_half_done() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let (reservation, lease) =
        (from(1), Lease { tenant: of_tenant("t"), key: key(), form: None, span: Duration::from_secs(1) });
    let breakers = ["a".to_owned()];
    let ask =
        Ask { reservation: Some(&reservation), lease: Some(&lease), breakers: &breakers, ..Ask::default() };
    let command = codec.open(ask, NOW);
    let keys: Vec<_> = command.keys.iter().map(|key| std::str::from_utf8(key).unwrap()).collect();
    for spoiled in keys.iter().filter(|key| !key.ends_with("retries")) {
        connection.call(&["SET", spoiled, "x"]).unwrap();
        let Err(Fault(why)) = connection.run(&command) else { panic!("{spoiled} is taken") };
        assert!(why.contains("WRONGTYPE"), "{why}");
        assert_eq!(count(&mut connection), 1, "{spoiled}");
        connection.call(&["DEL", spoiled]).unwrap();
    }
    connection.run(&command).unwrap();
}

/// Whoever has left before it heard that it leads leads nobody.
#[test]
fn a_lease_that_nobody_took_is_the_next_ones() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let lease = Lease { tenant: of_tenant("t"), key: key(), form: None, span: Duration::from_secs(3) };
    let unlimited = |id: u32| Reservation { scopes: Vec::new(), ..from(id) };
    let (first, second) = (unlimited(1), unlimited(2));
    let ask = |reservation| Ask { reservation: Some(reservation), lease: Some(&lease), ..Ask::default() };
    let mut open = |ask: Ask<'_>| {
        let command = codec.open(ask, NOW);
        let value = connection.run(&command).unwrap();
        codec.opened(ask, &command, NOW, value).unwrap().answer
    };
    let opened = open(ask(&first));
    assert_eq!(opened.leased, Some(Leased::Own));
    let waiting = open(ask(&second));
    assert_eq!(waiting.leased, Some(Leased::Elsewhere { id: 1, is_audible: false }));
    assert!(codec.give_back(ask(&second), &waiting, NOW).is_none(), "it holds nothing");
    let command = codec.give_back(ask(&first), &opened, NOW).unwrap();
    server.connect().run(&command).unwrap();
    let again = open(Ask { awaited: Some(1), ..ask(&second) });
    assert_eq!(again.leased, Some(Leased::Own));
}

/// Two who do not know each other's clocks agree, for the server's counts.
#[test]
fn replicas_with_clocks_of_their_own_agree() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let later = Moment { now: Instant::from_micros(9_000_000_000), nonce: 2 };
    let mut reservation = from(1);
    reservation.scopes[0].1.requests[0].per = Duration::from_hours(1);
    let mut denied = |moment: Moment| {
        let ask = Ask { reservation: Some(&reservation), ..Ask::default() };
        let command = codec.open(ask, moment);
        let value = connection.run(&command).unwrap();
        codec.opened(ask, &command, moment, value).unwrap().answer.denied.is_some()
    };
    assert_eq!([NOW, later, NOW].map(&mut denied), [false, true, true]);
}

#[test]
fn a_script_that_redis_has_forgotten_is_sent_again() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), codec());
    let command = codec.withdraw_retry("a", NOW);
    for _ in 0..2 {
        connection.run(&command).unwrap();
        connection.call(&["SCRIPT", "FLUSH"]).unwrap();
    }
}

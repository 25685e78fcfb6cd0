//! Long answers travel by themselves.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use weir::cache::fingerprint::{Fingerprint, Framed};
use weir::cache::{Entry, Place, Window};
use weir::dialect::endpoint::{Form, Operation};
use weir::ledger::usage::Tokens;
use weir::limits::account::Want;
use weir::store::protocol::{Ask, Closing, Held, Keeping, Opened, Recall, Repeat, Repeated, Reservation};
use weir::store::redis::{Clock, Codec, Moment};
use weir::time::Instant;
use weir_redis_tests::{Connection, Server, record};

const NOW: Moment = Moment { now: Instant::from_micros(1_790_000_000_000_000), nonce: 7 };
const LIFE: Duration = Duration::from_mins(5);

fn key(name: &str) -> Fingerprint {
    Framed::new("test").field("name", name.as_bytes()).finish()
}

fn entry(size: usize) -> Arc<Entry> {
    Arc::new(Entry {
        operation: Operation::Chat,
        form: Form::Whole,
        content_type: "application/json".into(),
        model: "m".into(),
        body: (0..size).map(|at| at.to_le_bytes()[0]).collect::<Vec<_>>().into(),
    })
}

fn reservation() -> Reservation {
    let want = Want { id: 3, tokens: Tokens(0), lasts: Duration::from_mins(1) };
    Reservation { want, scopes: Vec::new(), held: Held::InStore }
}

/// What was opened, with how many commands, and how many values were none.
fn open(
    connection: &mut Connection,
    codec: &Codec,
    ask: Ask<'_>,
    between: impl FnOnce(&mut Connection),
) -> (Opened, usize, u64) {
    let command = codec.open(ask, NOW);
    assert!(!command.travels_alone());
    let mut value = connection.run(&command).unwrap();
    assert!(format!("{value:?}").len() < 400_000, "it is not in the reply");
    let mut commands = 1;
    if let Some(rest) = codec.rest(&command, &value, NOW) {
        assert!(rest.travels_alone());
        between(connection);
        let found = connection.run(&rest).unwrap();
        value = codec.whole(value, &rest, found).unwrap();
        commands += 1;
    }
    let told = codec.opened(ask, &command, NOW, value).unwrap();
    (told.answer, commands, told.faults)
}

#[test]
fn a_long_answer_travels_by_itself_and_is_what_was_kept() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), Codec::new("default", Clock::Sender));
    let window = Window { fresh: LIFE, revalidate: LIFE, if_error: LIFE, ttl: LIFE };
    for (size, commands) in [(10, 1), (60_000, 1), (70_000, 2), (3 << 20, 2)] {
        let name = key(&size.to_string());
        let (recall, repeat) =
            (Recall { key: name, window, place: Place::Edge }, Repeat { key: name, request: name });
        let (reservation, entry) = (reservation(), entry(size));
        let first = Ask { repeat: Some(&repeat), reservation: Some(&reservation), ..Ask::default() };
        open(&mut connection, &codec, first, |_| {});
        let closing = Closing {
            record: record(),
            reservation: reservation.clone(),
            used: Tokens(0),
            findings: Vec::new(),
            abandoned: Vec::new(),
            keeping: Keeping {
                entry: Some(Arc::clone(&entry)),
                cache: Some((name, LIFE)),
                repeat: Some((repeat, LIFE)),
                ..Keeping::default()
            },
        };
        let command = codec.close(&closing, 0, NOW).unwrap();
        assert_eq!(command.travels_alone(), size > 65_000);
        let value = connection.run(&command).unwrap();
        assert_eq!(codec.closed(&command, value).unwrap().answer, []);
        // The short way, the long one, and an idempotency key; both at once travel together.
        let cached = Ask { recall: Some(&recall), ..Ask::default() };
        let hit = Ask { reservation: Some(&reservation), ..cached };
        let repeated = Ask { repeat: Some(&repeat), ..Ask::default() };
        let both = Ask { repeat: Some(&repeat), ..cached };
        for ask in [cached, hit, repeated, both] {
            let (opened, took, faults) = open(&mut connection, &codec, ask, |_| {});
            assert_eq!((took, faults), (commands, 0), "{size}");
            let found = opened.recalled.map(|recalled| recalled.entry);
            assert_eq!(found, ask.recall.map(|_| Arc::clone(&entry)), "{size}");
            let kept =
                ask.repeat.map(|_| Repeated::Answered { entry: Arc::clone(&entry), age: Duration::ZERO });
            assert_eq!(opened.repeated, kept, "{size}");
        }
        if commands == 2 {
            let gone = |connection: &mut Connection| {
                connection.call(&["FLUSHALL"]).unwrap();
            };
            let (opened, _, faults) = open(&mut connection, &codec, cached, gone);
            assert_eq!((opened.recalled, faults), (None, 1), "what is gone meanwhile is not there");
        }
    }
}

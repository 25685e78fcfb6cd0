//! What answers may take of a Redis: nobody's flood takes another's.
#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir::cache::fingerprint::{Fingerprint, Framed};
use weir::cache::{Entry, Place, Window};
use weir::dialect::endpoint::{Form, Operation};
use weir::identity::caller::Caller;
use weir::ledger::usage::Tokens;
use weir::limits::Limits;
use weir::limits::account::Want;
use weir::random::{STEP, scramble};
use weir::store::protocol::{Ask, Closing, Held, Keeping, Recall, Repeat, Repeated, Reservation};
use weir::store::redis::{Clock, Codec, Moment, NotKept, Value};
use weir::time::Instant;
use weir_redis_tests::{Connection, Server, record};

const START: Instant = Instant::from_micros(1_790_000_000_000_000);
const LIFE: Duration = Duration::from_mins(5);

/// What is kept: a cached answer, or one to an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cached,
    Repeated,
}

struct Gateway {
    connection: Connection,
    codec: Codec,
    now: Instant,
    next: u64,
}

impl Gateway {
    fn of(server: &Server, cache: u64) -> Self {
        let codec = Codec::new("default", Clock::Sender).bounded(cache);
        Self { connection: server.connect(), codec, now: START, next: 0 }
    }

    fn moment(&mut self) -> Moment {
        self.next += 1;
        Moment { now: self.now, nonce: self.next }
    }

    fn reservation(&mut self) -> Reservation {
        self.next += 1;
        let want = Want { id: self.next, tokens: Tokens(0), lasts: Duration::from_mins(1) };
        Reservation { want, scopes: Vec::new(), held: Held::InStore }
    }

    /// A call of a tenant from its beginning to its end; why its answer was not kept.
    fn keep(&mut self, kind: Kind, tenant: &str, name: Fingerprint, size: usize) -> Vec<NotKept> {
        self.keep_for(LIFE, kind, tenant, name, size)
    }

    fn keep_for(
        &mut self,
        life: Duration,
        kind: Kind,
        tenant: &str,
        name: Fingerprint,
        size: usize,
    ) -> Vec<NotKept> {
        let reservation = self.reservation();
        let mut keeping = Keeping { entry: Some(entry(size)), ..Keeping::default() };
        match kind {
            Kind::Cached => keeping.cache = Some((name, life)),
            Kind::Repeated => {
                let repeat = Repeat { key: name, request: name };
                self.open(Ask { repeat: Some(&repeat), reservation: Some(&reservation), ..Ask::default() });
                keeping.repeat = Some((repeat, life));
            }
        }
        let mut record = record();
        record.caller = Arc::new(Caller { tenant: tenant.to_owned(), ..Caller::anyone(Limits::default()) });
        let closing = Closing {
            record,
            reservation,
            used: Tokens(0),
            findings: Vec::new(),
            abandoned: Vec::new(),
            keeping,
        };
        let moment = self.moment();
        let command = self.codec.close(&closing, 0, moment).unwrap();
        let value = self.connection.run(&command).unwrap();
        self.codec.closed(&command, value).unwrap().answer
    }

    fn open(&mut self, ask: Ask<'_>) -> weir::store::protocol::Opened {
        let moment = self.moment();
        let command = self.codec.open(ask, moment);
        let mut value = self.connection.run(&command).unwrap();
        if let Some(rest) = self.codec.rest(&command, &value, moment) {
            let found = self.connection.run(&rest).unwrap();
            value = self.codec.whole(value, &rest, found).unwrap();
        }
        self.codec.opened(ask, &command, moment, value).unwrap().answer
    }

    fn has(&mut self, kind: Kind, name: Fingerprint) -> bool {
        match kind {
            Kind::Cached => {
                let window = Window { fresh: LIFE, revalidate: LIFE, if_error: LIFE, ttl: LIFE };
                let recall = Recall { key: name, window, place: Place::Edge };
                self.open(Ask { recall: Some(&recall), ..Ask::default() }).recalled.is_some()
            }
            Kind::Repeated => {
                let repeat = Repeat { key: name, request: name };
                let opened = self.open(Ask { repeat: Some(&repeat), ..Ask::default() });
                matches!(opened.repeated, Some(Repeated::Answered { .. }))
            }
        }
    }

    fn count(&mut self, kind: Kind, tenant: &str, names: std::ops::Range<u64>) -> usize {
        names.filter(|number| self.has(kind, name(tenant, *number))).count()
    }

    fn strings(&mut self, words: &[&str]) -> Vec<String> {
        let Ok(Value::Array(found)) = self.connection.call(words) else { panic!("{words:?}") };
        let text = |value| match value {
            Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        found.into_iter().map(text).collect()
    }

    /// A sorted set of whole numbers.
    fn set(&mut self, key: &str) -> BTreeMap<String, u64> {
        let found = self.strings(&["ZRANGE", key, "0", "-1", "WITHSCORES"]);
        found.chunks(2).map(|pair| (pair[0].clone(), pair[1].parse().unwrap())).collect()
    }

    /// What is counted is what is in the lines. Gives the sum.
    fn check_books(&mut self, pool: &str) -> u64 {
        let prefix = format!("weir:{{default}}:{pool}");
        let mut owners = self.set(&prefix);
        let total = owners.remove("total").unwrap_or_default();
        assert_eq!(total, owners.values().sum::<u64>(), "{owners:?}");
        for (owner, bytes) in owners {
            let line = self.set(&format!("{prefix}:{owner}"));
            let weights = line.keys().map(|member| member[65..].parse::<u64>().unwrap());
            assert_eq!(weights.sum::<u64>(), bytes);
        }
        total
    }

    fn memory(&mut self) -> u64 {
        let Ok(Value::Bytes(info)) = self.connection.call(&["INFO", "memory"]) else { panic!("no INFO") };
        let info = String::from_utf8_lossy(&info).into_owned();
        info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().parse().unwrap()
    }
}

fn name(tenant: &str, number: u64) -> Fingerprint {
    Framed::new("test").field("t", tenant.as_bytes()).field("n", &number.to_be_bytes()).finish()
}

fn entry(size: usize) -> Arc<Entry> {
    Arc::new(Entry {
        operation: Operation::Chat,
        form: Form::Whole,
        content_type: "application/json".into(),
        model: "m".into(),
        body: vec![b'x'; size].into(),
    })
}

/// Issue 14, item 2: fresh keys with large answers, within all limits.
#[test]
fn a_tenant_that_floods_pushes_out_its_own() {
    let server = Server::start();
    for (kind, size, floods) in [(Kind::Cached, 20_000, 1000), (Kind::Repeated, 1 << 20, 150)] {
        let mut gateway = Gateway::of(&server, 4 << 20);
        for number in 0..20 {
            assert_eq!(gateway.keep(kind, "quiet", name("quiet", number), 10_000), []);
        }
        for number in 0..floods {
            gateway.now = gateway.now.after(Duration::from_micros(1));
            assert_eq!(gateway.keep(kind, "flood", name("flood", number), size), [], "{number}");
        }
        assert_eq!(gateway.count(kind, "quiet", 0..20), 20, "{kind:?}");
        let kept = gateway.count(kind, "flood", 0..floods);
        assert!((50..210).contains(&kept), "{kept}: it has what the other leaves");
        assert_eq!(
            gateway.count(kind, "flood", 0..floods.saturating_sub(210)),
            0,
            "and its first went first"
        );
        let memory = gateway.memory() >> 20;
        // Redis takes up to a quarter more for a string than it has bytes.
        assert!(memory < 90, "{memory} MiB");
    }
    let mut gateway = Gateway::of(&server, 4 << 20);
    assert!(gateway.check_books("cached") <= 4 << 20);
    assert!(gateway.check_books("repeats") <= 64 << 20);
}

#[test]
fn one_that_is_larger_than_its_share_is_not_kept_and_takes_no_other_with_it() {
    let server = Server::start();
    let mut gateway = Gateway::of(&server, 200_000);
    for owner in 0..40 {
        let owner = owner.to_string();
        assert_eq!(gateway.keep(Kind::Cached, &owner, name(&owner, 0), 2000), []);
    }
    for size in [190_000, 300_000] {
        assert_eq!(gateway.keep(Kind::Cached, "large", name("large", 0), size), [NotKept::Room]);
    }
    assert!(!gateway.has(Kind::Cached, name("large", 0)));
    for owner in 0..40 {
        assert!(gateway.has(Kind::Cached, name(&owner.to_string(), 0)), "{owner}");
    }
    // A call whose answer is not kept leaves its key free.
    let key = name("large", 1);
    assert_eq!(gateway.keep(Kind::Repeated, "large", key, 65 << 20), [NotKept::Room]);
    let repeat = Repeat { key, request: name("large", 2) };
    let opened = gateway.open(Ask { repeat: Some(&repeat), ..Ask::default() });
    assert_eq!(opened.repeated, Some(Repeated::First));
    gateway.check_books("cached");
}

#[test]
fn answers_leave_most_of_a_small_redis_to_accounts() {
    let server = Server::with(&["--maxmemory", "32mb"]);
    let mut gateway = Gateway::of(&server, 1 << 30);
    for number in 0..300 {
        for kind in [Kind::Cached, Kind::Repeated] {
            assert_eq!(gateway.keep(kind, "flood", name("flood", number), 200_000), [], "{number}");
        }
    }
    let memory = gateway.memory() >> 20;
    assert!((12..24).contains(&memory), "{memory} MiB");
    // Somebody else's.
    for number in 0..8 {
        gateway.connection.call(&["SET", &format!("theirs-{number}"), &"x".repeat(1 << 20)]).unwrap();
    }
    assert_eq!(gateway.keep(Kind::Cached, "t", name("t", 0), 10), [NotKept::Memory]);
    assert_eq!(gateway.keep(Kind::Repeated, "t", name("t", 1), 10), [NotKept::Memory]);
    for number in 0..8 {
        gateway.connection.call(&["DEL", &format!("theirs-{number}")]).unwrap();
    }
    assert_eq!(gateway.keep(Kind::Cached, "t", name("t", 0), 10), []);
}

#[test]
fn what_has_ended_takes_no_room() {
    let server = Server::start();
    let mut gateway = Gateway::of(&server, 1 << 20);
    for tenant in ["gone", "here"] {
        for number in 0..100 {
            assert_eq!(gateway.keep(Kind::Cached, tenant, name(tenant, number), 4000), []);
        }
    }
    assert!(gateway.check_books("cached") > 800_000);
    gateway.now = gateway.now.after(LIFE);
    // Chance finds a tenant that writes nothing more.
    for number in 0..200 {
        gateway.keep_for(Duration::from_micros(1), Kind::Cached, "here", name("here", number), 10);
        gateway.now = gateway.now.after(Duration::from_micros(1));
    }
    assert!(gateway.check_books("cached") < 1000);
}

/// Where several tenants share what is kept.
#[test]
fn an_answer_that_another_tenant_kept_anew_stays_when_the_first_makes_room() {
    let server = Server::start();
    let mut gateway = Gateway::of(&server, 100_000);
    let shared = name("shared", 0);
    gateway.keep(Kind::Cached, "a", shared, 1000);
    gateway.now = gateway.now.after(Duration::from_secs(1));
    gateway.keep(Kind::Cached, "b", shared, 1000);
    for number in 0..200 {
        gateway.now = gateway.now.after(Duration::from_millis(1));
        gateway.keep(Kind::Cached, "a", name("a", number), 2000);
    }
    assert!(gateway.has(Kind::Cached, shared));
    gateway.check_books("cached");
}

/// By chance: what is counted is what is kept, and never more than the bound.
#[test]
fn the_books_of_what_is_kept_balance() {
    let server = Server::start();
    let mut gateway = Gateway::of(&server, 60_000);
    let mut state = 7_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_add(STEP);
        scramble(state) % bound
    };
    for step in 0..2000 {
        let tenant = below(4).to_string();
        let key = if below(5) == 0 { name("all", below(5)) } else { name(&tenant, below(20)) };
        let life = Duration::from_millis(1 + below(2000));
        let size = usize::try_from(below(12_000)).unwrap();
        gateway.keep_for(life, Kind::Cached, &tenant, key, size);
        gateway.now = gateway.now.after(Duration::from_micros(below(100_000)));
        if step % 10 == 0 {
            let total = gateway.check_books("cached");
            assert!(total <= 60_000, "{total}");
        }
    }
    for key in gateway.strings(&["KEYS", "*"]) {
        let left = gateway.connection.call(&["PTTL", &key]);
        assert!(matches!(left, Ok(Value::Int(1..))), "{key} has no end: {left:?}");
    }
}

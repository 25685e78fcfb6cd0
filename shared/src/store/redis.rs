//! State in Redis: the steps of [`crate::store::embedded`] as scripts, and what is said to them and by them.
//!
//! Whatever is asked of the store is one command: a script, its keys, its arguments. Each operation is
//! atomic, for Redis runs one script at a time. The scripts lie beside this file and mirror the steps in
//! Rust; the tests in `tests/redis` apply random operations to both and want equal answers. There is no
//! connection in here: a shell sends a [`Command`] and hands the reply back as a [`Value`].
//!
//! - Keys are `weir:{<namespace>}:<kind>:<SHA-256>`. What a client or an upstream chose is hashed, so nothing
//!   can be injected into one. The braces make all keys of a namespace share a slot of a Redis Cluster: what
//!   one request needs is on one node, and so is the whole gateway.
//! - Every key expires once it has lost its meaning.
//! - Answers have a bound in bytes, and whoever keeps the most makes room (keep.lua). Accounts never make room.
//! - Time is the server's, so replicas agree; replies carry durations, never points in time.
//! - A reply is one list of words, none of them a list: not every shell's client tells where one would end.
//! - Values name their key, and a reply names its command: what does not match is not believed.

mod backlog;
mod breakers;
mod cause;
mod close;
mod counters;
mod entry;
mod hold;
mod keys;
mod lease;
mod open;
mod owners;
mod packed;
mod reply;
mod rest;
mod script;
#[cfg(test)]
mod tests;
mod trial;
mod words;

pub use self::backlog::{Backlog, Untold, Waiting};
pub use self::cause::Cause;
use self::counters::Present;
use self::keys::{Key, Keys};
use self::packed::{Packed, Word};
use self::reply::Reader;
pub use self::script::Script;
pub use self::trial::{Forbidden, acl};
pub use self::words::Words;
use crate::cache::Entry;
use crate::config;
use crate::limits::account;
use crate::time::Instant;

/// Most commands have no more keys, of no more bytes.
const KEYS: (usize, usize) = (8, 640);

/// What a shell sends: `EVALSHA <sha1> <number of keys> <keys> <arguments>`, or `EVAL <source> …` where Redis
/// answers that it does not know the script (`NOSCRIPT`).
#[derive(Clone, Debug)]
pub struct Command {
    pub script: &'static Script,
    pub keys: Words,
    said: Packed,
    /// What is long, and goes as it is.
    bytes: Words,
    nonce: u64,
    /// Where it says whether it may have been told before.
    told: Option<usize>,
}

/// What Redis replies, as far as scripts do. An error is the shell's to handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nil,
    Int(i64),
    Bytes(bytes::Bytes),
    Array(Vec<Self>),
}

/// A reply that is not one to the command: nothing that comes over its connection can be believed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

/// Why an answer was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// It is larger than its tenant's share.
    Room,
    /// Redis has used so much of its `maxmemory` that the rest is for accounts.
    Memory,
}

impl NotKept {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Memory => "memory",
        }
    }
}

/// Bytes of answers that a namespace keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    cache: u64,
    repeats: u64,
}

impl Room {
    /// What was answered to idempotency keys has as much as the cache, and this at least.
    const LEAST_REPEATS: u64 = 64 << 20;

    fn of(cache: u64) -> Self {
        Self { cache, repeats: cache.max(Self::LEAST_REPEATS) }
    }
}

/// What a reply says.
#[derive(Clone, Debug)]
pub struct Told<T> {
    pub answer: T,
    /// Values that were not what their key says, and were taken for missing.
    pub faults: u64,
}

/// Whose time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The server's.
    Server,
    /// The sender's: for tests in virtual time.
    Sender,
}

/// When a command is sent or its reply read, and a name for it, 64 random bits.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    pub nonce: u64,
}

/// Turns what is asked of the store into commands, and replies into answers.
#[derive(Clone, Debug)]
pub struct Codec {
    keys: Keys,
    clock: Clock,
    present: Present,
    room: Room,
}

impl Codec {
    /// For the gateway of this name: `[a-z0-9]` then up to 63 of `[a-z0-9._-]`, as the configuration has it.
    pub fn new(namespace: &str, clock: Clock) -> Self {
        let room = Room::of(config::Store::default().cache);
        Self { keys: Keys::new(namespace), clock, present: Present::Unknown, room }
    }

    /// Keeps so many bytes of cached answers at most, and as many of those to idempotency keys (64 MiB at least).
    #[must_use]
    pub fn bounded(self, cache: u64) -> Self {
        Self { room: Room::of(cache), ..self }
    }

    /// Writes something that means nothing and is gone in a second: whether the store can be written to.
    pub fn probe_key(&self) -> String {
        let mut key = Vec::new();
        self.keys.alone("alive").write(&mut key);
        // Its parts are text.
        String::from_utf8(key).unwrap_or_default()
    }

    fn command(&self, script: &'static Script, moment: Moment) -> Command {
        let mut said = Packed::default();
        said.push(Word::Id(moment.nonce));
        match self.clock {
            Clock::Server => said.push(Word::Text("")),
            Clock::Sender => said.push(Word::Count(moment.now.as_micros())),
        }
        let keys = Words::with_capacity(KEYS.0, KEYS.1);
        Command { script, keys, said, bytes: Words::default(), nonce: moment.nonce, told: None }
    }
}

impl Command {
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.said.as_bytes()).chain(self.bytes.iter())
    }

    /// It was sent, and nobody knows whether it was done. The end of a call is counted once all the same.
    pub fn may_have_been_told(&mut self) {
        if let Some(at) = self.told {
            self.said.say_one(at);
        }
    }

    /// Bytes that it takes, more or less.
    pub fn weight(&self) -> usize {
        self.said.len() + self.keys.weight() + self.bytes.weight()
    }

    fn say_told(&mut self, told: account::Told) {
        self.told = Some(self.said.len());
        self.number(match told {
            account::Told::First => 0,
            account::Told::Again => 1,
        });
    }

    fn key(&mut self, key: Key<'_>) {
        self.keys.push_with(|bytes| key.write(bytes));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.push(bytes);
    }

    fn entry(&mut self, entry: &Entry) {
        self.bytes.push_with(|bytes| entry::write(entry, bytes));
    }

    fn say(&mut self, word: Word<'_>) {
        self.said.push(word);
    }

    fn text(&mut self, text: &str) {
        self.say(Word::Text(text));
    }

    fn number(&mut self, number: u64) {
        self.say(Word::Count(number));
    }

    fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    /// Begins a part that may be missing.
    fn part<'a, T>(&mut self, part: Option<&'a T>) -> Option<&'a T> {
        self.number(part.is_some().into());
        part
    }

    /// The reply, if it is one to this command.
    fn reader(&self, value: Value) -> Result<Reader, Garbled> {
        Reader::new(value, self.nonce)
    }
}

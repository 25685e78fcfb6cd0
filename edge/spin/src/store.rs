//! State that all instances share: a Redis, over one connection that is opened when it is first needed.
//!
//! The runtime's calls block the instance, so nothing else goes on while the store is asked, and nobody can leave
//! meanwhile. They have no bound but the runtime's own: `[store] timeout` is not in force here.

use std::cell::RefCell;

use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};
use weir::config;
use weir::routing::breaker::control::{Entry, Listing, Order};
use weir::store::lease::{Lease, Overheard, Piece, Renewed};
use weir::store::protocol::{Ask, Closing, Finding, Holding, Opened, Ownership, StoreLost, Unheeded};
use weir::store::redis::{Backlog, Cause, Clock, Codec, Command, Garbled, Moment, NotKept, Told, Value};
use weir::telemetry::metrics::{Exposition, Tally};

use crate::address::address;
use crate::log;

/// One request's way to a Redis.
pub(crate) struct Store {
    codec: Codec,
    address: String,
    line: RefCell<Line>,
    /// Why the last question has failed.
    why: RefCell<Option<String>>,
    /// What could not be told in time.
    late: RefCell<Backlog>,
}

enum Line {
    /// Nobody has asked yet, or what there was has broken since.
    Closed,
    Open(Connection),
    /// It could not be opened. It is not tried again: the next request does that.
    Lost,
}

impl Store {
    /// Keeps at most `cache` bytes of cached answers.
    pub(crate) fn new(place: &config::Redis, cache: u64) -> Self {
        let codec = Codec::new(&place.namespace, Clock::Server).counting().bounded(cache);
        let (line, why, late) = (RefCell::new(Line::Closed), RefCell::default(), RefCell::default());
        Self { codec, address: address(place), line, why, late }
    }

    pub(crate) fn open(&self, ask: Ask<'_>, now: impl Fn() -> Moment) -> Result<Opened, StoreLost> {
        let command = self.codec.open(ask, now());
        let opened = self.open_whole(ask, &command, &now);
        if opened.is_err()
            && self.was_sent()
            && let Some(command) = self.codec.take_back(ask, now())
        {
            self.push(command);
        }
        opened
    }

    fn open_whole(
        &self,
        ask: Ask<'_>,
        command: &Command,
        now: &impl Fn() -> Moment,
    ) -> Result<Opened, StoreLost> {
        let value = self.run(command, |value| Ok(Told { answer: value, faults: 0 }))?;
        let value = match self.codec.rest(command, &value, now()) {
            Some(rest) => self.run(&rest, |found| {
                self.codec.whole(value, &rest, found).map(|answer| Told { answer, faults: 0 })
            })?,
            None => value,
        };
        self.read(|| self.codec.opened(ask, command, now(), value))
    }

    fn read<T>(&self, read: impl FnOnce() -> Result<Told<T>, Garbled>) -> Result<T, StoreLost> {
        read().map(|told| told.answer).map_err(|Garbled| {
            self.lose("the reply was not one to the command");
            self.line.replace(Line::Closed);
            StoreLost
        })
    }

    /// With it goes what the request has counted. Gives answers that were not kept. Should the store not hear so now, it
    /// is told by [`Self::tell_late`].
    pub(crate) fn close(&self, closing: &Closing, tally: &Tally, roll: u64, moment: Moment) -> Vec<NotKept> {
        let mut command = self.codec.close_with(closing, tally, roll, moment);
        self.run(&command, |value| self.codec.closed(&command, value)).unwrap_or_else(|StoreLost| {
            if self.was_sent() {
                command.may_have_been_told();
            }
            self.push(command);
            Vec::new()
        })
    }

    /// Tells what could not be told, over a new connection. Whether there is nothing left.
    pub(crate) fn tell_late(&self) -> bool {
        let mut left = self.late.borrow().len();
        while left > 0 {
            left = left.saturating_sub(1);
            let Some(waiting) = self.late.borrow_mut().pop() else { break };
            if matches!(*self.line.borrow(), Line::Lost) {
                *self.line.borrow_mut() = Line::Closed;
            }
            let read = |value| self.codec.closed(&waiting.command, value);
            if self.run(&waiting.command, read).is_err() {
                // What does not fit, or is refused, is lost with the request.
                let _ = self.late.borrow_mut().put_back(waiting);
            }
        }
        self.late.borrow().is_empty()
    }

    fn push(&self, command: Command) {
        // One request has a few of them.
        let _ = self.late.borrow_mut().push(command);
    }

    /// Whether what has failed just now may have come to the store.
    fn was_sent(&self) -> bool {
        !matches!(*self.line.borrow(), Line::Lost)
    }

    /// Says that a call is still under way.
    pub(crate) fn renew_hold(&self, holding: &Holding, moment: Moment) -> Result<(), StoreLost> {
        let command = self.codec.renew_hold(holding, moment);
        self.run(&command, |value| self.codec.held(&command, value))
    }

    pub(crate) fn renew(
        &self,
        lease: &Lease,
        id: u64,
        piece: Option<&Piece>,
        moment: Moment,
    ) -> Result<Renewed, StoreLost> {
        let command = self.codec.renew(lease, id, piece, moment);
        self.run(&command, |value| self.codec.renewed(&command, value))
    }

    pub(crate) fn own(&self, ownership: Ownership<'_>, moment: Moment) -> Result<bool, StoreLost> {
        let command = self.codec.own(ownership, moment);
        self.run(&command, |value| self.codec.owned(&command, value))
    }

    pub(crate) fn overhear(
        &self,
        lease: &Lease,
        id: u64,
        from: u64,
        moment: Moment,
    ) -> Result<Overheard, StoreLost> {
        let command = self.codec.overhear(lease, id, from, moment);
        self.run(&command, |value| self.codec.overheard(from, &command, value))
    }

    /// Counts what belongs to no call. Only over a connection that is there: whoever is refused at the door, and
    /// may be anybody, costs Redis none.
    pub(crate) fn tell(&self, tally: &Tally, moment: Moment) {
        if matches!(*self.line.borrow(), Line::Open(_)) {
            let command = self.codec.tell(tally, moment);
            // Where that fails, it is not counted.
            let _ = self.run(&command, |value| self.codec.closed(&command, value));
        }
    }

    /// All that was counted.
    pub(crate) fn sums(&self, moment: Moment) -> Result<Exposition, StoreLost> {
        let command = self.codec.sums(moment);
        self.run(&command, |value| self.codec.summed(&command, value))
    }

    pub(crate) fn withdraw_retry(&self, breaker: &str, moment: Moment) -> Result<bool, StoreLost> {
        let command = self.codec.withdraw_retry(breaker, moment);
        self.run(&command, |value| self.codec.granted(&command, value))
    }

    pub(crate) fn lease_probe(&self, breaker: &str, id: u64, moment: Moment) -> Result<bool, StoreLost> {
        let command = self.codec.lease_probe(breaker, id, moment);
        self.run(&command, |value| self.codec.granted(&command, value))
    }

    pub(crate) fn report_probe(
        &self,
        finding: &Finding,
        id: u64,
        roll: u64,
        moment: Moment,
    ) -> Result<(), StoreLost> {
        let command = self.codec.report_probe(finding, id, roll, moment);
        self.run(&command, |value| self.codec.closed(&command, value)).map(drop)
    }

    pub(crate) fn control(&self, order: &Order, now: impl Fn() -> Moment) -> Result<Entry, Unheeded> {
        let command = self.codec.control(order, now());
        Ok(self.run(&command, |value| self.codec.obeyed(order, &command, now(), value))??)
    }

    pub(crate) fn breakers(&self, asked: &[String], now: impl Fn() -> Moment) -> Result<Listing, StoreLost> {
        self.try_all(now())?;
        let command = self.codec.names(now());
        let names = self.run(&command, |value| self.codec.named(asked, &command, value))?;
        let command = self.codec.listing(&names, now());
        self.run(&command, |value| self.codec.listed(asked, &names, &command, now(), value))
    }

    /// Why the store is lost, as far as this request has found out.
    pub(crate) fn why_lost(&self) -> Option<String> {
        self.why.borrow().clone()
    }

    /// Whoever reads how the store stands learns whether the user may do all that is needed.
    fn try_all(&self, moment: Moment) -> Result<(), StoreLost> {
        let command = self.codec.trial(moment);
        let forbidden = self.run(&command, |value| self.codec.tried(&command, value))?;
        if forbidden.is_bearable() {
            return Ok(());
        }
        let names = forbidden.names().collect::<Vec<_>>().join(" ");
        self.lose(&format!("{}: {names}", Cause::Forbidden.why()));
        Err(StoreLost)
    }

    fn lose(&self, why: &str) {
        log::store_lost(why);
        self.why.replace(Some(why.to_owned()));
    }

    /// Sends a command and reads its reply. After a fault the connection is used no more.
    fn run<T>(
        &self,
        command: &Command,
        read: impl FnOnce(Value) -> Result<Told<T>, Garbled>,
    ) -> Result<T, StoreLost> {
        let mut line = self.line.borrow_mut();
        if matches!(*line, Line::Closed) {
            *line = match Connection::open(&self.address) {
                Ok(connection) => Line::Open(connection),
                Err(error) => {
                    self.lose(why(&error));
                    Line::Lost
                }
            };
        }
        let Line::Open(connection) = &*line else { return Err(StoreLost) };
        let why = match exchange(connection, command) {
            Ok(value) => match read(value) {
                Ok(Told { answer, .. }) => return Ok(answer),
                Err(Garbled) => "the reply was not one to the command",
            },
            Err(error) => why(&error),
        };
        self.lose(why);
        *line = Line::Closed;
        Err(StoreLost)
    }
}

/// By the script's name; whole where Redis does not know it.
fn exchange(connection: &Connection, command: &Command) -> Result<Value, Error> {
    let reply = match connection.execute("EVALSHA", &parameters(command.script.sha1, command)) {
        Err(error) if is_unknown_script(&error) => {
            connection.execute("EVAL", &parameters(command.script.source, command))
        }
        reply => reply,
    };
    Ok(Value::Array(reply?.into_iter().map(neutral).collect()))
}

fn parameters(script: &str, command: &Command) -> Vec<RedisParameter> {
    let words = command.keys.iter().chain(command.arguments());
    let keys = i64::try_from(command.keys.len()).unwrap_or(i64::MAX);
    [RedisParameter::Binary(script.as_bytes().to_vec()), RedisParameter::Int64(keys)]
        .into_iter()
        .chain(words.map(|word| RedisParameter::Binary(word.to_vec())))
        .collect()
}

/// What scripts do not reply is nothing, which no reader takes for an answer.
fn neutral(result: RedisResult) -> Value {
    match result {
        RedisResult::Int64(int) => Value::Int(int),
        RedisResult::Binary(bytes) => Value::Bytes(bytes.into()),
        RedisResult::Nil | RedisResult::Status(_) => Value::Nil,
    }
}

/// The runtime has words of its own for Redis's `NOSCRIPT`, and keeps Redis's sentence behind them.
fn is_unknown_script(error: &Error) -> bool {
    match error {
        Error::Other(text) => text.contains("NOSCRIPT") || text.contains("No matching script"),
        Error::InvalidAddress | Error::TooManyConnections | Error::TypeError => false,
    }
}

/// In words that quote nothing: what the runtime says may hold the address, and that a password.
fn why(error: &Error) -> &'static str {
    match error {
        Error::InvalidAddress => {
            "the runtime does not take its address: is it among `allowed_outbound_hosts`?"
        }
        Error::TooManyConnections => "too many connections",
        Error::TypeError => "a value has another type than it should",
        Error::Other(text) => match Cause::of(text) {
            Some(cause) => cause.why(),
            None => "no connection, or it broke, or Redis refused the command",
        },
    }
}

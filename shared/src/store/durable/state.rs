//! What an object runs: the steps of a store on the part of it that is its own.
//!
//! Synchronous: a shell takes a question, lets the desk answer it, and awaits nothing in between, so what is counted
//! is exact. It is kept in memory and written behind the answer.
//!
//! `now` is of a clock that goes on while the object is not there, microseconds since 1970: what is kept is read by
//! the same clock.
//!
//! What is written, and when: see [`Desk::changes`]. An object that ends without a last flush forgets what has changed
//! since the one before, a second's worth at most as long as the storage takes what it is given: requests and tokens
//! that were counted, calls that were in flight, keys that were taken or answered, findings of breakers, retries.
//! Never an order of an operator or the owner of an object: it is written before it is confirmed. Leases are not written at all: they last for
//! seconds, and without them a call is made twice at worst, within the limits.

mod record;
mod refreshes;
mod write_back;
mod writing;

use std::time::Duration;

use self::record::Name;
use self::refreshes::Refreshes;
pub use self::write_back::Changes;
use self::write_back::Shelf;
use super::message::{
    Answer, Demand, Ended, Extent, Mend, No, Part, Question, Reserved, Said, Successes, Taken, Tally,
};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Scope, Told, Want};
use crate::routing::breaker::Report;
use crate::routing::breaker::control::{self, Overrides};
use crate::routing::retry::RetryBudget;
use crate::store::embedded::accounts::{Accounts, Refused};
use crate::store::embedded::answers::Answers;
use crate::store::embedded::breakers::Breakers;
use crate::store::embedded::leases::Leases;
use crate::store::embedded::owners::Owners;
use crate::store::embedded::{MOST_ACCOUNTS, MOST_BREAKERS, MOST_OVERRIDES};
use crate::store::lease::{Leased, Release};
use crate::store::protocol::{Keeping, Ownership, Repeat, Repeated};
use crate::time::Instant;
use crate::wire::pack::Garbled;

/// Bytes of answers that are kept for their `Idempotency-Key`; an object has some 100 MB, and not for itself.
const MOST_REPEATS: u64 = 16 << 20;

/// What an object keeps. Which object it is it need not know: it is asked for what is its own.
#[derive(Debug)]
pub struct Desk {
    accounts: Accounts,
    answers: Answers,
    leases: Leases,
    owners: Owners,
    refreshes: Refreshes,
    breakers: Breakers,
    retries: RetryBudget,
    shelf: Shelf,
    faults: u64,
}

/// What a desk says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub answer: Vec<u8>,
    pub flush: Flush,
}

/// When [`Desk::changes`] are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// When [`Desk::next_alarm`] says.
    Later,
    /// All of them, before the answer is sent.
    First,
}

impl Desk {
    /// One that knows nothing.
    pub fn new(now: Instant) -> Self {
        Self {
            accounts: Accounts::new(MOST_ACCOUNTS),
            answers: Answers::new(0, MOST_REPEATS),
            leases: Leases::default(),
            owners: Owners::default(),
            refreshes: Refreshes::default(),
            breakers: Breakers::new(MOST_BREAKERS, Overrides::new(MOST_OVERRIDES)),
            retries: RetryBudget::new(now),
            shelf: Shelf::default(),
            faults: 0,
        }
    }

    /// Answers a question, whatever it is. `roll` is for the jitter of open times.
    pub fn answer(&mut self, question: &[u8], now: Instant, roll: u64) -> Answered {
        let mut flush = Flush::Later;
        let question = match Question::read(question, now) {
            Ok(Question::Behind { tally, question }) => {
                self.catch_up(&tally, now);
                Question::read(&question, now)
            }
            question => question,
        };
        let answer = match question {
            Err(Garbled) | Ok(Question::Behind { .. }) => Answer::Garbled,
            Ok(Question::Open(part)) => Answer::Opened(Box::new(self.open(&part, now))),
            Ok(Question::Mend(mend)) => {
                self.mend(&mend, now);
                Answer::Done
            }
            Ok(Question::Close(ended)) => {
                self.close(ended, now, roll);
                Answer::Done
            }
            Ok(Question::Withdraw { breaker }) => {
                let is_granted =
                    !self.breakers.clamped_gate(&breaker, now).is_open() && self.retries.withdraw(now);
                if is_granted {
                    self.shelf.touch(Name::Retries, now);
                }
                Answer::Granted(is_granted)
            }
            Ok(Question::LeaseProbe { breaker, id }) => {
                let is_granted = self.breakers.lease_probe(&breaker, id, now);
                if is_granted {
                    self.touch_breakers(&breaker, now);
                }
                Answer::Granted(is_granted)
            }
            Ok(Question::ReportProbe { finding, id }) => {
                self.breakers.observe(&finding, Report { id, now, roll });
                self.touch_breakers(&finding.breaker, now);
                Answer::Done
            }
            Ok(Question::Control(order)) => {
                let outcome = self.breakers.obey(&order, now);
                if outcome.is_ok() {
                    self.shelf.touch(Name::Order(order.breaker), now);
                    flush = Flush::First;
                }
                Answer::Obeyed(outcome)
            }
            Ok(Question::Listing { names }) => Answer::Listed(self.breakers.listing(&names, now)),
            Ok(Question::Own { tenant, named, made }) => {
                let owned = self.owners.own(Ownership { tenant, named: &named, made: &made }, now);
                for object in owned.changed {
                    self.shelf.touch(Name::Object { tenant, object }, now);
                }
                // Whoever is told that an object is made finds it again, whatever becomes of this one.
                if !made.is_empty() {
                    flush = Flush::First;
                }
                Answer::Granted(owned.is_own)
            }
            Ok(Question::Hold { id, lasts, scopes, repeat }) => {
                self.hold(&scopes, (id, lasts), repeat, now);
                Answer::Done
            }
            Ok(Question::Renew { lease, id }) => Answer::Renewed(self.leases.renew(&lease, id, None, now)),
        };
        Answered { answer: answer.write(now), flush }
    }

    /// Values that were not what their key says, and were taken for missing.
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// Takes note of what an isolate has counted for a while.
    fn catch_up(&mut self, tally: &Tally, now: Instant) {
        for Successes { breaker, policies, count } in &tally.successes {
            self.breakers.succeed(breaker, policies, *count, now);
            self.touch_breakers(breaker, now);
        }
        if tally.deposits > 0 {
            self.retries.deposit_for(tally.deposits, now);
            self.shelf.touch(Name::Retries, now);
        }
    }

    /// Follows [`crate::store::embedded::Store::open`] step by step.
    fn open(&mut self, part: &Part, now: Instant) -> Said {
        if let Some(Demand { want, scopes, .. }) = part.demand.as_ref().filter(|_| part.anew) {
            self.take_back(scopes, place(*want), part.repeat, now);
        }
        let lasts = part.demand.as_ref().map_or(Duration::ZERO, |demand| demand.want.lasts);
        let mut said = Said {
            repeated: part.repeat.map(|repeat| self.answers.repeated(&repeat, lasts, now)),
            is_due: part.refresh.is_some_and(|key| self.refreshes.is_due(&key, now)),
            ..Said::default()
        };
        let is_answered = match said.repeated {
            Some(Repeated::Conflict) => return said,
            Some(Repeated::Running) if !part.follows => return said,
            Some(Repeated::Answered { .. }) => true,
            Some(Repeated::First | Repeated::Running) | None => false,
        };
        if let Some((lease, awaited)) = part.lease.filter(|_| !is_answered) {
            let leased = self.leases.look(&lease, awaited, now);
            said.leased = Some(leased);
            if matches!(leased, Leased::Elsewhere { .. }) {
                self.leases.wait(&lease, now);
                return said;
            }
        }
        if let Some(demand) = &part.demand {
            let is_replaced = part.refresh.is_some() && !said.is_due;
            let extent = match demand.extent {
                _ if is_answered || is_replaced => Extent::Place,
                // Who knows the key knows that nothing was answered to it.
                Extent::Either if part.repeat.is_some() && part.refresh.is_none() => Extent::Whole,
                extent => extent,
            };
            said.reserved = self.reserve(demand, extent, now);
            if said.reserved.taken == Taken::Nothing {
                return said;
            }
            self.take(part, &said, demand.want, now);
        }
        if part.deposits {
            said.deposited = self.retries.deposit(now);
            self.shelf.touch(Name::Retries, now);
        }
        said.gates = part.gates.iter().map(|name| self.breakers.clamped_gate(name, now)).collect();
        said
    }

    /// Takes back what was reserved, with the key of the call.
    fn take_back(&mut self, scopes: &[(Scope, Limits)], want: Want, repeat: Option<Repeat>, now: Instant) {
        self.accounts.undo(scopes, want, now);
        self.touch_accounts(scopes, now);
        let repeat = repeat.map(|repeat| (repeat, Duration::ZERO));
        self.keep(&Keeping { repeat, ..Keeping::default() }, want.id, now);
    }

    fn reserve(&mut self, demand: &Demand, extent: Extent, now: Instant) -> Reserved {
        let Demand { want, scopes, .. } = demand;
        let before = self.accounts.left(scopes, now);
        let mut reserved = Reserved { before, after: before, ..Reserved::default() };
        if extent != Extent::Place {
            match self.accounts.reserve(scopes, *want, now) {
                Ok(left) => (reserved.taken, reserved.after) = (Taken::Whole, left),
                Err(refused) => reserved.no_whole = Some(refused.into()),
            }
        }
        if extent != Extent::Whole && reserved.taken == Taken::Nothing {
            match self.accounts.reserve(scopes, place(*want), now) {
                Ok(left) => (reserved.taken, reserved.after) = (Taken::Place, left),
                Err(refused) => reserved.no_place = Some(refused.into()),
            }
        }
        if reserved.taken != Taken::Nothing {
            self.touch_accounts(scopes, now);
        }
        reserved
    }

    /// Takes what belongs to a call that has its place: its key, its lease, the right to fetch a new answer.
    fn take(&mut self, part: &Part, said: &Said, want: Want, now: Instant) {
        if let (Some(repeat), Some(Repeated::First)) = (part.repeat, &said.repeated) {
            self.answers.begin(&repeat, want.id, want.lasts, now);
            self.shelf.touch(Name::Key(repeat.key), now);
        }
        if let (Some((lease, _)), Some(Leased::Own)) = (part.lease, said.leased) {
            self.leases.take(&lease, want.id, now);
        }
        if let (Some(key), true, Taken::Whole) = (part.refresh, said.is_due, said.reserved.taken) {
            self.refreshes.take(key, now);
        }
    }

    fn mend(&mut self, mend: &Mend, now: Instant) {
        let Mend { want, scopes, taken, stays, repeat, lease, refresh, deposited } = mend;
        match (taken, stays) {
            (Taken::Whole, Taken::Nothing) => self.accounts.undo(scopes, *want, now),
            (Taken::Place, Taken::Nothing) => self.accounts.undo(scopes, place(*want), now),
            (Taken::Whole, Taken::Place) => self.accounts.trim(scopes, *want, now),
            (Taken::Nothing, _)
            | (Taken::Place, Taken::Place | Taken::Whole)
            | (Taken::Whole, Taken::Whole) => {}
        }
        self.touch_accounts(scopes, now);
        let repeat = repeat.map(|repeat| (repeat, Duration::ZERO));
        let lease = lease.map(|lease| (lease, Release::Free));
        self.keep(&Keeping { repeat, lease, ..Keeping::default() }, want.id, now);
        if let Some(key) = refresh {
            self.refreshes.free(key);
        }
        if *deposited > 0 {
            self.retries.take_back(*deposited);
            self.shelf.touch(Name::Retries, now);
        }
    }

    fn close(&mut self, ended: Ended, now: Instant, roll: u64) {
        let Ended { id, told, held, used, refresh, repeat, entry, lease, findings, abandoned } = ended;
        if let Some((want, scopes)) = &held {
            match told {
                Told::First => self.accounts.settle(scopes, *want, used, now),
                Told::Again => self.accounts.settle_again(scopes, *want, used, now),
            }
            self.touch_accounts(scopes, now);
        }
        if let Some(key) = refresh {
            self.refreshes.free(&key);
        }
        self.keep(&Keeping { entry, repeat, lease, ..Keeping::default() }, id, now);
        for finding in findings.into_iter().filter(|_| told == Told::First) {
            self.breakers.observe(&finding, Report { id, now, roll });
            self.touch_breakers(&finding.breaker, now);
        }
        for name in abandoned {
            self.breakers.release(&name, id);
            self.touch_breakers(&name, now);
        }
    }

    /// A call is still under way. An object that has begun anew may have forgotten it.
    fn hold(
        &mut self,
        scopes: &[(Scope, Limits)],
        (id, lasts): (u64, Duration),
        repeat: Option<Repeat>,
        now: Instant,
    ) {
        self.accounts.renew(scopes, id, lasts, now);
        self.touch_accounts(scopes, now);
        if let Some(repeat) = repeat {
            self.answers.renew(&repeat, id, lasts, now);
            self.shelf.touch(Name::Key(repeat.key), now);
        }
    }

    fn keep(&mut self, keeping: &Keeping, id: u64, now: Instant) {
        // An object keeps the answers of one tenant. What makes room goes from the storage as well.
        for key in self.answers.keep("", keeping, id, now) {
            self.shelf.touch(Name::Key(key), now);
        }
        if let Some((repeat, _)) = keeping.repeat {
            self.shelf.touch(Name::Key(repeat.key), now);
        }
        if let Some((lease, release)) = keeping.lease {
            self.leases.release(&lease, release, id, now);
        }
    }

    /// A model's, and its upstream's.
    fn touch_breakers(&mut self, name: &str, now: Instant) {
        self.shelf.touch(Name::Breaker(name.to_owned()), now);
        let upstream = control::upstream_of(name);
        if upstream != name {
            self.shelf.touch(Name::Breaker(upstream.to_owned()), now);
        }
    }

    fn touch_accounts(&mut self, scopes: &[(Scope, Limits)], now: Instant) {
        for (scope, _) in scopes {
            self.shelf.touch(Name::Account(self.accounts.home(scope)), now);
        }
    }
}

/// A request and its place, and no tokens.
fn place(want: Want) -> Want {
    Want { tokens: Tokens(0), ..want }
}

impl From<Refused> for No {
    fn from(Refused { at, denied }: Refused) -> Self {
        Self { at: u32::try_from(at).unwrap_or(u32::MAX), denied }
    }
}

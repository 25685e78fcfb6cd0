//! After the last byte.

use std::time::Duration;

use super::counters::Present;
use super::keys::Pool;
use super::packed::Word;
use super::{self as redis, Codec, Command, Garbled, Moment, NotKept, Value, script};
use crate::cache::fingerprint;
use crate::ledger::usage::Tokens;
use crate::limits::account::{Told, Want};
use crate::routing::breaker::{FaultScope, OnRateLimit, Outcome, Policy, control};
use crate::store::lease::Release;
use crate::store::protocol::{Ask, Closing, Finding, Keeping, Opened, Reservation};
use crate::telemetry::metrics::Tally;

/// What is said to the script, whoever says it.
struct Ends<'a> {
    id: u64,
    roll: u64,
    /// Who pays for what is kept.
    tenant: &'a str,
    told: Told,
    reservation: Option<&'a Reservation>,
    used: Tokens,
    keeping: &'a Keeping,
    findings: &'a [Finding],
    abandoned: &'a [String],
    tally: Option<&'a Tally>,
}

impl<'a> Ends<'a> {
    /// What a call without an end tells: what it does not say is nothing.
    fn without_end(id: u64, keeping: &'a Keeping) -> Self {
        Self {
            id,
            roll: 0,
            tenant: "",
            told: Told::First,
            reservation: None,
            used: Tokens(0),
            keeping,
            findings: &[],
            abandoned: &[],
            tally: None,
        }
    }

    fn of(closing: &'a Closing, roll: u64) -> Self {
        let Closing { record, reservation, used, findings, abandoned, keeping } = closing;
        Self {
            id: reservation.want.id,
            roll,
            tenant: record.caller.tenant(),
            told: Told::First,
            reservation: Some(reservation),
            used: *used,
            keeping,
            findings,
            abandoned,
            tally: None,
        }
    }
}

impl Codec {
    /// Tells what [`crate::store::embedded::Store::close`] is told. `None` where the store has nothing to learn: a
    /// call that was answered from what is kept, and held nothing. `roll` is for the jitter of open times.
    pub fn close(&self, closing: &Closing, roll: u64, moment: Moment) -> Option<Command> {
        let Closing { reservation, used, findings, abandoned, keeping, .. } = closing;
        let is_unknown = self.present == Present::Unknown;
        let is_true = reservation.scopes.iter().all(|(_, limits)| {
            limits.concurrent.is_none() && (limits.tokens.is_empty() || reservation.want.tokens == *used)
        });
        let is_nothing = keeping.cache.is_none() && keeping.repeat.is_none() && keeping.lease.is_none();
        if is_unknown && is_true && is_nothing && findings.is_empty() && abandoned.is_empty() {
            return None;
        }
        Some(self.ends(&Ends::of(closing, roll), moment))
    }

    /// The same where something was counted. It is told even where there is nothing else to learn.
    pub fn close_with(&self, closing: &Closing, tally: &Tally, roll: u64, moment: Moment) -> Command {
        self.ends(&Ends { tally: Some(tally), ..Ends::of(closing, roll) }, moment)
    }

    /// Tells that nobody was there any more when [`Self::opened`] said `opened`. `None` where nothing is held.
    pub fn give_back(&self, ask: Ask<'_>, opened: &Opened, moment: Moment) -> Option<Command> {
        let (reservation, keeping) = opened.undone(ask)?;
        let ends = Ends {
            tenant: ask.tenant,
            reservation: Some(&reservation),
            ..Ends::without_end(reservation.want.id, &keeping)
        };
        Some(self.ends(&ends, moment))
    }

    /// The same where nobody knows whether the store has done what it was asked: whatever it holds for the call goes
    /// back, and of tokens nothing, for it may have taken none. `None` where it would hold nothing.
    pub fn take_back(&self, ask: Ask<'_>, moment: Moment) -> Option<Command> {
        let reservation = ask.reservation.filter(|reservation| !reservation.want.lasts.is_zero())?;
        let is_held = reservation.scopes.iter().any(|(_, limits)| limits.concurrent.is_some());
        let is_unknown = self.present == Present::Unknown;
        if is_unknown && !is_held && ask.repeat.is_none() && ask.lease.is_none() {
            return None;
        }
        let want = Want { tokens: Tokens(0), ..reservation.want };
        let reservation = Reservation { want, ..reservation.clone() };
        let keeping = Keeping {
            repeat: ask.repeat.map(|repeat| (*repeat, Duration::ZERO)),
            lease: ask.lease.map(|lease| (*lease, Release::Free)),
            ..Keeping::default()
        };
        let ends = Ends {
            tenant: ask.tenant,
            told: Told::Again,
            reservation: Some(&reservation),
            ..Ends::without_end(want.id, &keeping)
        };
        Some(self.ends(&ends, moment))
    }

    /// Tells how the probe `id` went.
    pub fn report_probe(&self, finding: &Finding, id: u64, roll: u64, moment: Moment) -> Command {
        let keeping = Keeping::default();
        let findings = std::slice::from_ref(finding);
        self.ends(&Ends { roll, findings, ..Ends::without_end(id, &keeping) }, moment)
    }

    /// The reply to [`Self::close`], [`Self::give_back`] and [`Self::report_probe`]: answers that were not kept.
    pub fn closed(&self, command: &Command, value: Value) -> Result<redis::Told<Vec<NotKept>>, Garbled> {
        let mut reply = command.reader(value)?;
        let not_kept = reply.words()?.into_iter().map(|why| match &why[..] {
            b"room" => Ok(NotKept::Room),
            b"memory" => Ok(NotKept::Memory),
            _ => Err(Garbled),
        });
        let not_kept = not_kept.collect::<Result<_, _>>()?;
        reply.told(not_kept)
    }

    fn ends(&self, ends: &Ends<'_>, moment: Moment) -> Command {
        let mut command = self.command(script::CLOSE, moment);
        command.say(Word::Id(ends.id));
        command.say(Word::Id(ends.roll));
        command.say_told(ends.told);
        command.number(ends.reservation.map_or(0, |reservation| reservation.want.tokens.0));
        command.number(ends.used.0);
        match ends.reservation {
            Some(reservation) => self.scopes(&mut command, reservation),
            None => command.number(0),
        }
        self.keeping(&mut command, ends.keeping, ends.tenant);
        command.length(ends.findings.len());
        for (at, finding) in ends.findings.iter().enumerate() {
            if at == 0 {
                command.key(self.keys.index());
                command.key(self.keys.watched());
            }
            self.finding(&mut command, finding);
        }
        command.length(ends.abandoned.len());
        for name in ends.abandoned {
            self.breaker(&mut command, name);
        }
        self.present(&mut command, ends.reservation);
        if let Some(tally) = command.part(ends.tally) {
            self.tally(&mut command, tally);
        }
        command
    }

    fn keeping(&self, command: &mut Command, keeping: &Keeping, tenant: &str) {
        let Keeping { entry, cache, repeat, lease, place: _ } = keeping;
        let is_wanted = cache.is_some() || repeat.is_some();
        let entry = command.part(entry.as_ref().filter(|_| is_wanted));
        let owner = entry.map(|_| fingerprint::of_tenant(tenant));
        if let Some(entry) = entry {
            command.entry(entry);
        }
        let room = |command: &mut Command, pool, most| {
            let Some(owner) = owner else { return };
            command.key(self.keys.owners(pool));
            command.key(self.keys.line(pool, owner));
            command.number(most);
        };
        if let Some((key, life)) = command.part(cache.as_ref()) {
            command.key(self.keys.answer(*key));
            command.say(Word::Span(*life));
            room(command, Pool::Cached, self.room.cache);
        }
        if let Some((repeat, life)) = command.part(repeat.as_ref()) {
            command.key(self.keys.hashed("repeat", repeat.key));
            command.text(&repeat.request.to_hex());
            command.say(Word::Span(*life));
            room(command, Pool::Repeats, self.room.repeats);
        }
        if let Some((lease, release)) = command.part(lease.as_ref()) {
            self.lease(command, lease);
            command.number(match release {
                Release::Spent => 1,
                Release::Free => 0,
            });
        }
    }

    /// A success is told in few words: it is what nearly every call has to say.
    fn finding(&self, command: &mut Command, finding: &Finding) {
        let Finding { breaker, policies, outcome } = finding;
        self.breaker(command, breaker);
        let scopes: &[FaultScope] = if control::upstream_of(breaker) == breaker {
            &[FaultScope::Upstream]
        } else {
            &[FaultScope::Model, FaultScope::Upstream]
        };
        let (name, caller, retry_after) = match outcome {
            Outcome::Success => {
                command.text("success");
                for scope in scopes {
                    command.number(policies.of(*scope).tenth());
                }
                return;
            }
            Outcome::Failure { .. } => ("failure", None, None),
            Outcome::Break { .. } => ("break", None, None),
            Outcome::RateLimited { retry_after, .. } => ("limited", None, *retry_after),
            Outcome::Timeout { caller } => ("timeout", Some(*caller), None),
        };
        command.text(name);
        command.number((outcome.scope() == Some(FaultScope::Upstream)).into());
        command.say(caller.map_or(Word::Text(""), Word::Id));
        command.say(retry_after.map_or(Word::None, Word::Span));
        for scope in scopes {
            policy(command, policies.of(*scope));
        }
    }
}

fn policy(command: &mut Command, policy: &Policy) {
    command.number(policy.tenth());
    command.number(policy.consecutive.into());
    command.number(policy.failure_rate().into());
    command.number(policy.minimum.into());
    command.say(Word::Span(policy.open));
    command.text(match policy.on_rate_limit {
        OnRateLimit::Open => "open",
        OnRateLimit::Count => "count",
        OnRateLimit::Ignore => "ignore",
    });
}

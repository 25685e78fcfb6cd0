//! Before the upstream call.

use std::sync::Arc;
use std::time::Duration;

use super::keys::of_scope;
use super::packed::Word;
use super::reply::Reader;
use super::{Codec, Command, Garbled, Moment, Told, Value, entry, script};
use crate::cache::{Entry, Freshness};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Denied, Left, Measure, Scope};
use crate::limits::rate::{Allowance, Denial, Rate};
use crate::store::lease::Leased;
use crate::store::protocol::{Ask, Opened, Recalled, Repeated, Reservation};

impl Codec {
    /// Asks what [`crate::store::embedded::Store::open`] answers. Standings are not in it: they are the process's
    /// own.
    pub fn open(&self, ask: Ask<'_>, moment: Moment) -> Command {
        let mut command = self.command(script::OPEN, moment);
        command.say(Word::Id(ask.reservation.map_or(0, |reservation| reservation.want.id)));
        command.number(ask.follows.into());
        command.number(ask.anew.into());
        if let Some(recall) = command.part(ask.recall) {
            command.key(self.keys.answer(recall.key));
            let window = recall.window;
            for span in [window.fresh, window.revalidate, window.if_error, window.ttl] {
                command.say(Word::Span(span));
            }
        }
        if let Some(repeat) = command.part(ask.repeat) {
            command.key(self.keys.hashed("repeat", repeat.key));
            command.text(&repeat.request.to_hex());
        }
        self.present(&mut command, ask.reservation);
        if let Some(reservation) = command.part(ask.reservation) {
            command.number(reservation.want.tokens.0);
            command.say(Word::Span(reservation.want.lasts));
            self.scopes(&mut command, reservation);
        }
        if let Some(lease) = command.part(ask.lease) {
            self.lease(&mut command, lease);
            command.say(ask.awaited.map_or(Word::Text(""), Word::Id));
        }
        if ask.reservation.is_some() {
            command.key(self.keys.retries());
        }
        command.length(ask.breakers.len());
        for (at, name) in ask.breakers.iter().enumerate() {
            if at == 0 {
                command.key(self.keys.control());
            }
            self.breaker(&mut command, name);
        }
        command
    }

    /// What the reply to [`Self::open`] says. Where the call is refused, or its key is taken, what was
    /// recalled is not in it.
    pub fn opened(
        &self,
        ask: Ask<'_>,
        command: &Command,
        moment: Moment,
        value: Value,
    ) -> Result<Told<Opened>, Garbled> {
        let mut reply = command.reader(value)?;
        let mut opened = Opened::default();
        let known = reply.bytes()?;
        if &known[..] == b"hit" {
            return hit(reply, ask);
        }
        let is_answered = &known[..] == b"answered";
        opened.repeated = match &known[..] {
            b"none" | b"answered" => None,
            b"first" => Some(Repeated::First),
            b"running" => Some(Repeated::Running),
            b"conflict" => Some(Repeated::Conflict),
            _ => return Err(Garbled),
        };
        match opened.repeated {
            Some(Repeated::Conflict) => return reply.told(opened),
            Some(Repeated::Running) if !ask.follows => return reply.told(opened),
            Some(Repeated::First | Repeated::Running | Repeated::Answered { .. }) | None => {}
        }
        let leased = match &reply.bytes()?[..] {
            b"none" => None,
            b"own" => Some(Leased::Own),
            b"nobody" => Some(Leased::Nobody),
            b"elsewhere" => {
                opened.leased = Some(Leased::Elsewhere { id: reply.id()?, is_audible: reply.is_so()? });
                return reply.told(opened);
            }
            _ => return Err(Garbled),
        };
        if reply.is_so()? {
            let scopes = ask.reservation.map(|reservation| reservation.scopes.as_slice());
            opened.denied = Some(denied(&mut reply, scopes.unwrap_or_default())?);
            opened.left = left(&mut reply)?;
            return reply.told(opened);
        }
        opened.leased = leased;
        opened.left = left(&mut reply)?;
        opened.reserved = Tokens(reply.count()?);
        let (recalled, is_given) = recalled(&mut reply)?;
        opened.recalled = recalled;
        if is_answered {
            let age = reply.span()?;
            opened.repeated = Some(match kept(&mut reply)? {
                Some(entry) => Repeated::Answered { entry, age },
                // It was answered once, and the answer cannot be told: it is not asked for again.
                None => Repeated::Conflict,
            });
        }
        opened.is_kept = is_given || is_answered;
        for _ in ask.breakers.iter().filter(|_| !opened.is_kept) {
            opened.gates.push(reply.gate(moment.now)?);
        }
        reply.told(opened)
    }

    pub(super) fn scopes(&self, command: &mut Command, reservation: &Reservation) {
        command.length(reservation.scopes.len());
        for (scope, limits) in &reservation.scopes {
            let name = of_scope(scope);
            command.key(self.keys.account(name));
            command.say(limits.concurrent.map_or(Word::None, Word::Count));
            if limits.concurrent.is_some() {
                command.key(self.keys.holds(name));
            }
            command.length(limits.requests.len() + limits.tokens.len());
            for (kind, rates) in [('r', &limits.requests), ('t', &limits.tokens)] {
                for (at, rate) in rates.iter().enumerate() {
                    command.text(&format!("{kind}{}", at + 1));
                    let terms = rate.terms();
                    for number in [rate.count, terms.unit, terms.drain] {
                        command.number(number);
                    }
                }
            }
        }
    }

    /// A breaker, and its upstream's where it is a model's: what holds for that holds for it as well.
    pub(super) fn breaker(&self, command: &mut Command, name: &str) {
        command.key(self.keys.breaker(name));
        command.text(name);
        if let Some((upstream, _)) = name.split_once('/') {
            command.text(upstream);
            command.key(self.keys.breaker(upstream));
        } else {
            command.text("");
        }
    }
}

/// The short reply to what needed no more than a fresh answer: numbers in eight bytes each, and the answer.
fn hit(mut reply: Reader, ask: Ask<'_>) -> Result<Told<Opened>, Garbled> {
    let window = ask.recall.ok_or(Garbled)?.window;
    let [age, requests @ .., tokens_limit, tokens_left, tokens_reset] = reply.numbers::<7>()?;
    let left = Left {
        requests: allowance(requests)?,
        tokens: allowance([tokens_limit, tokens_left, tokens_reset])?,
    };
    let age = Duration::from_micros(u64::try_from(age).map_err(|_| Garbled)?);
    let recalled = kept(&mut reply)?.map(|entry| Recalled {
        entry,
        age,
        freshness: Freshness::Fresh,
        refresh: false,
        is_stale: age >= window.ttl,
    });
    reply.told(Opened { left, recalled, is_kept: true, ..Opened::default() })
}

/// Its limit, -1 where there is none, what is left, and the milliseconds until all of it is there again.
fn allowance([limit, remaining, reset]: [i64; 3]) -> Result<Option<Allowance>, Garbled> {
    if limit == -1 {
        return Ok(None);
    }
    let count = |number: i64| u64::try_from(number).map_err(|_| Garbled);
    let reset = Duration::from_millis(count(reset)?);
    Ok(Some(Allowance { limit: count(limit)?, remaining: count(remaining)?, reset }))
}

fn denied(reply: &mut Reader, scopes: &[(Scope, Limits)]) -> Result<Denied, Garbled> {
    let (scope, kind, at) = (reply.index()?, reply.count()?, reply.index()?);
    let (used, wait, wanted) = (reply.count()?, reply.optional()?, reply.count()?);
    let (_, limits) = scope.checked_sub(1).and_then(|scope| scopes.get(scope)).ok_or(Garbled)?;
    let rate = |rates: &[Rate]| at.checked_sub(1).and_then(|at| rates.get(at)).copied().ok_or(Garbled);
    let (measure, requested) = match kind {
        0 => (Measure::Concurrent(limits.concurrent.ok_or(Garbled)?), 1),
        1 => (Measure::Requests(rate(&limits.requests)?), 1),
        2 => (Measure::Tokens(rate(&limits.tokens)?), wanted),
        _ => return Err(Garbled),
    };
    let denial = match (measure, wait) {
        (Measure::Concurrent(_), None) => return Err(Garbled),
        (Measure::Requests(_) | Measure::Tokens(_), None) => Denial::Never,
        (Measure::Concurrent(_) | Measure::Requests(_) | Measure::Tokens(_), Some(wait)) => {
            Denial::NotYet { wait: Duration::from_millis(wait) }
        }
    };
    Ok(Denied { measure, used, requested, denial })
}

fn left(reply: &mut Reader) -> Result<Left, Garbled> {
    let mut allowance = || {
        let Some(limit) = reply.optional()? else { return Ok(None) };
        let (remaining, reset) = (reply.count()?, Duration::from_millis(reply.count()?));
        Ok(Some(Allowance { limit, remaining, reset }))
    };
    Ok(Left { requests: allowance()?, tokens: allowance()? })
}

/// And whether it is to be given.
fn recalled(reply: &mut Reader) -> Result<(Option<Recalled>, bool), Garbled> {
    let freshness = match &reply.bytes()?[..] {
        b"none" => return Ok((None, false)),
        b"fresh" => Freshness::Fresh,
        b"revalidate" => Freshness::Revalidate,
        b"if-error" => Freshness::IfError,
        _ => return Err(Garbled),
    };
    let (age, refresh, is_stale) = (reply.span()?, reply.is_so()?, reply.is_so()?);
    let entry = kept(reply)?;
    let recalled = entry.map(|entry| Recalled { entry, age, freshness, refresh, is_stale });
    Ok((recalled, freshness != Freshness::IfError && !refresh))
}

fn kept(reply: &mut Reader) -> Result<Option<Arc<Entry>>, Garbled> {
    let entry = entry::read(&reply.bytes()?);
    if entry.is_none() {
        reply.fault();
    }
    Ok(entry.map(Arc::new))
}

//! What an isolate takes for true of breakers, and what it has not told of its calls yet.
//!
//! Nearly every call goes to an upstream that is well. To ask its object each time whether it is, and to tell it each
//! time that it was, makes all calls of the world wait for one place and pays for it twice. So an object that has said
//! of a breaker that it is closed is believed for a second. Calls that go meanwhile ask it nothing; their successes and
//! what they bring for the budget of retries are counted here, and told ahead of the next question to that object:
//! once a second where calls are many.
//!
//! - What is no success is told at once, behind the successes that came before it, and for a second nothing is believed
//!   of that upstream: failures in a row are in a row, no failure waits, and what an isolate's own calls or its operator
//!   have done holds for it at once.
//! - A breaker that opens elsewhere is found out within a second.
//! - What is counted is a second's worth at most. It waits for the next call however long that takes, and is lost with
//!   the isolate: successes, and a fifth of a retry for each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use super::message::{Question, Successes, Tally};
use super::{Asked, Object};
use crate::routing::breaker::{Gate, Outcome, control};
use crate::store::protocol::{Closing, Finding};
use crate::time::Instant;

/// How long "closed" is believed, and how long nothing is after a failure: longer than an answer is on its way that
/// was given before it.
const BELIEVED: Duration = Duration::from_secs(1);

/// Breakers of an upstream at most: where each model has its own, clients can make up names. Beyond that, newcomers
/// are asked for, and told of, each time.
const MOST: usize = 1000;

/// What an isolate remembers for all of its calls. There are no more upstreams than an operator has named.
#[derive(Debug, Default)]
pub struct Beliefs {
    by_object: BTreeMap<Object, Upstream>,
}

#[derive(Debug, Default)]
struct Upstream {
    /// Until when a breaker is taken for closed.
    closed: BTreeMap<String, Instant>,
    /// From when on something may be.
    doubted: Instant,
    untold: Tally,
}

impl Beliefs {
    /// What is to be sent: the question, behind what its object has not been told yet.
    pub fn tell<'a>(&mut self, asked: &'a Asked, now: Instant) -> Cow<'a, [u8]> {
        let untold = self.by_object.get_mut(&asked.object).map(|upstream| mem::take(&mut upstream.untold));
        match untold.filter(|untold| *untold != Tally::default()) {
            Some(tally) => Question::Behind { tally, question: asked.question.clone() }.write(now).into(),
            None => Cow::Borrowed(&asked.question),
        }
    }

    /// Takes out of `closing` what need not be told before somebody asks again. Goes before [`super::close`].
    pub fn absorb(&mut self, closing: &mut Closing, now: Instant) {
        closing.abandoned.iter().for_each(|breaker| self.doubt(breaker, now));
        closing.findings.retain(|finding| !self.counts(finding, now));
    }

    /// The breaker may not be what it was: whoever needs it next asks. An order for an upstream is one for the breakers
    /// of its models as well.
    pub fn doubt(&mut self, breaker: &str, now: Instant) {
        let upstream = self.by_object.entry(Object::of_breaker(breaker)).or_default();
        upstream.closed.clear();
        upstream.doubted = now.after(BELIEVED);
    }

    /// Whether nobody has to be asked for any of these, of which there are some.
    pub(super) fn are_closed(&self, breakers: &[String], now: Instant) -> bool {
        !breakers.is_empty() && breakers.iter().all(|breaker| self.is_closed(breaker, now))
    }

    /// Takes note of what an object has said.
    pub(super) fn hear(&mut self, breaker: &str, gate: Gate, now: Instant) {
        let Upstream { closed, doubted, .. } = self.by_object.entry(Object::of_breaker(breaker)).or_default();
        if gate != Gate::Closed {
            closed.remove(breaker);
            return;
        }
        if doubted.is_ahead(BELIEVED, now) {
            return;
        }
        if closed.len() >= MOST {
            closed.retain(|_, until| until.is_ahead(BELIEVED, now));
        }
        // A call that its model's breaker lets through is let through by its upstream's.
        for name in [breaker, control::upstream_of(breaker)] {
            if let Some(until) = closed.get_mut(name) {
                *until = now.after(BELIEVED);
            } else if closed.len() < MOST {
                closed.insert(name.to_owned(), now.after(BELIEVED));
            }
        }
    }

    /// Counts a request that `object` was not asked for.
    pub(super) fn deposit(&mut self, object: &Object) {
        if let Some(Upstream { untold, .. }) = self.by_object.get_mut(object) {
            untold.deposits = untold.deposits.saturating_add(1);
        }
    }

    fn is_closed(&self, breaker: &str, now: Instant) -> bool {
        let upstream = self.by_object.get(&Object::of_breaker(breaker));
        upstream.is_some_and(|upstream| upstream.takes_for_closed(breaker, now))
    }

    /// Whether a finding can wait, in which case it is counted.
    fn counts(&mut self, finding: &Finding, now: Instant) -> bool {
        let Finding { breaker, policies, outcome } = finding;
        if *outcome != Outcome::Success {
            self.doubt(breaker, now);
            return false;
        }
        let upstream = self.by_object.get_mut(&Object::of_breaker(breaker));
        let Some(upstream) = upstream.filter(|upstream| upstream.takes_for_closed(breaker, now)) else {
            return false;
        };
        let successes = &mut upstream.untold.successes;
        if let Some(known) = successes.iter_mut().find(|known| known.breaker == *breaker) {
            (known.count, known.policies) = (known.count.saturating_add(1), *policies);
            return true;
        }
        let has_room = successes.len() < MOST;
        if has_room {
            successes.push(Successes { breaker: breaker.clone(), policies: *policies, count: 1 });
        }
        has_room
    }
}

impl Upstream {
    fn takes_for_closed(&self, breaker: &str, now: Instant) -> bool {
        self.closed.get(breaker).is_some_and(|until| until.is_ahead(BELIEVED, now))
    }
}

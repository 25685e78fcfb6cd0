//! One object's part in an ask: what it is asked, what it says, and what it has to take back.

use std::time::Duration;

use crate::ledger::usage::Tokens;
use crate::limits::account::{Left, Want};
use crate::store::durable::message::{Answer, Mend, No, Part, Question, Reserved, Said, Taken};
use crate::store::durable::{Asked, Object};
use crate::store::lease::Leased;
use crate::store::protocol::Repeated;
use crate::time::Instant;

/// What one object is asked.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) object: Object,
    pub(super) part: Part,
    /// Where its scopes stand in the reservation.
    pub(super) at: Vec<usize>,
}

impl Leg {
    /// Whether limits or an idempotency key hang on it.
    pub(super) fn is_essential(&self) -> bool {
        !self.at.is_empty() || self.part.repeat.is_some()
    }

    /// What the object says, if it is an answer to what it was asked.
    pub(super) fn said(&self, answer: &[u8], now: Instant) -> Option<Said> {
        let Ok(Answer::Opened(said)) = Answer::read(answer, now) else { return None };
        let Part { repeat, refresh, lease, demand, .. } = &self.part;
        let Said { repeated, leased, is_due, reserved, .. } = &*said;
        let is_answer = repeat.is_some() == repeated.is_some()
            && (lease.is_some() || leased.is_none())
            && (refresh.is_some() || !is_due)
            && (demand.is_some() || reserved.taken == Taken::Nothing);
        is_answer.then_some(*said)
    }

    /// What the object has to take back, if no more than `stays` is to stay.
    pub(super) fn mend(&self, said: &Said, stays: Taken, now: Instant) -> Option<Asked> {
        let taken = said.reserved.taken;
        let is_undone = taken != Taken::Nothing && stays == Taken::Nothing;
        let is_less = taken > stays;
        let deposited = if stays == Taken::Whole { 0 } else { said.deposited };
        if !is_less && deposited == 0 {
            return None;
        }
        let (want, scopes) = match &self.part.demand {
            Some(demand) => (demand.want, demand.scopes.clone()),
            None => (Want { id: 0, tokens: Tokens(0), lasts: Duration::ZERO }, Vec::new()),
        };
        let is_first = said.repeated == Some(Repeated::First);
        let is_own = said.leased == Some(Leased::Own);
        let mend = Mend {
            want,
            scopes,
            taken,
            stays: stays.min(taken),
            repeat: self.part.repeat.filter(|_| is_undone && is_first),
            lease: self.part.lease.filter(|_| is_undone && is_own).map(|(lease, _)| lease),
            refresh: self.part.refresh.filter(|_| is_less && taken == Taken::Whole && said.is_due),
            deposited,
        };
        Some(Question::Mend(mend).to(self.object.clone(), now))
    }
}

impl Reserved {
    /// Why not so much.
    pub(super) fn no(&self, wanted: Taken) -> Option<No> {
        match wanted {
            Taken::Nothing => None,
            Taken::Place => self.no_place,
            Taken::Whole => self.no_whole,
        }
    }

    /// What is left if so much of it stays. Requests and tokens are counted apart.
    pub(super) fn left(&self, stays: Taken) -> Left {
        match stays.min(self.taken) {
            Taken::Nothing => self.before,
            Taken::Place => match self.taken {
                Taken::Whole => Left { requests: self.after.requests, tokens: self.before.tokens },
                Taken::Nothing | Taken::Place => self.after,
            },
            Taken::Whole => self.after,
        }
    }
}

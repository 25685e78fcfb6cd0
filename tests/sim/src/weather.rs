//! What goes wrong, when, and how badly.

use std::time::Duration;

use crate::dice::Dice;

/// What becomes of a call at an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing listens.
    Refused,
    /// No connection comes about.
    Unreachable,
    /// The connection breaks before the head.
    Broken,
    /// Connected, and then nothing.
    Silent,
    Status {
        code: u16,
        retry_after: Option<u64>,
    },
    /// A page, with status 200.
    Html,
    /// An error, with status 200.
    ErrorBody,
    Answer(Turn),
    /// The shell itself has a fault there.
    Panics,
}

/// How an answer goes on once it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Good,
    /// Good, but the connection stays open behind it.
    Lingers,
    /// The transport ends before the answer does.
    Truncated,
    Reset,
    Stalls,
    /// An error event.
    Errs,
    /// What is no event of the dialect.
    Garbles,
    /// As [`Fate::Panics`], in the middle.
    Panics,
}

/// A time in which things go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Spell {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// In a hundred.
    pub(crate) chance: u64,
    /// Of which one is chosen each time.
    pub(crate) fates: Vec<Fate>,
}

impl Spell {
    fn covers(&self, now: Duration) -> bool {
        (self.from..self.to).contains(&now)
    }
}

/// The fate of a call that comes at `now`.
pub(crate) fn fate(spells: &[Spell], now: Duration, dice: &Dice) -> Fate {
    for spell in spells.iter().filter(|spell| spell.covers(now)) {
        if dice.percent(spell.chance) {
            return dice.pick(&spell.fates);
        }
    }
    Fate::Answer(if dice.percent(10) { Turn::Lingers } else { Turn::Good })
}

/// What becomes of an operation on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Through,
    /// It never gets there.
    LostBefore,
    /// It gets there, and nobody hears of it.
    LostBehind,
}

/// A time in which the store is hard to reach.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// In a hundred.
    pub(crate) chance: u64,
    pub(crate) passages: Vec<Passage>,
}

/// The passage of an operation that begins at `now`.
pub(crate) fn passage(outages: &[Outage], now: Duration, dice: &Dice) -> Passage {
    for outage in outages.iter().filter(|outage| (outage.from..outage.to).contains(&now)) {
        if dice.percent(outage.chance) {
            return dice.pick(&outage.passages);
        }
    }
    Passage::Through
}

/// All the faults that a call may have before its answer begins.
pub(crate) fn refusals() -> Vec<Fate> {
    let mut all = vec![Fate::Refused, Fate::Unreachable, Fate::Broken, Fate::Silent];
    all.extend([Fate::Html, Fate::ErrorBody]);
    for code in [400, 401, 404, 408, 409, 500, 502, 503, 504, 529] {
        all.push(Fate::Status { code, retry_after: None });
    }
    for retry_after in [None, Some(0), Some(1), Some(4), Some(20)] {
        all.push(Fate::Status { code: 429, retry_after });
    }
    all
}

/// All the faults of an answer that has begun.
pub(crate) fn turns() -> Vec<Fate> {
    let turns = [Turn::Truncated, Turn::Reset, Turn::Stalls, Turn::Errs, Turn::Garbles];
    turns.into_iter().map(Fate::Answer).collect()
}

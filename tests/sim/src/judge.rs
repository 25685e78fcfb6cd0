//! Who says what is wrong, and keeps the first of it. The rules stand where the facts are.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;

use weir::time::Instant;

/// A rule that was broken: an invariant of `reliability.md` by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: u8,
    pub text: String,
    /// Since the run began.
    pub at: Instant,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, text, at } = self;
        f.pad(&format!("invariant {invariant}, at {} us: {text}", at.as_micros()))
    }
}

/// Whether what happens is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    Kept,
    Off,
}

/// How much of it.
const MOST: usize = 120;

/// The first violation, and what came before it.
#[derive(Debug)]
pub(crate) struct Judge {
    violation: RefCell<Option<Violation>>,
    trace: Trace,
    events: RefCell<VecDeque<String>>,
    now: Cell<Instant>,
}

impl Judge {
    pub(crate) fn new(trace: Trace) -> Self {
        Self { violation: RefCell::default(), trace, events: RefCell::default(), now: Cell::default() }
    }

    pub(crate) fn turn_to(&self, now: Instant) {
        self.now.set(now);
    }

    /// Only the first counts: what follows may come of it.
    pub(crate) fn broken(&self, invariant: u8, text: impl Into<String>) {
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            *violation = Some(Violation { invariant, text: text.into(), at: self.now.get() });
        }
    }

    /// What a model says of what has happened.
    pub(crate) fn hear(&self, invariant: u8, verdict: Result<(), String>) {
        if let Err(wrong) = verdict {
            self.broken(invariant, wrong);
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    pub(crate) fn is_content(&self) -> bool {
        self.violation.borrow().is_none()
    }

    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        if self.trace == Trace::Off {
            return;
        }
        let mut events = self.events.borrow_mut();
        if events.len() == MOST {
            events.pop_front();
        }
        let micros = self.now.get().as_micros();
        events.push_back(format!("{:>6}.{:06} {}", micros / 1_000_000, micros % 1_000_000, event()));
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.borrow().iter().cloned().collect()
    }
}

//! Ends of calls that the store could not be told: they are told once it is there again.
//!
//! A command that never went out is told as it is. One that may have arrived is told so that nothing is counted twice
//! ([`crate::limits::account::Told::Again`]). There is room for so many; what does not fit is named to whoever brings it.

use std::collections::VecDeque;
use std::fmt;

use super::Command;

/// Commands at most.
const MOST: usize = 4096;

/// Their bytes at most.
const MOST_BYTES: usize = 8 << 20;

/// A command that the store refuses so often is refused for what it is.
const MOST_TRIES: u8 = 10;

/// What is to be told again, in its order.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// A command that is told again.
#[derive(Debug)]
pub struct Waiting {
    pub command: Command,
    tries: u8,
}

/// Why a command is not told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// So many wait already.
    Full,
    /// The store is there, and refuses it again and again.
    Refused,
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many wait already",
            Self::Refused => "it is refused again and again",
        })
    }
}

impl Backlog {
    /// What is to be told again: the command, sent or not.
    pub fn push(&mut self, command: Command) -> Result<(), Untold> {
        self.insert(Waiting { command, tries: 0 })
    }

    /// The next to be told.
    pub fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes -= waiting.command.weight();
        Some(waiting)
    }

    /// It was sent, and nobody knows whether it was done.
    pub fn put_back(&mut self, mut waiting: Waiting) -> Result<(), Untold> {
        waiting.command.may_have_been_told();
        waiting.tries += 1;
        if waiting.tries >= MOST_TRIES { Err(Untold::Refused) } else { self.insert(waiting) }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn insert(&mut self, waiting: Waiting) -> Result<(), Untold> {
        let bytes = self.bytes.saturating_add(waiting.command.weight());
        if self.waiting.len() >= MOST || bytes > MOST_BYTES {
            return Err(Untold::Full);
        }
        self.bytes = bytes;
        self.waiting.push_back(waiting);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Clock, Codec, Moment};
    use super::*;
    use crate::routing::breaker::{Outcome, Policies};
    use crate::store::protocol::Finding;
    use crate::time::Instant;

    fn command(nonce: u64) -> Command {
        let finding =
            Finding { breaker: "a".into(), policies: Policies::default(), outcome: Outcome::Success };
        let moment = Moment { now: Instant::default(), nonce };
        Codec::new("default", Clock::Server).report_probe(&finding, 1, 2, moment)
    }

    #[test]
    fn there_is_room_for_so_many_and_the_rest_is_told_so() {
        let mut backlog = Backlog::default();
        for nonce in 0..5000 {
            let outcome = backlog.push(command(nonce));
            assert_eq!(outcome, if nonce < 4096 { Ok(()) } else { Err(Untold::Full) }, "{nonce}");
        }
        assert_eq!(backlog.len(), 4096);
        assert_eq!(backlog.pop().unwrap().command.nonce, 0, "the first comes first");
        backlog.push(command(7)).unwrap();
        while backlog.pop().is_some() {}
        assert_eq!(backlog.bytes, 0);
    }

    #[test]
    fn what_may_have_been_told_says_so_and_is_given_up_in_the_end() {
        let mut backlog = Backlog::default();
        let first = command(1);
        backlog.push(first.clone()).unwrap();
        for _ in 1..MOST_TRIES {
            let waiting = backlog.pop().unwrap();
            backlog.put_back(waiting).unwrap();
        }
        let waiting = backlog.pop().unwrap();
        assert_ne!(waiting.command.said.as_bytes(), first.said.as_bytes());
        assert_eq!(backlog.put_back(waiting), Err(Untold::Refused));
        assert!(backlog.is_empty());
    }
}

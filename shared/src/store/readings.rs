//! How often the store is asked for whoever looks at `/ready` or `/metrics`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::routing::breaker::control::Listing;
use crate::store::protocol::StoreLost;
use crate::time::Instant;

/// Readings of the store that a process takes in a [`SPAN`]; whoever asks more often is told what was read last.
const MOST: u32 = 50;

const SPAN: Duration = Duration::from_millis(100);

/// What a process has read of its store's breakers lately.
#[derive(Debug, Default)]
pub struct Readings(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    began: Instant,
    /// Since then.
    taken: u32,
    last: Option<Result<Listing, StoreLost>>,
}

/// What whoever asks is to do.
pub(crate) enum Next {
    Read,
    Known(Result<Listing, StoreLost>),
    Wait,
}

impl Readings {
    pub(crate) fn next(&self, now: Instant) -> Next {
        let mut recent = self.recent();
        if recent.take(now) {
            return Next::Read;
        }
        recent.last.clone().map_or(Next::Wait, Next::Known)
    }

    /// What was read, for whoever asks next.
    pub(crate) fn note(&self, read: Result<Listing, StoreLost>) {
        self.recent().last = Some(read);
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    /// Whether whoever asks is to read by himself.
    fn take(&mut self, now: Instant) -> bool {
        if now.since(self.began) >= SPAN || self.began > now {
            (self.began, self.taken) = (now, 0);
        }
        let may = self.taken < MOST;
        self.taken += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_so_many_readings_and_no_more() {
        let mut recent = Recent::default();
        let at = |millis: u64| Instant::from_micros(millis * 1000);
        let taken = |recent: &mut Recent, millis| (0..99).filter(|_| recent.take(at(millis))).count();
        assert_eq!(taken(&mut recent, 5_000), 50);
        assert_eq!(taken(&mut recent, 5_099), 0);
        assert_eq!(taken(&mut recent, 5_100), 50);
    }
}

//! Several visits at once, on one shell.

use crate::shell::Shell;
use crate::visit::{Step, Visit};

/// Polls every visit until nothing moves any more without the clock.
pub fn stir(visits: &mut [Visit]) {
    loop {
        let mut moved = false;
        for visit in &mut *visits {
            moved |= visit.poll_client() == Step::Moved;
            moved |= visit.poll_settlement() == Step::Moved;
        }
        if !moved {
            return;
        }
    }
}

/// Polls every visit to its end and closes all books, the clock moving whenever nothing else does.
pub fn all_to_the_end(shell: &Shell, visits: &mut [Visit]) {
    loop {
        stir(visits);
        if visits.iter().all(Visit::is_over) {
            return;
        }
        assert!(shell.clock().advance(), "they wait for nothing: {visits:?}");
    }
}

//! Which choices of an answer have come to their ends.

/// Choices are told apart by their index. One with a higher index is not known to be asked for by anyone.
const MOST: u64 = 1 << 20;

/// The choices that were seen, and those that have ended. A choice that has ended stays so: some upstreams send
/// filter results of it behind its end.
#[derive(Debug, Default)]
pub(super) struct Progress {
    seen: Bits,
    ended: Bits,
    /// How many there are in each.
    counts: (u64, u64),
}

/// The index is beyond all bounds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooHigh;

#[derive(Debug, Default)]
struct Bits {
    first: u64,
    /// Few ask for more than 64 choices.
    rest: Vec<u64>,
}

impl Progress {
    pub(super) fn note(&mut self, index: u64, is_ended: bool) -> Result<(), TooHigh> {
        if index >= MOST {
            return Err(TooHigh);
        }
        self.counts.0 += u64::from(self.seen.set(index));
        if is_ended {
            self.counts.1 += u64::from(self.ended.set(index));
        }
        Ok(())
    }

    /// Whether there was a choice, and every one that was seen has ended.
    pub(super) fn is_over(&self) -> bool {
        self.counts.0 > 0 && self.counts.0 == self.counts.1
    }
}

impl Bits {
    /// Whether it was not set before.
    fn set(&mut self, index: u64) -> bool {
        let (at, bit) = ((index / 64) as usize, 1 << (index % 64));
        let word = match at.checked_sub(1) {
            None => &mut self.first,
            Some(at) => {
                if self.rest.len() <= at {
                    self.rest.resize(at + 1, 0);
                }
                &mut self.rest[at]
            }
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_over_when_every_choice_that_was_seen_has_ended() {
        for indices in [&[0][..], &[0, 1], &[63, 64, 65], &[7, 200, 1 << 19]] {
            let mut progress = Progress::default();
            assert!(!progress.is_over());
            for index in indices {
                progress.note(*index, false).unwrap();
            }
            for index in indices {
                assert!(!progress.is_over(), "{indices:?}");
                progress.note(*index, true).unwrap();
            }
            assert!(progress.is_over(), "{indices:?}");
            // What comes behind its end does not begin it again; another choice does.
            progress.note(indices[0], false).unwrap();
            assert!(progress.is_over());
            progress.note(9, false).unwrap();
            assert!(!progress.is_over());
        }
    }

    #[test]
    fn an_index_beyond_all_bounds_takes_no_memory() {
        let mut progress = Progress::default();
        assert_eq!(progress.note(MOST, false), Err(TooHigh));
        assert_eq!(progress.note(u64::MAX, true), Err(TooHigh));
        assert!(progress.seen.rest.is_empty());
    }
}

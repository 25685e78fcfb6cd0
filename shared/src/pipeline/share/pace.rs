//! How often the store is asked whether a call that somebody else makes has its answer.

use std::time::Duration;

/// Where questions are counted, an early answer is looked for at least this often.
const EARLY: Duration = Duration::from_millis(400);

/// Until so long has been waited.
const SOON: Duration = Duration::from_secs(2);

/// The pauses of one wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    next: Duration,
    longest: Duration,
    /// Each question costs, and there is a bound on them: behind the first seconds a pause is four fifths of what was
    /// waited before it. So ten minutes have no more than twenty questions.
    is_counted: bool,
    waited: Duration,
}

impl Pace {
    /// Pauses that double from the first one to the longest, unless questions are counted.
    pub(crate) const fn new((first, longest): (Duration, Duration), is_counted: bool) -> Self {
        Self { next: first, longest, is_counted, waited: Duration::ZERO }
    }

    /// How long the next pause is.
    pub(crate) fn pause(&self) -> Duration {
        match (self.is_counted, self.waited < SOON) {
            (false, _) => self.next.min(self.longest),
            (true, true) => self.next.min(EARLY),
            (true, false) => self.waited.mul_f64(0.8),
        }
    }

    /// It is over.
    pub(crate) fn paused(&mut self) {
        self.waited += self.pause();
        self.next = self.next.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

    /// Questions in so long, the first one with them, and the longest pause as a part of what was waited by then.
    fn questions(seconds: u64, is_counted: bool) -> u32 {
        let (mut pace, mut asked) = (Pace::new(SPAN, is_counted), 1);
        while pace.waited < Duration::from_secs(seconds) {
            pace.paused();
            asked += 1;
        }
        asked
    }

    #[test]
    fn where_questions_are_counted_no_wait_has_more_than_twenty() {
        for seconds in [1, 19, 60, 600] {
            let asked = questions(seconds, true);
            assert!(asked <= 20, "{asked} in {seconds} s");
        }
        assert!(questions(19, false) > 70);
    }

    #[test]
    fn an_early_answer_is_seen_early() {
        let mut pace = Pace::new(SPAN, true);
        while pace.waited < SOON {
            assert!(pace.pause() <= EARLY);
            pace.paused();
        }
    }
}

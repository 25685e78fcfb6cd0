//! A limit that finds itself: it grows while answers come as fast as they do with room to spare, and shrinks
//! when they are slower than that, because then calls wait for each other somewhere behind.
//!
//! The arithmetic is Gradient2 of Netflix's concurrency-limits
//! (<https://github.com/Netflix/concurrency-limits>, `Gradient2Limit`, `rttTolerance` 1.5), in whole numbers:
//!
//! ```text
//! gradient = clamp(tolerance × long / short, ½, 1)       tolerance 1.5
//! target   = limit × gradient + √limit                   the headroom: it always tries a little more
//! limit    = limit × 0.8 + target × 0.2                  within least..=most
//! ```
//!
//! `short` is the mean over a window of about one round trip, so that a limit sees its own effect before it
//! moves again. Calls that began with more than half of the slots taken are *busy* and move the limit: one
//! that is not used does not grow.
//!
//! Where it departs from Gradient2: there `long` averages all samples, so under steady overload it climbs to
//! what overload looks like, the gradient goes to 1, and the limit grows to `most`. Here `long` learns from
//! *calm* calls, those that began with at most half of the slots taken, and from busy ones only when they are
//! faster. Quiet hours have plenty of calm calls. In a long rush there are none, so whenever busy answers are
//! noticeably slower than `long`, or nothing is known yet, the limiter **looks**: it goes down to half of the
//! slots, even below `least`, for one window of calm calls. If they are faster, the limit was too high; if
//! not, the upstream has become slower by itself and `long` follows. (Envoy's adaptive concurrency filter
//! measures its minimum in the same way, with three calls at a time.) On the way down every second slot that
//! comes free is handed out: streams last long, and nobody would get in for half of that time. Where answers
//! are as fast as ever nothing of this is done.
//!
//! A dropped call cuts the limit by a tenth, once for all calls that were under way together.

use std::mem;
use std::time::Duration;

use super::Verdict;

/// What 1 is in the arithmetic.
const ONE: u64 = 1024;

/// 1.5: so much slower than `long` is still no sign of waiting.
const TOLERANCE: u64 = ONE * 3 / 2;

/// A target counts one part in this many.
const SMOOTHING: u64 = 5;

/// What `long` hears of by the way counts one part in this many.
const MEMORY: u64 = 4;

/// What it has looked for counts one part in this many.
const LOOK_MEMORY: u64 = 2;

/// Samples of a window at least.
const FEWEST: u64 = 10;

/// Busy windows from one look to the next, at least.
const LOOK_EVERY: u32 = 8;

/// Where it begins, within its bounds.
const START: u32 = 20;

/// No first byte takes longer, for the arithmetic.
const SLOWEST: Duration = Duration::from_hours(1);

/// How things stood when a call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// At most half of the slots were taken.
    Calm,
    Busy,
}

#[derive(Debug)]
pub(super) struct Gradient {
    least: u64,
    most: u64,
    /// In parts of [`ONE`].
    limit: u64,
    /// The time of calm calls in microseconds.
    long: Option<u64>,
    calm: Window,
    busy: Window,
    phase: Phase,
    /// Calls that were under way at the last cut and are not over: their drops are no news.
    excused: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many busy windows since the last look.
    Usual(u32),
    /// So many calls were over since the look began.
    Looking(u64),
}

/// Calls that ended since it began.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    ended: u64,
    answered: u64,
    /// Of the answered ones, in microseconds.
    sum: u64,
}

impl Window {
    fn add(&mut self, took: Duration, verdict: Verdict) {
        self.ended += 1;
        match verdict {
            Verdict::Success => {
                let micros = u64::try_from(took.min(SLOWEST).as_micros()).unwrap_or(u64::MAX);
                self.answered += 1;
                self.sum = self.sum.saturating_add(micros);
            }
            Verdict::Dropped | Verdict::Ignore => {}
        }
    }

    /// The mean, at least a microsecond, if there is enough to go by.
    fn mean(&self) -> Option<u64> {
        let is_enough = self.answered > 0 && self.answered * 2 >= self.ended;
        is_enough.then(|| (self.sum / self.answered).max(1))
    }
}

impl Gradient {
    /// Begins at 20, or as near as the bounds allow. Both are at least 1; `most` is at least `least`.
    pub(super) fn between(least: u32, most: u32) -> Self {
        let mut gradient = Self {
            least: 0,
            most: 0,
            limit: u64::from(START) * ONE,
            long: None,
            calm: Window::default(),
            busy: Window::default(),
            phase: Phase::Usual(LOOK_EVERY),
            excused: 0,
        };
        gradient.keep_within(least, most);
        gradient
    }

    pub(super) fn keep_within(&mut self, least: u32, most: u32) {
        self.least = u64::from(least.max(1)) * ONE;
        self.most = (u64::from(most) * ONE).max(self.least);
        self.set(self.limit);
    }

    /// How many may go now; at least 1.
    pub(super) fn limit(&self) -> u32 {
        let slots = match self.phase {
            Phase::Usual(_) => self.slots(),
            // There are at least 2.
            Phase::Looking(over) => self.slots().saturating_sub(over / 2).max(self.slots() / 2),
        };
        u32::try_from(slots).unwrap_or(u32::MAX)
    }

    pub(super) fn setting(&self, in_flight: u32) -> Setting {
        if u64::from(in_flight) <= self.slots() / 2 { Setting::Calm } else { Setting::Busy }
    }

    /// One call is over.
    pub(super) const fn leave(&mut self) {
        if let Phase::Looking(over) = &mut self.phase {
            *over = over.saturating_add(1);
        }
    }

    /// One call has had its first byte, or will not have one.
    pub(super) fn observe(&mut self, setting: Setting, took: Duration, verdict: Verdict) {
        match verdict {
            Verdict::Dropped if self.excused == 0 => {
                self.excused = self.slots();
                self.set(self.limit - self.limit / 10);
            }
            Verdict::Dropped | Verdict::Success | Verdict::Ignore => {
                self.excused = self.excused.saturating_sub(1);
            }
        }
        match (setting, self.phase) {
            (Setting::Calm, _) => {
                self.calm.add(took, verdict);
                if self.calm.ended >= (self.slots() / 2).max(FEWEST) {
                    self.end_calm_window();
                }
            }
            (Setting::Busy, Phase::Usual(windows)) => {
                self.busy.add(took, verdict);
                if self.busy.ended >= self.slots().max(FEWEST) {
                    self.end_busy_window(windows.saturating_add(1));
                }
            }
            // From before the look, or on the way down.
            (Setting::Busy, Phase::Looking(_)) => {}
        }
    }

    const fn slots(&self) -> u64 {
        self.limit / ONE
    }

    fn set(&mut self, limit: u64) {
        self.limit = limit.clamp(self.least, self.most);
        if self.slots() < 2 {
            // There is no half of it to look from.
            self.phase = Phase::Usual(0);
        }
    }

    fn end_calm_window(&mut self) {
        let window = mem::take(&mut self.calm);
        let memory = match self.phase {
            Phase::Usual(_) => MEMORY,
            Phase::Looking(_) => {
                self.phase = Phase::Usual(0);
                self.busy = Window::default();
                LOOK_MEMORY
            }
        };
        if let Some(mean) = window.mean() {
            self.learn(mean, memory);
        }
    }

    fn end_busy_window(&mut self, windows: u32) {
        self.phase = Phase::Usual(windows);
        let window = mem::take(&mut self.busy);
        let Some(short) = window.mean() else { return };
        if self.long.is_some_and(|long| short < long) {
            self.learn(short, MEMORY);
        }
        let can_look = self.slots() >= 2 && self.least < self.most;
        let (is_due, gradient) = match self.long {
            None => (true, ONE),
            Some(long) => {
                let is_slower = short > long + long / 4;
                (is_slower && windows >= LOOK_EVERY, (TOLERANCE * long / short).clamp(ONE / 2, ONE))
            }
        };
        if can_look && is_due {
            self.phase = Phase::Looking(0);
            self.calm = Window::default();
        }
        if self.long.is_some() || !can_look {
            let target = self.limit * gradient / ONE + (self.limit * ONE).isqrt();
            self.set(self.limit - self.limit / SMOOTHING + target / SMOOTHING);
        }
    }

    fn learn(&mut self, mean: u64, memory: u64) {
        self.long = Some(self.long.map_or(mean, |long| long - long / memory + mean / memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// So many calls that all begin beside as many as there may be.
    fn rush(gradient: &mut Gradient, calls: u32, took: Duration) {
        for _ in 0..calls {
            let setting = gradient.setting(gradient.limit());
            gradient.observe(setting, took, Verdict::Success);
            gradient.leave();
        }
    }

    #[test]
    fn it_begins_at_twenty_within_its_bounds() {
        for (least, most, start) in [(1, 400, 20), (1, 8, 8), (50, 400, 50), (0, 0, 1), (30, 10, 30)] {
            assert_eq!(Gradient::between(least, most).limit(), start, "{least}..={most}");
        }
    }

    #[test]
    fn it_grows_by_a_fifth_of_its_root_in_a_round_trip_while_answers_stay_as_fast() {
        let mut gradient = Gradient::between(1, 1000);
        gradient.keep_within(100, 100);
        gradient.keep_within(1, 1000);
        // The first window shows that nothing is known; the second one is the look.
        rush(&mut gradient, 100, 10 * MS);
        assert_eq!(gradient.limit(), 100);
        rush(&mut gradient, 200, 10 * MS);
        assert_eq!(gradient.long, Some(10_000));
        gradient.busy = Window::default();
        for limit in [102, 104, 106] {
            let window = gradient.limit();
            rush(&mut gradient, window, 14 * MS);
            assert_eq!(gradient.limit(), limit, "14 ms are within the tolerance of 10 ms");
        }
        rush(&mut gradient, 1_000_000, 10 * MS);
        assert_eq!(gradient.limit(), 1000);
    }

    #[test]
    fn it_does_not_grow_while_it_is_not_used() {
        let mut gradient = Gradient::between(1, 1000);
        for call in 0..10_000 {
            let setting = gradient.setting(call % 10 + 1);
            assert_eq!(setting, Setting::Calm);
            gradient.observe(setting, 10 * MS, Verdict::Success);
        }
        assert_eq!((gradient.limit(), gradient.long), (20, Some(10_000)));
    }

    #[test]
    fn slow_answers_shrink_it_by_no_more_than_a_tenth_in_a_round_trip() {
        let mut gradient = Gradient::between(1, 1000);
        gradient.keep_within(100, 100);
        gradient.keep_within(1, 1000);
        gradient.long = Some(10_000);
        rush(&mut gradient, 100, 10_000 * MS);
        assert_eq!(gradient.limit(), 92, "a tenth less, a fifth of the root more");
    }

    #[test]
    fn calls_that_were_dropped_together_cut_it_once() {
        let mut gradient = Gradient::between(1, 1000);
        for _ in 0..20 {
            gradient.observe(Setting::Busy, MS, Verdict::Dropped);
        }
        assert_eq!(gradient.limit(), 18);
        gradient.observe(Setting::Busy, MS, Verdict::Dropped);
        assert_eq!(gradient.limit(), 18, "the twentieth of those that were excused");
        gradient.observe(Setting::Busy, MS, Verdict::Dropped);
        assert_eq!(gradient.limit(), 16);
        for _ in 0..10_000 {
            gradient.observe(Setting::Busy, MS, Verdict::Dropped);
        }
        assert_eq!(gradient.limit(), 1, "and never to nothing");
    }

    #[test]
    fn a_look_goes_down_call_by_call_and_ends() {
        let mut gradient = Gradient::between(1, 1000);
        // The last of these is over when the look has begun.
        rush(&mut gradient, 20, 10 * MS);
        assert_eq!(gradient.phase, Phase::Looking(1));
        for limit in [19, 19, 18, 18] {
            gradient.leave();
            assert_eq!(gradient.limit(), limit);
        }
        for _ in 0..100 {
            gradient.leave();
        }
        assert_eq!(gradient.limit(), 10);
        // Even if all of them are given up: the look does not last for want of answers.
        for _ in 0..10 {
            gradient.observe(gradient.setting(10), MS, Verdict::Ignore);
        }
        assert_eq!((gradient.limit(), gradient.long), (20, None));
    }

    #[test]
    fn an_upstream_that_is_slower_by_itself_gets_its_limit_back() {
        let mut gradient = Gradient::between(1, 100);
        rush(&mut gradient, 10_000, 10 * MS);
        assert_eq!(gradient.limit(), 100);
        let mut least = u32::MAX;
        for _ in 0..10_000 {
            rush(&mut gradient, 1, 40 * MS);
            least = least.min(gradient.limit());
        }
        assert!((5..100).contains(&least), "{least}");
        assert_eq!(gradient.limit(), 100);
    }

    #[test]
    fn no_time_is_too_long_or_too_short() {
        let mut gradient = Gradient::between(1, u32::MAX);
        for took in [Duration::MAX, Duration::ZERO, Duration::MAX] {
            rush(&mut gradient, 10_000, took);
            assert!(gradient.limit() >= 1);
        }
        gradient.keep_within(u32::MAX, u32::MAX);
        gradient.observe(Setting::Busy, Duration::MAX, Verdict::Dropped);
        assert_eq!(gradient.limit(), u32::MAX);
    }
}

//! The number of slots, as the policy has it at the moment.

use std::time::Duration;

use super::gradient::{Gradient, Setting};
use super::{Bound, Verdict};

/// What a [`Bound`] has come to. The default lets nobody in; it lasts until the first newcomer brings a
/// policy.
#[derive(Debug)]
pub(super) enum Ceiling {
    Fixed(u32),
    Adaptive(Gradient),
}

impl Default for Ceiling {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl Ceiling {
    /// At least 1 once there is a policy.
    pub(super) fn limit(&self) -> u32 {
        match self {
            Self::Fixed(limit) => *limit,
            Self::Adaptive(gradient) => gradient.limit(),
        }
    }

    /// Takes a bound that may be new. What was learned is kept between adaptive ones.
    pub(super) fn follow(&mut self, bound: Bound) {
        match (bound, &mut *self) {
            (Bound::Fixed(limit), _) => *self = Self::Fixed(limit.max(1)),
            (Bound::Adaptive { least, most }, Self::Adaptive(gradient)) => gradient.keep_within(least, most),
            (Bound::Adaptive { least, most }, Self::Fixed(_)) => {
                *self = Self::Adaptive(Gradient::between(least, most));
            }
        }
    }

    /// How things stand for a call that makes it so many under way.
    pub(super) fn setting(&self, in_flight: u32) -> Setting {
        match self {
            Self::Fixed(_) => Setting::Busy,
            Self::Adaptive(gradient) => gradient.setting(in_flight),
        }
    }

    /// One call is over.
    pub(super) const fn leave(&mut self) {
        if let Self::Adaptive(gradient) = self {
            gradient.leave();
        }
    }

    /// One call has had its first byte, or will not have one.
    pub(super) fn observe(&mut self, setting: Setting, took: Duration, verdict: Verdict) {
        if let Self::Adaptive(gradient) = self {
            gradient.observe(setting, took, verdict);
        }
    }
}

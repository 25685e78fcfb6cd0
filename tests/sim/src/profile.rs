//! What a run is about.

use std::fmt;

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// More than limits, turns and upstreams can take.
    Flood,
    /// Upstreams fail in every way there is.
    FailingUpstream,
    /// Everything fails at once, and neither limits nor breakers hold anybody back.
    RetryStorm,
    /// The store is late, lost, or heard of too late.
    StoreLoss,
    /// Replicas die, and requests panic.
    Crash,
    /// The same is asked again and again, at the same time, with keys and directives.
    CacheStorm,
    /// Answers of megabytes, and clients that read slowly.
    SlowReaders,
    /// Some of all.
    Mixed,
}

impl Profile {
    pub const ALL: [Self; 8] = [
        Self::Flood,
        Self::FailingUpstream,
        Self::RetryStorm,
        Self::StoreLoss,
        Self::Crash,
        Self::CacheStorm,
        Self::SlowReaders,
        Self::Mixed,
    ];

    /// As `WEIR_SIM_PROFILE` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::FailingUpstream => "failing-upstream",
            Self::RetryStorm => "retry-storm",
            Self::StoreLoss => "store-loss",
            Self::Crash => "crash",
            Self::CacheStorm => "cache-storm",
            Self::SlowReaders => "slow-readers",
            Self::Mixed => "mixed",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

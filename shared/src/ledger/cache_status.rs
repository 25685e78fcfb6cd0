//! What the cache had to do with a call.

/// What the cache had to do with an answer, as `x-cache` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Hit,
    /// Older than the route's `ttl`.
    Stale,
    Miss,
    /// This call goes by the cache.
    Bypass,
    /// Shared with an identical call in flight.
    Coalesced,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Stale => "STALE",
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
            Self::Coalesced => "COALESCED",
        }
    }
}

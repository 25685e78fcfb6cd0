//! Overload: how many calls go at the same time, who waits, and who is turned away.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// How many calls go at the same time, and how many wait for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    pub bound: Bound,
    /// Calls that wait at most.
    pub queue: u32,
    /// How long one waits at most.
    pub wait: Duration,
}

/// The number of calls at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Fixed(u32),
    /// Found by the gradient of the time to the first byte, between these.
    Adaptive {
        least: u32,
        most: u32,
    },
}

/// Whose calls go first when some have to wait, and are turned away last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

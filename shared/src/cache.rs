//! The cache: which calls it answers, for how long, and for whom.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

/// What a route keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an answer is fresh. Default 5 min.
    pub ttl: Duration,
    pub scope: Sharing,
    /// In millionths: calls with a higher `temperature` go by the cache. A call that says none has 1.
    pub max_temperature: Option<u32>,
    /// Behind `ttl` an answer is still given for this long while a new one is fetched. Default 0.
    pub stale_while_revalidate: Duration,
    /// Behind `ttl` an answer is still given for this long when no upstream gives one. Default 0.
    pub stale_if_error: Duration,
    /// Whether identical calls in flight share one upstream call. Default true.
    pub coalesce: bool,
    /// Bytes of the longest answer that is kept. Default 4 MiB.
    pub max_entry: u64,
}

/// Who may be given an answer that somebody else has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Callers of the same tenant.
    #[default]
    Tenant,
    /// All callers of the gateway.
    Shared,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(5),
            scope: Sharing::Tenant,
            max_temperature: None,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            coalesce: true,
            max_entry: 4 << 20,
        }
    }
}

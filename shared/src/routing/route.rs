//! A route: which models it takes, where it leads, and on which terms.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::cache;
use crate::dialect::defaults::Defaults;
use crate::dialect::model_pattern::Pattern;
use crate::ledger::failure::Condition;
use crate::limits::Limits;
use crate::routing::breaker;
use crate::routing::retry::Retry;
use crate::routing::upstream::UpstreamId;

/// A model pattern and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub pattern: Pattern,
    /// Never empty; weights sum to at least 1.
    pub to: Vec<Target>,
    pub fallback: Vec<Target>,
    pub fallback_on: Vec<Condition>,
    pub pick: Pick,
    pub sticky: Sticky,
    pub on_disconnect: OnDisconnect,
    pub retry: Retry,
    /// Names that `GET /v1/models` lists for a glob.
    pub advertise: Vec<String>,
    /// Its own, or the gateway's.
    pub defaults: Defaults,
    /// Of all callers together.
    pub limits: Limits,
    /// The policy of its deployments' breakers, in place of the upstreams'; those of the whole upstreams keep theirs.
    pub breaker: Option<breaker::Policy>,
    /// `None`: nothing of this route is kept.
    pub cache: Option<cache::Policy>,
    /// How long a stream may be held back for its first content, from the upstream's head on. Default 5 s.
    pub hold_back: Duration,
    /// After how long a silence of a stream its client is sent a comment; `None`: none is. Default 15 s.
    pub keep_alive: Option<Duration>,
}

/// A deployment: an upstream and that upstream's own name for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub upstream: UpstreamId,
    /// `None` leaves the name as it is.
    pub model: Option<String>,
    pub weight: u32,
}

/// How the first target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// By weight.
    Weighted,
    /// The lowest moving average of the time to the first byte.
    Fastest,
    /// The fewest calls in flight for its weight.
    LeastBusy,
}

/// What keeps to the same target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    #[serde(skip)]
    Nothing,
    /// Each caller stays with the target it was first given.
    Caller,
}

/// What happens to the upstream call when the client has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDisconnect {
    /// End it.
    Cancel,
    /// Read it to its end, so that its usage is known.
    Finish,
}

//! The cache: which calls it answers, for how long, and for whom.
//!
//! Only complete answers are kept, as their upstream sent them, and only callers of the tenant that asked are
//! given them again, unless a route says `scope = "shared"`. How old an answer may be is for the route to say and
//! for the client's `cache-control` to narrow (RFC 9111, 5.2.1; RFC 5861 for what is stale).

mod directives;
pub mod fingerprint;
pub mod in_flight;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::directives::Directives;
use crate::dialect::endpoint::{Form, Operation};

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
    pub place: Place,
}

/// Where a Worker keeps answers. Elsewhere they are kept with everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the cache of the data centre that the call has come to.
    #[default]
    Edge,
    /// There, and in KV, where every data centre finds them after a while.
    Kv,
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
            place: Place::Edge,
        }
    }
}

impl Policy {
    /// How long an answer has to be kept for all that the policy may want of it.
    pub fn life(&self) -> Duration {
        self.ttl.saturating_add(self.stale_while_revalidate.max(self.stale_if_error))
    }

    /// What this client may be given. `None`: nothing that is kept.
    pub fn window(&self, directives: Directives) -> Option<Window> {
        if directives.no_cache || directives.no_store {
            return None;
        }
        let Directives { max_age, max_stale, min_fresh, .. } = directives;
        let ttl = self.ttl.saturating_add(max_stale.unwrap_or_default());
        let fresh = max_age.map_or(ttl, |max_age| ttl.min(max_age)).saturating_sub(min_fresh);
        // Who asks for something younger is not content with what is being replaced.
        let is_particular = max_age.is_some() || !min_fresh.is_zero();
        let replaced = self.ttl.saturating_add(self.stale_while_revalidate).max(fresh);
        Some(Window {
            fresh,
            revalidate: if is_particular { fresh } else { replaced },
            if_error: self.ttl.saturating_add(self.stale_if_error).max(fresh),
            ttl: self.ttl,
        })
    }

    /// Whether a call with this `temperature`, in millionths, is answered from the cache.
    pub fn takes(&self, temperature: u32) -> bool {
        self.max_temperature.is_none_or(|most| temperature <= most)
    }
}

/// Up to which age an answer may be given, and on which terms. Each bound is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// As it is.
    pub fresh: Duration,
    /// While a new one is fetched.
    pub revalidate: Duration,
    /// If there is no new one to be had.
    pub if_error: Duration,
    /// Behind which it is called stale.
    pub ttl: Duration,
}

/// On which terms an answer of some age may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    Revalidate,
    IfError,
}

impl Window {
    pub fn freshness(&self, age: Duration) -> Option<Freshness> {
        if age < self.fresh {
            Some(Freshness::Fresh)
        } else if age < self.revalidate {
            Some(Freshness::Revalidate)
        } else if age < self.if_error {
            Some(Freshness::IfError)
        } else {
            None
        }
    }
}

/// A complete answer, as its upstream sent it. Its `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub operation: Operation,
    pub form: Form,
    /// Of a whole body; empty where the upstream said none.
    pub content_type: String,
    /// The model as the answer calls it.
    pub model: String,
    pub body: Bytes,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, form, body, .. } = self;
        f.debug_struct("Entry")
            .field("operation", operation)
            .field("form", form)
            .field("bytes", &body.len())
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// Bytes it takes to keep it.
    pub fn weight(&self) -> u64 {
        /// Keys, lists and counts around it.
        const BESIDE: usize = 512;
        (self.body.len() + self.model.len() + self.content_type.len() + BESIDE) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_age_is_taken_on_the_terms_of_route_and_client() {
        use Freshness::{Fresh, IfError, Revalidate};
        let policy = Policy {
            ttl: seconds(100),
            stale_while_revalidate: seconds(50),
            stale_if_error: seconds(200),
            ..Policy::default()
        };
        for (directives, ages) in [
            (
                "",
                &[
                    (0, Some(Fresh)),
                    (99, Some(Fresh)),
                    (100, Some(Revalidate)),
                    (150, Some(IfError)),
                    (300, None),
                ][..],
            ),
            ("max-age=10", &[(9, Some(Fresh)), (10, Some(IfError)), (300, None)]),
            ("max-age=1000", &[(99, Some(Fresh)), (100, Some(IfError))]),
            ("min-fresh=30", &[(69, Some(Fresh)), (70, Some(IfError))]),
            ("max-stale=20", &[(119, Some(Fresh)), (120, Some(Revalidate)), (150, Some(IfError))]),
            ("max-age=0", &[(0, Some(IfError))]),
        ] {
            let window = policy.window(Directives::parse([directives])).unwrap();
            for (age, expected) in ages {
                assert_eq!(window.freshness(seconds(*age)), *expected, "{directives}: {age}");
            }
        }
        for directives in ["no-cache", "no-store"] {
            assert_eq!(policy.window(Directives::parse([directives])), None, "{directives}");
        }
        assert_eq!(policy.life(), seconds(300));
    }

    #[test]
    fn warm_calls_go_by_the_cache_where_the_route_says_so() {
        let policy = Policy { max_temperature: Some(300_000), ..Policy::default() };
        assert!(policy.takes(0) && policy.takes(300_000) && !policy.takes(300_001));
        assert!(Policy::default().takes(2_000_000));
    }
}

//! How much may be asked for, and how much is let in at a time.

pub mod account;
pub mod admission;
pub mod concurrency;
pub mod rate;

use schemars::JsonSchema;
use serde::Deserialize;

use self::rate::Rate;

/// How much may be asked for. The default limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// All of them hold.
    pub requests: Vec<Rate>,
    /// Prompt and answer together.
    pub tokens: Vec<Rate>,
    /// Calls at the same time.
    pub concurrent: Option<u64>,
    pub on_store_loss: OnStoreLoss,
}

/// What happens when the store that counts cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreLoss {
    /// Calls are refused.
    Closed,
    /// Calls are let through uncounted.
    Open,
    /// Each process counts for itself, up to its share of the limit.
    #[default]
    Local,
}

impl Limits {
    /// What one process admits by itself: `share` millionths of each limit, and at least one.
    #[must_use]
    pub fn share(&self, share: u32) -> Self {
        let part = |count: u64| {
            let part = u128::from(count) * u128::from(share) / 1_000_000;
            u64::try_from(part).unwrap_or(count).clamp(1, count.max(1))
        };
        let rates =
            |rates: &[Rate]| rates.iter().map(|rate| Rate { count: part(rate.count), ..*rate }).collect();
        Self {
            requests: rates(&self.requests),
            tokens: rates(&self.tokens),
            concurrent: self.concurrent.map(part),
            on_store_loss: self.on_store_loss,
        }
    }

    /// Nothing is limited, so nothing has to be counted.
    pub fn is_unlimited(&self) -> bool {
        self.requests.is_empty() && self.tokens.is_empty() && self.concurrent.is_none()
    }
}

//! What a store ought to do, written down simply and without a look at how it does it: a list of timestamps,
//! an exact level, a list of outcomes, a map.
//!
//! Each model is told what the store has answered, and says whether that can be right.

pub(crate) mod answers;
pub(crate) mod breakers;
pub(crate) mod limits;
pub(crate) mod retries;

use answers::Answers;
use breakers::Breakers;
use limits::Ledger;
use retries::Retries;

/// What is wrong.
pub(crate) type Wrong = String;

/// One store, as it should be.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) limits: Ledger,
    pub(crate) breakers: Breakers,
    pub(crate) answers: Answers,
    pub(crate) retries: Retries,
}

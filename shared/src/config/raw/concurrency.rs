//! Calls at the same time, in three forms.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;

use super::spelled::{Spelled, spelled};
use super::unit::Time;

/// Calls at the same time: a number, `unlimited`, or a table that also says who waits.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Concurrency {
    /// So many, at least 1.
    Number(#[schemars(range(min = 1))] u64),
    /// Any number.
    Word(Unlimited),
    /// How many, and who waits for how long.
    Table(ConcurrencyTable),
}

/// Any number.
#[derive(Clone, Copy, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(in crate::config) enum Unlimited {
    /// Any number.
    Unlimited,
}

/// How many calls go at the same time, and who waits for how long.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ConcurrencyTable {
    /// A number of calls, or `adaptive`: found by how long the upstream takes to answer.
    #[schemars(required)]
    pub(in crate::config) limit: Option<CallLimit>,
    /// With `limit = "adaptive"`: never fewer, at least 1. Default 4.
    pub(in crate::config) least: Option<u64>,
    /// With `limit = "adaptive"`: never more, up to 1000000. Default 1000.
    pub(in crate::config) most: Option<u64>,
    /// Calls that wait at most, up to 1000000; with 0 nobody waits. Default 1000 in front of the server, 100
    /// in front of an upstream.
    pub(in crate::config) queue: Option<u64>,
    /// How long one waits at most. Default `5s`.
    pub(in crate::config) wait: Option<Time>,
}

/// A number of calls, or `adaptive`.
#[derive(Clone, Copy, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum CallLimit {
    /// So many, at least 1.
    Number(#[schemars(range(min = 1))] u64),
    /// Found by how long the upstream takes to answer.
    Word(Adaptive),
}

/// Found by how long the upstream takes to answer.
#[derive(Clone, Copy, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(in crate::config) enum Adaptive {
    /// Found by how long the upstream takes to answer.
    Adaptive,
}

impl<'de> Spelled<'de> for Concurrency {
    const EXPECTED: &'static str =
        "a number of calls, \"unlimited\" or { limit = 100, queue = 100, wait = \"5s\" }";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        match text {
            "unlimited" => Ok(Self::Word(Unlimited::Unlimited)),
            "adaptive" => Err("has bounds of its own; write { limit = \"adaptive\" }"),
            _ => Err(
                "not a concurrency; write a number of calls, \"unlimited\" or { limit = 100, queue = 100 }",
            ),
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self::Number(number))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        ConcurrencyTable::deserialize(MapAccessDeserializer::new(table)).map(Self::Table)
    }
}

impl Spelled<'_> for CallLimit {
    const EXPECTED: &'static str = "a number of calls or \"adaptive\"";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        match text {
            "adaptive" => Ok(Self::Word(Adaptive::Adaptive)),
            _ => Err("not a limit; write a number of calls or \"adaptive\""),
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self::Number(number))
    }
}

spelled!(Concurrency, CallLimit);

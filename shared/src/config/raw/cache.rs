//! What a route keeps, in its two forms.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;

use super::spelled::{Spelled, spelled};
use super::unit::{Size, Time};
use crate::cache::{Place, Sharing};

/// Answers to be kept and given again for the same request.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Cache {
    /// `true` keeps answers, with the defaults; `false` keeps none.
    Switch(bool),
    /// Answers are kept, as the table says.
    Table(CacheTable),
}

/// How answers are kept, and for whom.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CacheTable {
    /// How long an answer is fresh, up to `720h`. Default `5m`.
    pub(in crate::config) ttl: Option<Time>,
    /// Who may be given an answer that somebody else has asked for. Default `tenant`.
    pub(in crate::config) scope: Option<Sharing>,
    /// Calls with a higher `temperature` go by the cache; one that says none has 1. From 0 to 2, with at most
    /// six decimals. Default: calls of any temperature are kept.
    #[schemars(range(min = 0, max = 2))]
    pub(in crate::config) max_temperature: Option<f64>,
    /// How long after `ttl` an answer is still given while a new one is fetched, up to `720h`. Default `0s`.
    pub(in crate::config) stale_while_revalidate: Option<Time>,
    /// How long after `ttl` an answer is still given when no upstream gives one, up to `720h`. Default `0s`.
    pub(in crate::config) stale_if_error: Option<Time>,
    /// Whether identical calls in flight share one upstream call. Default `true`.
    pub(in crate::config) coalesce: Option<bool>,
    /// Longest answer that is kept, up to `64MiB` and up to the `cache` of `[store]`. Default `4MiB`.
    pub(in crate::config) max_entry: Option<Size>,
    /// Where a Worker keeps the answers of this route. Default `edge`.
    pub(in crate::config) place: Option<Place>,
}

impl<'de> Spelled<'de> for Cache {
    const EXPECTED: &'static str = "true, false or a table such as { ttl = \"5m\" }";

    fn from_text(_: &str) -> Result<Self, &'static str> {
        Err("expected true, false or a table such as { ttl = \"5m\" }, found a text")
    }

    fn from_switch(is_on: bool) -> Option<Self> {
        Some(Self::Switch(is_on))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        CacheTable::deserialize(MapAccessDeserializer::new(table)).map(Self::Table)
    }
}

spelled!(Cache);

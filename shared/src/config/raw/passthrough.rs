//! What becomes of calls that pass through, in two forms.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;

use super::spelled::{Spelled, spelled};

/// The upstream of calls that name no model, or a table that also opens paths and says who may send such calls.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Passthrough {
    /// An upstream's name.
    Upstream(String),
    /// An upstream, paths that are opened, models.
    Table(PassthroughTable),
}

/// An upstream, paths that are opened, models.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PassthroughTable {
    /// The upstream that gets calls which name no model. Default: the first target of the route `*`, else the only
    /// upstream there is, else such calls are refused.
    pub(in crate::config) upstream: Option<String>,
    /// Paths that are passed through beside those that `OpenAI` documents: `/v1/rerank`, `/v1/jobs/*` (one segment),
    /// `/v1/jobs/**` (all beneath). Default: none.
    pub(in crate::config) paths: Option<Vec<String>>,
    /// Models that a call may reach which names none, such as an upstream's default: only callers that may use them
    /// all send such calls, `["*"]` for those that may use every model. Default: nobody is asked for any, but for
    /// understood calls, which want `["*"]`.
    pub(in crate::config) models: Option<Vec<String>>,
}

impl Default for Passthrough {
    fn default() -> Self {
        Self::Table(PassthroughTable::default())
    }
}

impl<'de> Spelled<'de> for Passthrough {
    const EXPECTED: &'static str = "an upstream's name or { upstream = \"NAME\", paths = [\"/v1/rerank\"] }";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Ok(Self::Upstream(text.to_owned()))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        PassthroughTable::deserialize(MapAccessDeserializer::new(table)).map(Self::Table)
    }
}

spelled!(Passthrough);

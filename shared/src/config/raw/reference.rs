//! Values that stand elsewhere, and targets in their two forms.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;

use super::spelled::{Spelled, spelled};

/// An address, or where it is found.
#[derive(Clone, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum BaseUrl {
    /// The address itself.
    Text(String),
    /// The environment variable that holds it.
    Env(FromEnv),
}

/// An environment variable (on Spin a variable, on a Worker a secret).
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FromEnv {
    /// Its name.
    #[schemars(required)]
    pub(in crate::config) env: Option<String>,
    /// What holds if it is not set.
    pub(in crate::config) default: Option<String>,
}

/// Where a credential is found: `{ env = "NAME" }` or `{ file = "PATH" }`. Never the credential itself.
#[derive(Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(in crate::config) struct ApiKey {
    /// The environment variable (on Spin the variable, on a Worker the secret) that holds it.
    pub(in crate::config) env: Option<String>,
    /// The file that holds it, such as a mounted secret.
    pub(in crate::config) file: Option<String>,
}

/// Where calls go: an upstream's name, or a table that says more.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Target {
    /// An upstream's name.
    Upstream(String),
    /// An upstream, its own name for the model, its share.
    Table(TargetTable),
}

/// An upstream, its own name for the model, its share.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TargetTable {
    /// The upstream's name.
    #[schemars(required)]
    pub(in crate::config) upstream: Option<String>,
    /// What the upstream calls the model; with Azure the deployment. Default: the name that was asked for,
    /// behind the aliases.
    pub(in crate::config) model: Option<String>,
    /// Its share of the calls, relative to the other targets. Default 1; 0 sends none.
    pub(in crate::config) weight: Option<u64>,
}

impl<'de> Spelled<'de> for BaseUrl {
    const EXPECTED: &'static str = "an address such as \"https://api.openai.com/v1\" or { env = \"NAME\" }";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Ok(Self::Text(text.to_owned()))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        FromEnv::deserialize(MapAccessDeserializer::new(table)).map(Self::Env)
    }
}

/// The long form of [`ApiKey`], which has no short one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyTable {
    env: Option<String>,
    file: Option<String>,
}

impl<'de> Spelled<'de> for ApiKey {
    const EXPECTED: &'static str = "{ env = \"NAME\" } or { file = \"PATH\" }";

    fn from_text(_: &str) -> Result<Self, &'static str> {
        Err("a key is not written here; say where it is found: { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        let ApiKeyTable { env, file } = ApiKeyTable::deserialize(MapAccessDeserializer::new(table))?;
        Ok(Self { env, file })
    }
}

impl<'de> Spelled<'de> for Target {
    const EXPECTED: &'static str = "an upstream's name or { upstream = \"NAME\", model = \"…\", weight = 1 }";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Ok(Self::Upstream(text.to_owned()))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        TargetTable::deserialize(MapAccessDeserializer::new(table)).map(Self::Table)
    }
}

spelled!(BaseUrl, ApiKey, Target);

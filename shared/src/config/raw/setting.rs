//! Numbers that may stand in the environment, so that one document serves several places.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::value::MapAccessDeserializer;

use super::spelled::{Spelled, spelled};

/// A number, or where it is found. Whole numbers that matter are far below those that a double cannot tell apart; two
/// types for two kinds of numbers would be read by twice the code, which counts in a component.
#[derive(Clone, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Setting {
    /// The number itself.
    Number(f64),
    /// The environment variable that holds it.
    Variable(FromVariable),
}

/// An environment variable (on Spin a variable, on a Worker a variable or secret) that holds a number.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FromVariable {
    /// Its name.
    #[schemars(required)]
    pub(in crate::config) env: Option<String>,
    /// What holds if it is not set.
    pub(in crate::config) default: Option<f64>,
}

impl<'de> Spelled<'de> for Setting {
    const EXPECTED: &'static str = "a number or { env = \"NAME\" }";

    fn from_text(_: &str) -> Result<Self, &'static str> {
        Err("expected a number or { env = \"NAME\" }, found a text")
    }

    /// Larger ones are out of every range that there is.
    fn from_number(number: u64) -> Option<Self> {
        Some(Self::Number(f64::from(u32::try_from(number).unwrap_or(u32::MAX))))
    }

    fn from_decimal(number: f64) -> Option<Self> {
        Some(Self::Number(number))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        FromVariable::deserialize(MapAccessDeserializer::new(table)).map(Self::Variable)
    }
}

spelled!(Setting);

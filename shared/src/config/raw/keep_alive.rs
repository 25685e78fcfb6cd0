//! When a silent stream's client is sent a comment.

use schemars::JsonSchema;

use super::spelled::{Spelled, spelled};
use super::unit::{Time, duration};

/// After how long a silence, or never.
#[derive(Clone, Copy, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum KeepAlive {
    /// After so long a silence.
    After(Time),
    /// Never.
    Word(Off),
}

/// Never.
#[derive(Clone, Copy, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(in crate::config) enum Off {
    /// Never.
    Off,
}

impl Spelled<'_> for KeepAlive {
    const EXPECTED: &'static str = "a duration such as \"15s\", or \"off\"";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        match text {
            "off" => Ok(Self::Word(Off::Off)),
            _ => duration(text).map(|span| Self::After(Time(span))),
        }
    }
}

spelled!(KeepAlive);

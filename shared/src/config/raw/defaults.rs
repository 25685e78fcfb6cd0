//! What calls are given that leave it to the gateway.

use schemars::JsonSchema;
use serde::Deserialize;

use super::setting::Setting;

/// What calls are given that leave it to the gateway: chat, completions and responses, each in its own words.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Defaults {
    /// Tokens of the longest answer, 1 to 10000000, for calls that name none in any way: `max_tokens` of chat and
    /// completions, `max_output_tokens` of responses.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(in crate::config) max_tokens: Option<Setting>,
    /// The same, but for chat as `max_completion_tokens`: models that reason refuse `max_tokens`.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(in crate::config) max_completion_tokens: Option<Setting>,
    /// The `temperature` of calls that name none, 0 to 2, with at most six decimals.
    #[schemars(range(min = 0, max = 2))]
    pub(in crate::config) temperature: Option<Setting>,
}

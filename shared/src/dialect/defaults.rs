//! What the gateway says for a client that says nothing: the longest answer, the temperature.
//!
//! A default is put into the body, so that the upstream hears it, limits count it and caches know it, as if the
//! client had written it. Whoever has said anything about it, in whatever name, keeps what he said: a default
//! corrects nobody and bounds nobody.

use std::fmt::Write as _;

use crate::dialect::endpoint::Operation;

/// What a route's calls are given where they say nothing. The default gives nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    pub longest: Option<Longest>,
    /// In millionths, 0 to 2,000,000.
    pub temperature: Option<u32>,
}

/// The longest answer, of each choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longest {
    /// At least 1.
    pub tokens: u64,
    pub in_chat: InChat,
}

/// What chat completions call the longest answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InChat {
    /// The old name. Every upstream knows it, but `OpenAI`'s reasoning models refuse it.
    MaxTokens,
    /// The new one, in which reasoning counts.
    MaxCompletionTokens,
}

/// The names under which a client may have said how long an answer may be.
pub(crate) const LONGEST: [&str; 3] = ["max_completion_tokens", "max_output_tokens", "max_tokens"];

pub(crate) const TEMPERATURE: &str = "temperature";

impl Longest {
    /// The field that says it; `None` where there is no answer to bound.
    pub(crate) const fn field(self, operation: Operation) -> Option<&'static str> {
        match (operation, self.in_chat) {
            (Operation::Chat, InChat::MaxCompletionTokens) => Some("max_completion_tokens"),
            (Operation::Chat, InChat::MaxTokens) | (Operation::Completions, _) => Some("max_tokens"),
            (Operation::Responses, _) => Some("max_output_tokens"),
            (Operation::Embeddings, _) => None,
        }
    }
}

impl Defaults {
    /// The temperature that `operation` is given, in millionths; `None` where there is nothing to sample.
    pub(crate) const fn temperature(&self, operation: Operation) -> Option<u32> {
        match operation {
            Operation::Chat | Operation::Completions | Operation::Responses => self.temperature,
            Operation::Embeddings => None,
        }
    }
}

/// As the official SDKs would write the number: `0.7`, and `1` for one.
pub(crate) fn spell(millionths: u32) -> String {
    let mut text = (millionths / 1_000_000).to_string();
    let part = millionths % 1_000_000;
    if part > 0 {
        // Writing to a String does not fail.
        let _ = write!(text, ".{part:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_is_spelled_as_short_as_it_goes() {
        for (millionths, expected) in [
            (0, "0"),
            (1, "0.000001"),
            (300_000, "0.3"),
            (700_000, "0.7"),
            (1_000_000, "1"),
            (1_050_000, "1.05"),
            (2_000_000, "2"),
        ] {
            assert_eq!(spell(millionths), expected);
        }
    }
}

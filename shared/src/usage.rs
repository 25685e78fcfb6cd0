//! Tokens, and where their count comes from.

mod reported;

use serde::Deserialize;

pub(crate) use self::reported::{Framing, Reader};
use crate::call::BYTES_PER_TOKEN;

/// A number of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tokens(pub u64);

impl Tokens {
    /// An estimate from bytes of text, rounded up.
    pub const fn estimate(bytes: usize) -> Self {
        Self(bytes.div_ceil(BYTES_PER_TOKEN) as u64)
    }
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The upstream reported it.
    Reported,
    /// Nobody reported it: chunks were counted, the prompt was estimated.
    Counted,
    /// There was no answer to count.
    Nothing,
}

impl Source {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Counted => "counted",
            Self::Nothing => "nothing",
        }
    }
}

/// What a call has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub input: Tokens,
    /// Part of `input` that the upstream read from its cache.
    pub cached: Tokens,
    pub output: Tokens,
    /// Part of `output` that was reasoning.
    pub reasoning: Tokens,
    pub source: Source,
}

impl Usage {
    pub const NOTHING: Self = Self {
        input: Tokens(0),
        cached: Tokens(0),
        output: Tokens(0),
        reasoning: Tokens(0),
        source: Source::Nothing,
    };

    /// Reads a `usage` object, in the names of chat completions or of responses. `None` when it is another
    /// thing (`null` most of all). A total alone, as rerankers say it, is all input.
    pub fn read(text: &str) -> Option<Self> {
        let reported = serde_json::from_str::<Option<Reported>>(text).ok()??;
        let Reported { prompt_tokens, input_tokens, total_tokens, .. } = reported;
        let Reported { completion_tokens, output_tokens, input, output, .. } = reported;
        let tokens = |of: Option<u64>| Tokens(of.unwrap_or(0));
        Some(Self {
            input: Tokens(prompt_tokens.or(input_tokens).or(total_tokens)?),
            cached: tokens(input.and_then(|details| details.cached_tokens)),
            output: tokens(completion_tokens.or(output_tokens)),
            reasoning: tokens(output.and_then(|details| details.reasoning_tokens)),
            source: Source::Reported,
        })
    }
}

#[derive(Deserialize)]
struct Reported {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    #[serde(rename = "prompt_tokens_details", alias = "input_tokens_details")]
    input: Option<Details>,
    #[serde(rename = "completion_tokens_details", alias = "output_tokens_details")]
    output: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

/// Counts an answer that goes by, for the case that nobody reports its usage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    reported: Option<Usage>,
    chunks: u64,
    bytes: usize,
}

impl Meter {
    /// One event with content of so many bytes.
    pub fn count(&mut self, bytes: usize) {
        self.chunks += 1;
        self.bytes += bytes;
    }

    /// The last report counts: some upstreams report as they go.
    pub fn report(&mut self, usage: Usage) {
        self.reported = Some(usage);
    }

    /// Upstreams send one token an event; those that send several are caught by their bytes.
    pub fn usage(&self, prompt_bytes: usize) -> Usage {
        if let Some(usage) = self.reported {
            return usage;
        }
        if self.chunks == 0 {
            return Usage::NOTHING;
        }
        Usage {
            input: Tokens::estimate(prompt_bytes),
            output: Tokens(self.chunks).max(Tokens::estimate(self.bytes)),
            source: Source::Counted,
            ..Usage::NOTHING
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_in_both_vocabularies() {
        let chat = r#"{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,
            "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":3}}"#;
        let responses = r#"{"input_tokens":9,"output_tokens":12,"input_tokens_details":{"cached_tokens":4},
            "output_tokens_details":{"reasoning_tokens":3}}"#;
        let expected = Usage {
            input: Tokens(9),
            cached: Tokens(4),
            output: Tokens(12),
            reasoning: Tokens(3),
            source: Source::Reported,
        };
        for text in [chat, responses] {
            assert_eq!(Usage::read(text), Some(expected), "{text}");
        }
        for text in ["null", "{}", "7", r#"{"prompt_tokens":-1}"#] {
            assert_eq!(Usage::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_nobody_reports_is_counted() {
        let mut meter = Meter::default();
        assert_eq!(meter.usage(100).source, Source::Nothing);
        for _ in 0..3 {
            meter.count(2);
        }
        let usage = meter.usage(100);
        assert_eq!((usage.input, usage.output, usage.source), (Tokens(25), Tokens(3), Source::Counted));
        meter.count(400);
        assert_eq!(meter.usage(100).output, Tokens(102));
    }
}

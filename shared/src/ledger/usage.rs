//! Tokens, and where their count comes from.

mod reported;

use serde::Deserialize;

pub(crate) use self::reported::{Framing, Reader};

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

    /// Reads a `usage` object, in the names of chat completions, of responses or of realtime sessions. `None` when it is
    /// another thing (`null` most of all). A total alone, as rerankers say it, is all input.
    ///
    /// What a total has beyond input and output is output too: xAI and Gemini's compatible door count reasoning
    /// nowhere else. Bedrock's counts tokens of its cache nowhere else; those are input, and are told by name.
    pub fn read(text: &str) -> Option<Self> {
        let reported = serde_json::from_str::<Option<Reported>>(text).ok()??;
        let Reported { prompt_tokens, input_tokens, total_tokens, completion_tokens, output_tokens, .. } =
            reported;
        let input = prompt_tokens.or(input_tokens).or(total_tokens)?;
        let output = completion_tokens.or(output_tokens).unwrap_or(0);
        let rest = total_tokens.unwrap_or(0).saturating_sub(input.saturating_add(output));
        let (read, written) = (reported.cache_read_input_tokens, reported.cache_creation_input_tokens);
        let is_of_cache = rest > 0 && read.unwrap_or(0).saturating_add(written.unwrap_or(0)) == rest;
        let (more_input, more_output) = if is_of_cache { (rest, 0) } else { (0, rest) };
        Some(Self {
            input: Tokens(input.saturating_add(more_input)),
            cached: Tokens(reported.cached().unwrap_or(0)),
            output: Tokens(output.saturating_add(more_output)),
            reasoning: Tokens(reported.reasoning().unwrap_or(0)),
            source: Source::Reported,
        })
    }
}

/// The names under which providers report usage.
#[derive(Deserialize)]
struct Reported {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    /// Some say both, and the same in both.
    prompt_tokens_details: Option<Details>,
    #[serde(alias = "input_token_details")]
    input_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    #[serde(alias = "output_token_details")]
    output_tokens_details: Option<Details>,
    /// Moonshot.
    cached_tokens: Option<u64>,
    /// `DeepSeek`.
    prompt_cache_hit_tokens: Option<u64>,
    /// Anthropic, by whatever compatible door.
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    /// Gemini's compatible door.
    reasoning_tokens: Option<u64>,
}

impl Reported {
    fn cached(&self) -> Option<u64> {
        let detailed = [&self.prompt_tokens_details, &self.input_tokens_details];
        let detailed = detailed.into_iter().flatten().find_map(|details| details.cached_tokens);
        detailed.or(self.cached_tokens).or(self.prompt_cache_hit_tokens).or(self.cache_read_input_tokens)
    }

    fn reasoning(&self) -> Option<u64> {
        let detailed = [&self.completion_tokens_details, &self.output_tokens_details];
        detailed.into_iter().flatten().find_map(|details| details.reasoning_tokens).or(self.reasoning_tokens)
    }
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

/// Bytes of English text a token stands for, on average; used only where no usage is reported.
pub const BYTES_PER_TOKEN: usize = 4;

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
    fn what_only_a_total_counts_is_output_unless_it_is_of_a_cache() {
        for (provider, text, expected) in [
            (
                "xAI",
                r#"{"prompt_tokens":12,"completion_tokens":1,"total_tokens":303,
                    "completion_tokens_details":{"reasoning_tokens":290}}"#,
                (12, 0, 291, 290),
            ),
            (
                "Gemini",
                r#"{"prompt_tokens":21,"completion_tokens":57,"total_tokens":358,"reasoning_tokens":280}"#,
                (21, 0, 337, 280),
            ),
            (
                "Bedrock",
                r#"{"prompt_tokens":368,"completion_tokens":19,"total_tokens":10923,
                    "cache_read_input_tokens":10536,"cache_creation_input_tokens":0}"#,
                (10904, 10536, 19, 0),
            ),
            ("an embedding", r#"{"prompt_tokens":3,"total_tokens":3}"#, (3, 0, 0, 0)),
            ("a reranker", r#"{"total_tokens":9}"#, (9, 0, 0, 0)),
            (
                "a total that is too small",
                r#"{"prompt_tokens":5,"completion_tokens":7,"total_tokens":1}"#,
                (5, 0, 7, 0),
            ),
            (
                "numbers without end",
                r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,
                    "total_tokens":18446744073709551615}"#,
                (u64::MAX, 0, u64::MAX, 0),
            ),
        ] {
            let usage = Usage::read(text).unwrap();
            let read = (usage.input.0, usage.cached.0, usage.output.0, usage.reasoning.0);
            assert_eq!(read, expected, "{provider}");
        }
    }

    #[test]
    fn cached_tokens_are_found_under_every_name() {
        for text in [
            r#"{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4}}"#,
            r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":4}}"#,
            r#"{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4},
                "input_tokens":9,"input_tokens_details":{"cached_tokens":4}}"#,
            r#"{"prompt_tokens":9,"prompt_tokens_details":null,"cached_tokens":4}"#,
            r#"{"prompt_tokens":9,"prompt_tokens_details":{},"prompt_cache_hit_tokens":4}"#,
            r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"cache_read_input_tokens":4}"#,
        ] {
            assert_eq!(Usage::read(text).unwrap().cached, Tokens(4), "{text}");
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

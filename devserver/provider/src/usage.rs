//! Token counts, and how each API reports them.

use serde_json::{Value, json};

/// A believable token is four bytes long.
const BYTES_PER_TOKEN: usize = 4;
const TOKENS_PER_MESSAGE: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: usize,
    /// With the reasoning.
    pub(crate) completion: usize,
    pub(crate) reasoning: usize,
}

/// What the texts of a prompt cost.
pub(crate) fn prompt_tokens<'t>(texts: impl IntoIterator<Item = &'t str>) -> usize {
    let bytes: usize = texts.into_iter().map(str::len).sum();
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// What the frame around `messages` costs.
pub(crate) fn message_tokens(messages: usize) -> usize {
    messages.saturating_mul(TOKENS_PER_MESSAGE)
}

impl Usage {
    fn total(self) -> usize {
        self.prompt.saturating_add(self.completion)
    }

    pub(crate) fn of_completions(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.total(),
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    pub(crate) fn of_responses(self) -> Value {
        json!({
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": self.completion,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.total(),
        })
    }

    pub(crate) fn of_embeddings(self) -> Value {
        json!({"prompt_tokens": self.prompt, "total_tokens": self.total()})
    }
}

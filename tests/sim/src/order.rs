//! What a client asks for, and how it behaves.

use std::fmt::Write as _;
use std::time::Duration;

use weir::dialect::endpoint::Form;

use crate::dice::Dice;

/// A chat completion that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Index in [`KEYS`].
    pub(crate) key: usize,
    pub(crate) model: &'static str,
    pub(crate) prompt: u64,
    /// In tenths.
    pub(crate) temperature: u64,
    pub(crate) max_tokens: u64,
    pub(crate) form: Form,
    pub(crate) usage: WantsUsage,
    pub(crate) cache_control: Option<&'static str>,
    /// An `Idempotency-Key`.
    pub(crate) repeat: Option<u64>,
}

/// Whether a stream is to end with its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantsUsage {
    Yes,
    No,
}

/// What a client does beside asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conduct {
    /// It leaves at this poll.
    pub(crate) leaves_after: Option<u32>,
    /// Between one read and the next.
    pub(crate) pause: Duration,
    /// How often it comes again when it is told to.
    pub(crate) retries: u32,
}

/// An order as it comes in.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    pub(crate) replica: usize,
    pub(crate) order: Order,
    pub(crate) conduct: Conduct,
    pub(crate) purpose: Purpose,
}

/// What it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To make trouble.
    Storm,
    /// To be there when the faults have stopped.
    Calm,
    /// To be answered.
    Proof,
}

/// The key, and the tenant it belongs to. The last one is not limited.
pub(crate) const KEYS: [(&str, &str); 5] =
    [("ada", "north"), ("bea", "north"), ("cid", "south"), ("dot", "east"), ("nurse", "ward")];

/// Of those who are limited.
pub(crate) const LIMITED: usize = 4;

impl Order {
    pub(crate) fn name(&self) -> &'static str {
        KEYS[self.key].0
    }

    pub(crate) fn tenant(&self) -> &'static str {
        KEYS[self.key].1
    }

    /// What makes two orders the same, whoever gives them and in whichever form.
    pub(crate) fn canonical(&self) -> (&'static str, u64, u64, u64) {
        (self.model, self.prompt, self.temperature, self.max_tokens)
    }

    /// The body, in one of the spellings that all mean the same.
    pub(crate) fn body(&self, dice: &Dice) -> String {
        let Self { model, prompt, temperature, max_tokens, .. } = self;
        // The same string, as another serialiser writes it.
        let ask = if dice.percent(30) { "\\u0061sk" } else { "ask" };
        let mut fields = vec![
            format!("\"model\":\"{model}\""),
            format!("\"messages\":[{{\"role\":\"user\",\"content\":\"{ask} {prompt}\"}}]"),
            format!("\"temperature\":{}.{}", temperature / 10, temperature % 10),
            format!("\"max_tokens\":{max_tokens}"),
        ];
        match (self.form, self.usage) {
            (Form::Whole, _) => {}
            (Form::Events, WantsUsage::No) => fields.push("\"stream\":true".into()),
            (Form::Events, WantsUsage::Yes) => {
                fields.push("\"stream\":true,\"stream_options\":{\"include_usage\":true}".into());
            }
        }
        // An idempotency key is held to all of a request.
        if self.repeat.is_none() && dice.percent(30) {
            fields.push(format!("\"user\":\"u{}\"", dice.between(0, 9)));
        }
        let mut body = String::from("{");
        while !fields.is_empty() {
            let comma = if body.len() > 1 { "," } else { "" };
            let space = if dice.percent(30) { " " } else { "" };
            let _ = write!(body, "{comma}{space}{}", fields.swap_remove(dice.index(fields.len())));
        }
        body.push('}');
        body
    }
}

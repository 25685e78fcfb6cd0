//! How long an answer a call asks for: what is set aside for it is no less than what an upstream may make of it.

use serde::de::IgnoredAny;

use super::{Bounds, check_count, invalid, number};
use crate::dialect::defaults;
use crate::dialect::endpoint::Operation;
use crate::refusal::Refusal;
use crate::wire::json::{Fields, Value};

/// The tokens of one choice, and how many choices there are of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) most: Option<u64>,
    pub(super) choices: u64,
}

impl Length {
    pub(super) fn of(operation: Operation, fields: &Fields<'_>, bounds: Bounds) -> Result<Self, Refusal> {
        check_count(fields, "n", bounds.max_n)?;
        let mut most = None;
        // Of several names an upstream may go by any.
        for name in defaults::LONGEST {
            most = most.max(whole(fields, name)?);
        }
        let mut choices = number(fields, "n").unwrap_or(1);
        if operation == Operation::Completions {
            check_count(fields, "best_of", bounds.max_n)?;
            choices = choices.max(number(fields, "best_of").unwrap_or(1));
            choices = choices.saturating_mul(fields.find("prompt").map_or(1, prompts));
        }
        Ok(Self { most, choices })
    }
}

/// A whole number, however it is written: `1e5` and `100000.0` are one. What is larger than any is the largest.
fn whole(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(value) = fields.find(name).filter(|value| !value.is_null()) else { return Ok(None) };
    if let Some(number) = value.read() {
        return Ok(Some(number));
    }
    let number = value.read::<f64>().filter(|number| *number >= 0.0 && number.fract() == 0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and no less than 0, and a cast saturates"
    )]
    let number = number.map(|number| number as u64);
    number.map(Some).ok_or_else(|| invalid(name, "it must be a whole number of tokens"))
}

/// How many prompts there are: each is answered. A list of numbers is one, in tokens.
fn prompts(prompt: Value<'_>) -> u64 {
    let Some(list) = prompt.text().strip_prefix('[') else { return 1 };
    if !list.trim_ascii_start().starts_with(['"', '[']) {
        return 1;
    }
    // Elements of no size take no memory.
    prompt.read::<Vec<IgnoredAny>>().map_or(1, |list| list.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(operation: Operation, body: &str) -> Result<(Option<u64>, u64), Refusal> {
        let bounds = Bounds { max_depth: 64, max_n: 128 };
        let fields = Fields::parse(body).unwrap();
        Length::of(operation, &fields, bounds).map(|length| (length.most, length.choices))
    }

    #[test]
    fn a_length_is_what_an_upstream_may_take_it_for() {
        use Operation::{Chat, Completions};
        for (operation, body, expected) in [
            (Chat, "{}", (None, 1)),
            (Chat, r#"{"max_tokens":null,"n":null}"#, (None, 1)),
            (Chat, r#"{"max_tokens":100}"#, (Some(100), 1)),
            (Chat, r#"{"max_tokens":1e5}"#, (Some(100_000), 1)),
            (Chat, r#"{"max_tokens":100000.0,"n":2}"#, (Some(100_000), 2)),
            (Chat, r#"{"max_tokens":100000000000000000000}"#, (Some(u64::MAX), 1)),
            (Chat, r#"{"max_completion_tokens":1,"max_tokens":5000}"#, (Some(5000), 1)),
            (Chat, r#"{"best_of":5,"prompt":["a","b"]}"#, (None, 1)),
            (Completions, r#"{"max_tokens":7,"best_of":5,"n":2,"prompt":"a"}"#, (Some(7), 5)),
            (Completions, r#"{"n":2,"prompt":["a", "b", "c"]}"#, (None, 6)),
            (Completions, r#"{"prompt":[ [1,2],[3]]}"#, (None, 2)),
            (Completions, r#"{"prompt":[1,2,3]}"#, (None, 1)),
            (Completions, r#"{"prompt":[]}"#, (None, 1)),
        ] {
            assert_eq!(length(operation, body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn a_length_that_nobody_could_set_aside_is_refused() {
        for (body, param) in [
            (r#"{"max_tokens":"100"}"#, "max_tokens"),
            (r#"{"max_tokens":-1}"#, "max_tokens"),
            (r#"{"max_output_tokens":1.5}"#, "max_output_tokens"),
            (r#"{"max_completion_tokens":[1]}"#, "max_completion_tokens"),
            (r#"{"max_tokens":1e400}"#, "max_tokens"),
            (r#"{"best_of":129}"#, "best_of"),
            (r#"{"n":1.0}"#, "n"),
        ] {
            let message = length(Operation::Completions, body).unwrap_err().message();
            assert!(message.contains(&format!("'{param}': it must be a whole number")), "{body}: {message}");
        }
    }
}

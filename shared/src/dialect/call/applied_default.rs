//! What the gateway puts into a call whose client leaves it to the gateway.

use std::borrow::Cow;
use std::ops::Range;

use super::Call;
use crate::dialect::defaults::{self, Defaults};
use crate::dialect::endpoint::Operation;
use crate::wire::json::{self, Fields};

/// What stands in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing, written out; and where.
    Null(Range<usize>),
    Something,
}

/// A field that the gateway has put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub field: &'static str,
    /// In JSON.
    pub value: String,
    /// Of the `null` that it stands for.
    pub(super) instead_of: Option<Range<usize>>,
}

impl Given {
    /// As it stands in an object.
    pub(crate) fn member(&self) -> String {
        format!("\"{}\":{}", self.field, self.value)
    }
}

impl Call {
    /// Puts in what the client leaves to the gateway. A `null` says nothing, and what cannot be read says something.
    pub fn fill(&mut self, operation: Operation, defaults: &Defaults) {
        if let Some(longest) = defaults.longest
            && let Some(field) = longest.field(operation)
            && !self.says_any_of(&defaults::LONGEST)
        {
            self.max_output = Some(longest.tokens);
            self.give(field, longest.tokens.to_string());
        }
        if let Some(temperature) = defaults.temperature(operation)
            && !self.says_any_of(&[defaults::TEMPERATURE])
        {
            self.temperature = temperature;
            self.give(defaults::TEMPERATURE, defaults::spell(temperature));
        }
    }

    fn says_any_of(&self, fields: &[&str]) -> bool {
        self.said.iter().any(|(field, said)| fields.contains(field) && *said == Said::Something)
    }

    fn give(&mut self, field: &'static str, value: String) {
        let instead_of = self.said.iter().find_map(|(said, what)| match what {
            Said::Null(span) if *said == field => Some(span.clone()),
            Said::Null(_) | Said::Something => None,
        });
        self.given.push(Given { field, value, instead_of });
    }

    /// What [`Call::fill`] has put in.
    pub fn given(&self) -> &[Given] {
        &self.given
    }

    /// The body as it came, and with it what was put in: what the client asks for.
    pub fn filled(&self) -> Cow<'_, str> {
        if self.given.is_empty() {
            return self.text().into();
        }
        json::splice(self.text(), self.edits(Vec::new(), Vec::new())).into()
    }
}

/// What a client says about the fields that have defaults.
pub(super) fn said(fields: &Fields<'_>) -> Vec<(&'static str, Said)> {
    let names = defaults::LONGEST.into_iter().chain([defaults::TEMPERATURE]);
    let said = names.filter_map(|name| {
        let value = fields.find(name)?;
        Some((name, if value.is_null() { Said::Null(value.span()) } else { Said::Something }))
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cache::fingerprint;
    use crate::dialect::call::{Bounds, UsageRequest};
    use crate::dialect::defaults::{InChat, Longest};
    use crate::ledger::usage::Tokens;

    const BOUNDS: Bounds = Bounds { max_depth: 64, max_n: 128 };

    fn parse(operation: Operation, body: &str) -> Call {
        Call::parse(operation, None, Bytes::copy_from_slice(body.as_bytes()), BOUNDS).unwrap()
    }

    const DEFAULTS: Defaults = Defaults {
        longest: Some(Longest { tokens: 4096, in_chat: InChat::MaxTokens }),
        temperature: Some(700_000),
    };
    const REASONING: Defaults = Defaults {
        longest: Some(Longest { tokens: 9, in_chat: InChat::MaxCompletionTokens }),
        temperature: None,
    };

    #[test]
    fn a_call_is_given_what_it_leaves_to_the_gateway() {
        use Operation::{Chat, Completions, Embeddings, Responses};
        for (operation, defaults, body, expected) in [
            (
                Chat,
                DEFAULTS,
                r#"{ "model":"m" , "messages":[] }"#,
                r#"{"max_tokens":4096,"temperature":0.7, "model":"m" , "messages":[] }"#,
            ),
            (
                Chat,
                REASONING,
                r#"{"model":"m","messages":[]}"#,
                r#"{"max_completion_tokens":9,"model":"m","messages":[]}"#,
            ),
            (
                Chat,
                DEFAULTS,
                r#"{"model":"m","messages":[],"max_completion_tokens":1,"temperature":1.50}"#,
                r#"{"model":"m","messages":[],"max_completion_tokens":1,"temperature":1.50}"#,
            ),
            (
                Chat,
                REASONING,
                r#"{"model":"m","messages":[],"max_tokens":1}"#,
                r#"{"model":"m","messages":[],"max_tokens":1}"#,
            ),
            (
                Chat,
                DEFAULTS,
                r#"{"max_tokens":null,"model":"m","temperature": null ,"messages":[]}"#,
                r#"{"max_tokens":4096,"model":"m","temperature": 0.7 ,"messages":[]}"#,
            ),
            (
                Chat,
                REASONING,
                r#"{"max_tokens":null,"model":"m","messages":[]}"#,
                r#"{"max_completion_tokens":9,"max_tokens":null,"model":"m","messages":[]}"#,
            ),
            (
                Chat,
                DEFAULTS,
                r#"{"model":"m","messages":[],"max_tokens":1e5,"temperature":{}}"#,
                r#"{"model":"m","messages":[],"max_tokens":1e5,"temperature":{}}"#,
            ),
            (
                Completions,
                REASONING,
                r#"{"model":"m","prompt":""}"#,
                r#"{"max_tokens":9,"model":"m","prompt":""}"#,
            ),
            (
                Responses,
                DEFAULTS,
                r#"{"model":"m"}"#,
                r#"{"max_output_tokens":4096,"temperature":0.7,"model":"m"}"#,
            ),
            (
                Responses,
                REASONING,
                r#"{"model":"m","max_output_tokens":0}"#,
                r#"{"model":"m","max_output_tokens":0}"#,
            ),
            (Embeddings, DEFAULTS, r#"{"model":"m","input":""}"#, r#"{"model":"m","input":""}"#),
            (Chat, Defaults::default(), r#"{"model":"m","messages":[]}"#, r#"{"model":"m","messages":[]}"#),
        ] {
            let mut call = parse(operation, body);
            call.fill(operation, &defaults);
            assert_eq!(call.body_for("m", UsageRequest::Added), expected, "{operation:?} {body}");
            assert_eq!(call.filled(), expected, "{operation:?} {body}");
            assert_eq!(call.text(), body);
        }
    }

    #[test]
    fn what_is_put_in_stands_beside_every_other_edit() {
        let mut call =
            Call::parse(Operation::Responses, Some("m"), Bytes::from_static(b"{ }"), BOUNDS).unwrap();
        call.fill(Operation::Responses, &DEFAULTS);
        assert_eq!(
            call.body_for("m", UsageRequest::Added),
            r#"{"model":"m","max_output_tokens":4096,"temperature":0.7 }"#
        );
        assert_eq!(call.filled(), r#"{"max_output_tokens":4096,"temperature":0.7 }"#);

        let mut call =
            parse(Operation::Chat, r#"{"temperature":null,"stream":true,"messages":[],"model":"a"}"#);
        call.fill(Operation::Chat, &DEFAULTS);
        let expected = r#"{"stream_options":{"include_usage":true},"max_tokens":4096,"temperature":0.7,"stream":true,"messages":[],"model":"b"}"#;
        assert_eq!(call.body_for("b", UsageRequest::Added), expected);
    }

    #[test]
    fn a_default_counts_as_if_the_client_had_said_it() {
        let estimate = |body: &str, defaults: &Defaults| {
            let mut call = parse(Operation::Chat, body);
            call.fill(Operation::Chat, defaults);
            (call.estimate(Operation::Chat), call.temperature)
        };
        let said = r#"{"model":"m","messages":[],"n":3,"max_tokens":4096,"temperature":0.7}"#;
        // As long as the other: all of a body counts.
        let unsaid = r#"{"model":"m","messages":[],"n":3                                    }"#;
        assert_eq!(unsaid.len(), said.len());
        assert_eq!(estimate(unsaid, &DEFAULTS), estimate(said, &Defaults::default()));
        let (estimate, temperature) = estimate(unsaid, &DEFAULTS);
        assert_eq!(
            (estimate.least, estimate.wanted, temperature),
            (Tokens(18 + 3 * 4096), Tokens(18 + 3 * 4096), 700_000)
        );
    }

    proptest! {
        #[test]
        fn who_relies_on_a_default_asks_for_what_he_would_name(
            tokens in 1..10_000_000_u64, millionths in 0..=2_000_000_u32, text in ".{0,40}", null in any::<bool>(),
        ) {
            let longest = Some(Longest { tokens, in_chat: InChat::MaxTokens });
            let defaults = Defaults { longest, temperature: Some(millionths) };
            let mut named = json!({"messages": [text], "model": "m", "top_p": 0.5});
            let mut relies = named.clone();
            if null {
                relies["temperature"] = serde_json::Value::Null;
            }
            named["max_tokens"] = json!(tokens);
            // As text: a number that is read is written in another way, as 1e-6.
            named["temperature"] = json!({"here": 0});
            let named = named.to_string().replace(r#"{"here":0}"#, &defaults::spell(millionths));
            let filled = |body: &str| {
                let mut call = parse(Operation::Chat, body);
                call.fill(Operation::Chat, &defaults);
                fingerprint::of_object(&call.filled(), &[]).unwrap()
            };
            prop_assert_eq!(filled(&relies.to_string()), filled(&named));
        }
    }
}

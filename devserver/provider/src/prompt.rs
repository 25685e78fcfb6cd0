//! A prompt that is a text or a list of tokens, as `prompt` and `input` may be.

use std::borrow::Cow;

use serde_json::Value;

use crate::{fields::Fields, refusal::Refusal, usage};

/// The most prompts in one request.
const MOST: usize = 2048;
const WANTED: &str = "a string, an array of strings, or tokens";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prompt<'b> {
    Text(&'b str),
    Tokens(Vec<u64>),
}

impl<'b> Prompt<'b> {
    /// The prompts of a field: a string, strings, tokens, or arrays of tokens.
    pub(crate) fn list(fields: &Fields<'b>, name: &str) -> Result<Vec<Self>, Refusal> {
        let items = match fields.value(name) {
            None => return Err(fields.missing(name)),
            Some(Value::String(text)) => return Ok(vec![Self::Text(text)]),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(fields.wrong(name, WANTED)),
        };
        if items.is_empty() {
            return Err(fields.bad(name, "it is empty"));
        }
        let wrong = || fields.wrong(name, WANTED);
        if items.iter().all(Value::is_number) {
            return Ok(vec![Self::Tokens(tokens(items).ok_or_else(wrong)?)]);
        }
        if items.len() > MOST {
            return Err(fields.bad(name, format!("it has more than {MOST} items")));
        }
        let prompt = |item: &'b Value| match item {
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(ids) => tokens(ids).map(Self::Tokens),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        items.iter().map(|item| prompt(item).ok_or_else(wrong)).collect()
    }

    /// The words, if there are any to quote.
    pub(crate) fn text(&self) -> &'b str {
        match self {
            Self::Text(text) => text,
            Self::Tokens(_) => "",
        }
    }

    /// What the prompt is made of, to derive an answer from.
    pub(crate) fn bytes(&self) -> Cow<'b, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Tokens(ids) => ids.iter().flat_map(|id| id.to_be_bytes()).collect(),
        }
    }

    pub(crate) fn tokens(&self) -> usize {
        match self {
            Self::Text(text) => usage::prompt_tokens([*text]),
            Self::Tokens(ids) => ids.len(),
        }
    }
}

fn tokens(ids: &[Value]) -> Option<Vec<u64>> {
    ids.iter().map(Value::as_u64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_and_tokens_are_told_apart() {
        let table = [
            (json!("a"), Ok(vec![Prompt::Text("a")])),
            (json!(["a", "b"]), Ok(vec![Prompt::Text("a"), Prompt::Text("b")])),
            (json!([1, 2]), Ok(vec![Prompt::Tokens(vec![1, 2])])),
            (json!([[1], [2, 3]]), Ok(vec![Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])])),
            (json!(["a", 1]), Err("expected")),
            (json!([-1]), Err("expected")),
            (json!([]), Err("empty")),
            (json!({}), Err("expected")),
            (json!(null), Err("Missing")),
        ];
        for (input, expected) in table {
            let body = json!({"input": input});
            let listed = Prompt::list(&Fields::of_body(&body).unwrap(), "input");
            match expected {
                Ok(prompts) => assert_eq!(listed, Ok(prompts), "{body}"),
                Err(why) => {
                    let message = listed.unwrap_err().error()["message"].to_string();
                    assert!(message.contains(why), "{body}: {message}");
                }
            }
        }
    }
}

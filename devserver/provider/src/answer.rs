//! What the simulated model says, before any API gives it a shape.

use serde_json::json;

use crate::{
    form::Form,
    prose::{self, Length},
    sample,
    script::Script,
    seed::Seed,
};

/// Shortest and longest answer that is derived from a prompt, before its sentence is finished.
const SHORTEST: usize = 20;
const SPREAD: usize = 30;
const REASONING_TOKENS: usize = 12;

/// What a request wants to hear.
#[derive(Clone, Debug)]
pub(crate) struct Question<'b> {
    /// Made from the texts of the prompt.
    pub(crate) seed: Seed,
    /// What the caller said last.
    pub(crate) text: String,
    /// The most tokens an answer may have.
    pub(crate) cap: Option<usize>,
    pub(crate) form: Form<'b>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// One token an item.
    pub(crate) reasoning: Vec<String>,
    pub(crate) body: Body,
    pub(crate) finish: Finish,
}

/// Both kinds come in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Text(Vec<String>),
    ToolCall { id: String, name: String, arguments: Vec<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCall,
}

impl Finish {
    /// `finish_reason` of chat and text completions.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCall => "tool_calls",
        }
    }
}

impl Answer {
    /// The `choice`th answer to one question; each choice has its own words.
    pub(crate) fn compose(question: &Question<'_>, script: &Script, choice: usize) -> Self {
        let seed = question.seed.branch(&choice.to_string());
        let cap = question.cap.unwrap_or(usize::MAX);
        let reasoning = if script.reasoning {
            prose::reasoning(&seed, Length::Exactly(REASONING_TOKENS.min(cap / 2)))
        } else {
            Vec::new()
        };
        let cap = cap - reasoning.len();
        let (mut tokens, whole) = match &question.form {
            Form::Text => (text(&seed, &question.text, script), Finish::Stop),
            Form::Json => {
                let answer = text(&seed, &question.text, script).concat();
                let object = json!({"simulated": true, "answer": answer});
                (prose::fragments(&object.to_string()), Finish::Stop)
            }
            Form::Schema(schema) => {
                let value = sample::value(schema, &seed);
                (prose::fragments(&value.to_string()), Finish::Stop)
            }
            Form::Tool(tool) => {
                let arguments = tool.parameters.map_or(json!({}), |schema| sample::value(schema, &seed));
                (prose::fragments(&arguments.to_string()), Finish::ToolCall)
            }
        };
        let finish = if tokens.len() > cap { Finish::Length } else { whole };
        tokens.truncate(cap);
        let body = match &question.form {
            Form::Text | Form::Json | Form::Schema(_) => Body::Text(tokens),
            Form::Tool(tool) => {
                Body::ToolCall { id: seed.id("call_"), name: tool.name.to_owned(), arguments: tokens }
            }
        };
        Self { reasoning, body, finish }
    }

    /// With the reasoning.
    pub(crate) fn tokens(&self) -> usize {
        let (Body::Text(tokens) | Body::ToolCall { arguments: tokens, .. }) = &self.body;
        self.reasoning.len() + tokens.len()
    }
}

fn text(seed: &Seed, question: &str, script: &Script) -> Vec<String> {
    let length = script.tokens.map_or_else(
        || {
            let derived = SHORTEST + seed.branch("length").below(SPREAD);
            // Long enough for every fault to strike within it.
            let last_fault = script.faults.last().map_or(0, |fault| fault.after + 1);
            Length::About(derived.max(last_fault))
        },
        Length::Exactly,
    );
    prose::answer(seed, question, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Tool;

    fn composed(model: &str, cap: Option<usize>, form: Form<'_>) -> Answer {
        let seed = Seed::of([b"hi".as_slice()]);
        let question = Question { seed, text: "hi".to_owned(), cap, form };
        Answer::compose(&question, &Script::parse(model).unwrap(), 0)
    }

    #[test]
    fn an_answer_has_the_length_that_prompt_script_and_cap_allow() {
        let derived = composed("sim", None, Form::Text);
        assert!((20..=60).contains(&derived.tokens()), "{derived:?}");
        let table = [
            ("sim-tokens-100", None, 100, Finish::Stop),
            ("sim-tokens-100", Some(10), 10, Finish::Length),
            ("sim-tokens-10", Some(10), 10, Finish::Stop),
            ("sim-tokens-10-reasoning", Some(10), 10, Finish::Length),
            ("sim-tokens-0", None, 0, Finish::Stop),
        ];
        for (model, cap, tokens, finish) in table {
            let answer = composed(model, cap, Form::Text);
            assert_eq!((answer.tokens(), answer.finish), (tokens, finish), "{model} {cap:?}");
        }
    }

    #[test]
    fn an_answer_is_long_enough_for_its_fault() {
        assert!(composed("sim-cut-300", None, Form::Text).tokens() > 300);
    }

    #[test]
    fn a_tool_call_has_arguments_for_its_schema() {
        let schema = json!({"type": "object", "properties": {"city": {"const": "Lyon"}}});
        let tool = Tool { name: "weather", parameters: Some(&schema) };
        let answer = composed("sim", None, Form::Tool(tool));
        let Body::ToolCall { name, arguments, .. } = answer.body else {
            panic!("{answer:?}");
        };
        assert_eq!((name.as_str(), arguments.concat().as_str()), ("weather", r#"{"city":"Lyon"}"#));
        assert_eq!(answer.finish, Finish::ToolCall);
    }
}

//! A call as the gateway understands it: the few fields that route and meter it, and the body as it came.

mod applied_default;
mod fold;
mod length;
mod nested;
mod objects;

use std::ops::Range;

use bytes::Bytes;

pub use self::applied_default::Given;
use self::applied_default::Said;
use self::fold::Reading;
use self::length::Length;
pub(crate) use self::nested::{models as nested_models, models_of_part};
pub(crate) use self::objects::{NamedObjects, is_object_field, made_by_stream, made_objects, named_objects};
use crate::dialect::endpoint::{Form, Operation};
use crate::ledger::usage::Tokens;
use crate::refusal::Refusal;
use crate::wire::json::{self, Fields, Value};

/// A body that was read to be routed.
#[derive(Debug, Clone)]
pub struct Call {
    body: Bytes,
    /// The name the client sent; empty where it named none.
    pub model: String,
    /// The name as it stands in the body, and where; a deployment path may say another.
    sent: Option<String>,
    model_span: Option<Range<usize>>,
    pub stream: bool,
    /// The client asks for usage in its stream.
    pub wants_usage: bool,
    usage_edit: Option<(Range<usize>, &'static str)>,
    object_start: usize,
    object_is_empty: bool,
    /// Bytes of the prompt as they stand in the body; what usage is estimated from when none is reported.
    pub prompt_bytes: usize,
    /// In millionths; 1 where neither the client nor a default says.
    pub temperature: u32,
    pub depends: Depends,
    /// The longest answer that is allowed, of each choice; `None` when nobody says, or it cannot be read.
    max_output: Option<u64>,
    choices: u64,
    /// What the client says about fields that have defaults.
    said: Vec<(&'static str, Said)>,
    given: Vec<Given>,
}

/// What a call's answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depends {
    OnItself,
    /// On what the upstream remembers of others, or it comes with another.
    OnOtherCalls,
}

/// Whether a stream's usage is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageRequest {
    /// Where the client does not ask, the gateway does.
    Added,
    /// As the client sent it.
    AsSent,
}

/// What a call uses at least, and what is set aside for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub least: Tokens,
    pub wanted: Tokens,
}

/// What asks for usage in a stream.
const INCLUDE_USAGE: &str = "include_usage";

/// Tokens that are set aside for an answer whose length the client does not bound.
const UNBOUNDED_OUTPUT: u64 = 1024;

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub max_depth: u32,
    pub max_n: u32,
}

impl Call {
    /// Reads the body of an understood call. `deployment` is the model of an Azure-style path; it wins.
    pub fn parse(
        operation: Operation,
        deployment: Option<&str>,
        body: Bytes,
        bounds: Bounds,
    ) -> Result<Self, Refusal> {
        let text = utf8(&body)?;
        let fields = object(text, bounds)?;
        check_required(operation, &fields)?;
        let length = Length::of(operation, &fields, bounds)?;
        let mut call = Self::from_fields(&fields, deployment, Reading::Call)?;
        (call.max_output, call.choices) = (length.most, length.choices);
        if call.model.is_empty() {
            match operation {
                // A stored prompt or an earlier response may name it.
                Operation::Responses => call.depends = Depends::OnOtherCalls,
                Operation::Chat | Operation::Completions | Operation::Embeddings => return Err(no_model()),
            }
        }
        if call.stream && matches!(operation, Operation::Chat | Operation::Completions) {
            call.read_stream_options(&fields)?;
        }
        call.body = body;
        Ok(call)
    }

    /// Reads the JSON body of a call that is passed through: only its model matters. `None` when it names
    /// none.
    pub fn peek(deployment: Option<&str>, body: Bytes, bounds: Bounds) -> Result<Option<Self>, Refusal> {
        let text = utf8(&body)?;
        let mut call = Self::from_fields(&object(text, bounds)?, deployment, Reading::Passthrough)?;
        call.body = body;
        Ok(Some(call).filter(|call| !call.model.is_empty()))
    }

    fn from_fields(fields: &Fields<'_>, deployment: Option<&str>, reading: Reading) -> Result<Self, Refusal> {
        if let Some(key) = fields.duplicate() {
            return Err(invalid(key, "it is given twice"));
        }
        if let Some(name) = fields.iter().find_map(|(key, _)| fold::almost(key, reading)) {
            return Err(invalid(name, "a field's name is almost this one"));
        }
        let named = fields.find("model").filter(|value| !value.is_null());
        let sent: Option<String> = match named {
            None => None,
            Some(value) => Some(value.read().ok_or_else(|| invalid("model", "it must be a string"))?),
        };
        let model = deployment.map(str::to_owned).or_else(|| sent.clone());
        if let Some(model) = &model {
            check_model(model)?;
        }
        let prompt_bytes = ["messages", "input", "prompt", "instructions", "tools"]
            .iter()
            .filter_map(|key| fields.find(key))
            .map(|value| value.text().len())
            .sum();
        Ok(Self {
            body: Bytes::new(),
            model: model.unwrap_or_default(),
            sent,
            model_span: fields.find("model").map(Value::span),
            stream: flag(fields, "stream")?,
            wants_usage: true,
            usage_edit: None,
            object_start: fields.start(),
            object_is_empty: fields.is_empty(),
            prompt_bytes,
            temperature: temperature(fields),
            depends: depends(fields),
            max_output: None,
            choices: 1,
            said: applied_default::said(fields),
            given: Vec::new(),
        })
    }

    /// Notes whether usage is asked for, and the edit that would ask for it.
    fn read_stream_options(&mut self, fields: &Fields<'_>) -> Result<(), Refusal> {
        let at = fields.start();
        let Some(options) = fields.find("stream_options") else {
            self.wants_usage = false;
            self.usage_edit = Some((at..at, r#""stream_options":{"include_usage":true},"#));
            return Ok(());
        };
        if options.is_null() {
            self.wants_usage = false;
            self.usage_edit = Some((options.span(), r#"{"include_usage":true}"#));
            return Ok(());
        }
        let inner =
            Fields::parse(options.text()).map_err(|_| invalid("stream_options", "it must be an object"))?;
        if inner.duplicate() == Some(INCLUDE_USAGE) {
            return Err(invalid("stream_options.include_usage", "it is given twice"));
        }
        let is_almost = |key: &str| key != INCLUDE_USAGE && fold::is_same(key, INCLUDE_USAGE);
        if inner.iter().any(|(key, _)| is_almost(key)) {
            return Err(invalid("stream_options.include_usage", "a field's name is almost this one"));
        }
        let base = options.span().start;
        let Some(flag) = inner.find(INCLUDE_USAGE) else {
            let at = base + inner.start();
            let text = if inner.is_empty() { r#""include_usage":true"# } else { r#""include_usage":true,"# };
            self.wants_usage = false;
            self.usage_edit = Some((at..at, text));
            return Ok(());
        };
        self.wants_usage = flag
            .read::<Option<bool>>()
            .ok_or_else(|| invalid("stream_options.include_usage", "it must be a boolean"))?
            .unwrap_or(false);
        if !self.wants_usage {
            let span = flag.span();
            self.usage_edit = Some((base + span.start..base + span.end, "true"));
        }
        Ok(())
    }

    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// The body as it came.
    pub fn text(&self) -> &str {
        // It was read as UTF-8 by `parse`.
        str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The models that it names beside its own; `None` where they are too many.
    pub(crate) fn other_models(&self) -> Option<Vec<String>> {
        nested::models_of_call(self.text())
    }

    /// The form in which the answer is wanted.
    pub fn form(&self) -> Form {
        if self.stream { Form::Events } else { Form::Whole }
    }

    /// Whether [`Call::body_for`] may make the upstream report usage that the client did not ask for.
    pub fn injects_usage(&self) -> bool {
        self.usage_edit.is_some()
    }

    /// What to reserve: the prompt and the longest answer.
    pub fn estimate(&self, operation: Operation) -> Estimate {
        // All of the body: what is not read here may be a prompt to whoever reads it.
        let prompt = Tokens::estimate(self.body.len());
        let plus = |output| Tokens(prompt.0.saturating_add(output));
        let of_all = |output: u64| output.saturating_mul(self.choices);
        let output = self.max_output.map(of_all);
        match (operation, output) {
            (Operation::Embeddings, _) => Estimate { least: prompt, wanted: prompt },
            (_, Some(output)) => Estimate { least: plus(output), wanted: plus(output) },
            (_, None) => Estimate { least: prompt, wanted: plus(of_all(UNBOUNDED_OUTPUT)) },
        }
    }

    /// The body for an upstream that calls the model `model`: the bytes that came, but for the model's name
    /// where it differs, what was put in, and the request for usage. An empty `model` names none.
    pub fn body_for(&self, model: &str, usage: UsageRequest) -> Bytes {
        let (mut members, mut edits) = (Vec::new(), Vec::new());
        match &self.model_span {
            _ if model.is_empty() => {}
            Some(_) if self.sent.as_deref() == Some(model) => {}
            Some(span) => edits.push((span.clone(), json::quote(model))),
            None => members.push(format!("\"model\":{}", json::quote(model))),
        }
        if let Some((span, text)) = self.usage_edit.as_ref().filter(|_| usage == UsageRequest::Added) {
            edits.push((span.clone(), (*text).to_owned()));
        }
        let edits = self.edits(members, edits);
        if edits.is_empty() { self.body.clone() } else { json::splice(self.text(), edits).into() }
    }

    /// `edits`, and those that put in `members` and what was given.
    fn edits(
        &self,
        mut members: Vec<String>,
        mut edits: Vec<(Range<usize>, String)>,
    ) -> Vec<(Range<usize>, String)> {
        for given in &self.given {
            match &given.instead_of {
                Some(null) => edits.push((null.clone(), given.value.clone())),
                None => members.push(given.member()),
            }
        }
        if !members.is_empty() {
            let comma = if self.object_is_empty { "" } else { "," };
            let at = self.object_start;
            edits.push((at..at, members.join(",") + comma));
        }
        edits
    }
}

pub(crate) fn utf8(body: &[u8]) -> Result<&str, Refusal> {
    str::from_utf8(body)
        .map_err(|e| Refusal::InvalidJson { problem: format!("invalid UTF-8 at byte {}", e.valid_up_to()) })
}

pub(crate) fn object(text: &str, bounds: Bounds) -> Result<Fields<'_>, Refusal> {
    if json::depth(text) > bounds.max_depth {
        return Err(Refusal::TooDeep { limit: bounds.max_depth });
    }
    if text.trim_ascii().is_empty() {
        return Err(Refusal::InvalidJson { problem: "it is empty".into() });
    }
    Fields::parse(text).map_err(|e| {
        let at = format!("line {} column {}", e.line(), e.column());
        // The parser's own words may quote the body; its category says enough.
        let problem = match e.classify() {
            serde_json::error::Category::Eof => format!("it ends too early, at {at}"),
            serde_json::error::Category::Data if text.trim_ascii_start().starts_with('{') => {
                format!("it has more than {} fields at its top level", json::MOST_FIELDS)
            }
            serde_json::error::Category::Data => "it is not an object".to_owned(),
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                format!("it is not valid JSON at {at}")
            }
        };
        Refusal::InvalidJson { problem }
    })
}

fn check_required(operation: Operation, fields: &Fields<'_>) -> Result<(), Refusal> {
    let required = match operation {
        Operation::Chat => "messages",
        Operation::Embeddings => "input",
        // OpenAI itself lets these be left out.
        Operation::Completions | Operation::Responses => return Ok(()),
    };
    let Some(value) = fields.find(required) else {
        return Err(invalid(required, "it is missing"));
    };
    if operation == Operation::Chat && !value.text().starts_with('[') {
        return Err(invalid(required, "it must be an array of messages"));
    }
    Ok(())
}

fn check_count(fields: &Fields<'_>, key: &str, limit: u32) -> Result<(), Refusal> {
    match fields.find(key).map(Value::read::<Option<u64>>) {
        None | Some(Some(None)) => Ok(()),
        Some(Some(Some(n))) if (1..=u64::from(limit)).contains(&n) => Ok(()),
        Some(_) => Err(invalid(key, &format!("it must be a whole number from 1 to {limit}"))),
    }
}

/// In millionths. One that cannot be read is the upstream's to refuse.
fn temperature(fields: &Fields<'_>) -> u32 {
    const MILLION: f64 = 1e6;
    let named = fields.find("temperature").and_then(Value::read::<Option<f64>>).flatten();
    let millionths = (named.unwrap_or(1.0) * MILLION).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and what is out of range is out of every bound"
    )]
    let millionths = millionths as u32;
    millionths
}

fn depends(fields: &Fields<'_>) -> Depends {
    let says = |key: &str| fields.find(key).is_some_and(|value| !matches!(value.text(), "null" | "false"));
    let is_stateful = ["previous_response_id", "conversation", "background"].into_iter().any(says);
    if is_stateful { Depends::OnOtherCalls } else { Depends::OnItself }
}

fn number(fields: &Fields<'_>, key: &str) -> Option<u64> {
    fields.find(key).and_then(Value::read)
}

/// The model is missing where it has to be.
pub(crate) fn no_model() -> Refusal {
    invalid("model", "you must provide a model")
}

/// A name that can stand in a log line, a label and a path.
pub fn check_model(model: &str) -> Result<(), Refusal> {
    if model.trim().is_empty() {
        Err(invalid("model", "it is empty"))
    } else if model.len() > 256 || model.chars().any(char::is_control) {
        Err(invalid("model", "it must be at most 256 bytes without control characters"))
    } else {
        Ok(())
    }
}

fn flag(fields: &Fields<'_>, key: &str) -> Result<bool, Refusal> {
    match fields.find(key).map(Value::read::<Option<bool>>) {
        None => Ok(false),
        Some(Some(value)) => Ok(value.unwrap_or(false)),
        Some(None) => Err(invalid(key, "it must be a boolean")),
    }
}

fn invalid(param: &str, problem: &str) -> Refusal {
    Refusal::InvalidParameter { param: param.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const BOUNDS: Bounds = Bounds { max_depth: 64, max_n: 128 };

    fn chat(body: &str) -> Result<Call, Refusal> {
        Call::parse(Operation::Chat, None, Bytes::copy_from_slice(body.as_bytes()), BOUNDS)
    }

    #[test]
    fn an_unchanged_body_is_the_same_bytes() {
        let body = r#"{ "model" : "gpt-4o", "messages":[] , "x":1e400 }"#;
        assert_eq!(chat(body).unwrap().body_for("gpt-4o", UsageRequest::Added), body);
    }

    #[test]
    fn a_renamed_model_changes_nothing_else() {
        let body = r#"{ "messages":[{"content":"\"model\":\"a\""}], "model" : "a","temperature":0.10 }"#;
        let expected = r#"{ "messages":[{"content":"\"model\":\"a\""}], "model" : "b","temperature":0.10 }"#;
        assert_eq!(chat(body).unwrap().body_for("b", UsageRequest::Added), expected);
    }

    #[test]
    fn usage_is_asked_for_in_every_form_of_stream_options() {
        for (options, expected) in [
            ("", r#""stream_options":{"include_usage":true},"#),
            (r#""stream_options":null,"#, r#""stream_options":{"include_usage":true},"#),
            (r#""stream_options":{},"#, r#""stream_options":{"include_usage":true},"#),
            (
                r#""stream_options":{"include_obfuscation":false},"#,
                r#""stream_options":{"include_usage":true,"include_obfuscation":false},"#,
            ),
            (r#""stream_options":{"include_usage":false},"#, r#""stream_options":{"include_usage":true},"#),
        ] {
            let body = |options| format!(r#"{{{options}"model":"m","stream":true,"messages":[]}}"#);
            let call = chat(&body(options)).unwrap();
            assert!(call.injects_usage() && !call.wants_usage, "{options}");
            assert_eq!(call.body_for("m", UsageRequest::Added), body(expected), "{options}");
        }
        let asked =
            chat(r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#)
                .unwrap();
        assert!(asked.wants_usage && !asked.injects_usage());
    }

    #[test]
    fn a_deployment_in_the_path_wins_and_is_put_in() {
        let body = Bytes::from_static(br#"{"messages":[]}"#);
        let call = Call::parse(Operation::Chat, Some("gpt-4o"), body, BOUNDS).unwrap();
        assert_eq!(call.body_for("gpt-4o", UsageRequest::Added), r#"{"model":"gpt-4o","messages":[]}"#);
        let body = Bytes::from_static(br#"{"model":"x","messages":[]}"#);
        let call = Call::parse(Operation::Chat, Some("gpt-4o"), body, BOUNDS).unwrap();
        assert_eq!(call.body_for("gpt-4o", UsageRequest::Added), r#"{"model":"gpt-4o","messages":[]}"#);
    }

    #[test]
    fn bad_bodies_are_refused_with_where_and_why() {
        let deep = format!(r#"{{"model":"m","messages":{}{}}}"#, "[".repeat(65), "]".repeat(65));
        let many: Vec<String> = (0..1025).map(|n| format!(r#""{n}":0"#)).collect();
        let many = format!("{{{}}}", many.join(","));
        for (body, expected) in [
            ("", "it is empty"),
            ("{", "ends too early, at line 1 column 1"),
            ("[]", "not an object"),
            (&many, "more than 1024 fields at its top level"),
            ("{\"model\":\"m\",}", "not valid JSON at line 1 column 14"),
            (r#"{"messages":[]}"#, "'model': you must provide a model"),
            (r#"{"model":"","messages":[]}"#, "'model': it is empty"),
            (r#"{"model":7,"messages":[]}"#, "'model': it must be a string"),
            ("{\"model\":\"a\\u000ab\",\"messages\":[]}", "without control characters"),
            (r#"{"model":"a","model":"b","messages":[]}"#, "'model': it is given twice"),
            (r#"{"model":"m"}"#, "'messages': it is missing"),
            (r#"{"model":"m","messages":"hi"}"#, "'messages': it must be an array"),
            (r#"{"model":"m","messages":[],"stream":"yes"}"#, "'stream': it must be a boolean"),
            (r#"{"model":"m","messages":[],"n":1000000}"#, "'n': it must be a whole number from 1 to 128"),
            (r#"{"model":"m","messages":[],"n":0}"#, "'n'"),
            (r#"{"model":"m","messages":[],"n":-1}"#, "'n'"),
            (
                r#"{"model":"m","messages":[],"stream":true,"stream_options":[]}"#,
                "'stream_options': it must be an object",
            ),
            (&deep, "nested deeper than 64 levels"),
        ] {
            let message = chat(body).unwrap_err().message();
            assert!(message.contains(expected), "{body}: {message}");
        }
        let not_utf8 = Bytes::from_static(b"{\"model\":\"\xff\"}");
        let message = Call::parse(Operation::Chat, None, not_utf8, BOUNDS).unwrap_err().message();
        assert!(message.contains("invalid UTF-8 at byte 10"), "{message}");
    }

    #[test]
    fn a_parse_error_quotes_nothing_of_the_body() {
        let message = chat(r#"{"model":"m","messages":[canary]}"#).unwrap_err().message();
        assert!(!message.contains("canary"), "{message}");
    }

    #[test]
    fn a_passthrough_body_may_name_no_model() {
        let peek = |body: &'static str| Call::peek(None, Bytes::from_static(body.as_bytes()), BOUNDS);
        assert_eq!(peek(r#"{"model":"dall-e-3"}"#).unwrap().unwrap().model, "dall-e-3");
        assert!(peek(r#"{"name":"x"}"#).unwrap().is_none());
        assert!(peek("no json").is_err());
    }

    proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Call::parse(Operation::Chat, None, body.into(), BOUNDS);
        }

        #[test]
        fn what_is_rewritten_is_the_same_object_but_for_model_and_usage(
            model in "[a-z0-9/.:\"é-]{1,12}", renamed in "[a-z0-9/.:\"é-]{1,12}", text in ".{0,40}", eighths in any::<i32>(),
        ) {
            let mut value = json!({
                "messages": [{"role": "user", "content": text}], "model": model,
                "temperature": f64::from(eighths) / 8.0, "stream": true,
            });
            let call = chat(&value.to_string()).unwrap();
            value["model"] = json!(renamed);
            value["stream_options"] = json!({"include_usage": true});
            let rewritten: serde_json::Value = serde_json::from_slice(&call.body_for(&renamed, UsageRequest::Added)).unwrap();
            prop_assert_eq!(rewritten, value);
        }
    }
}

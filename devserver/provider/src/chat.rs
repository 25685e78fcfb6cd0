//! `POST /v1/chat/completions`.

mod chunk;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Body, Question},
    call::Call,
    conversation::Conversation,
    fields::Fields,
    form::{Form, Tool},
    refusal::Refusal,
    reply::Reply,
    score::{self, Dialect},
    usage::Usage,
};

const FINGERPRINT: &str = "fp_sim0000000";

/// What every answer and every chunk of it begins with.
#[derive(Serialize)]
struct Head<'c> {
    id: &'c str,
    object: &'static str,
    created: u64,
    model: &'c str,
    service_tier: &'static str,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Completion<'c> {
    #[serde(flatten)]
    head: Head<'c>,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice {
    index: usize,
    message: Map<String, Value>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

pub(crate) fn answer(call: &Call<'_>) -> Result<Reply, Refusal> {
    let fields = &call.fields;
    let conversation = conversation(fields)?;
    let question = Question {
        seed: conversation.seed(),
        text: conversation.last_words(),
        cap: fields.count("max_completion_tokens")?.or(fields.count("max_tokens")?),
        form: form(call)?,
    };
    let choices = call.choices()?;
    let answers: Vec<Answer> =
        (0..choices).map(|choice| Answer::compose(&question, call.script, choice)).collect();
    let usage = Usage {
        prompt: conversation.tokens(),
        completion: answers.iter().map(Answer::tokens).sum(),
        reasoning: answers.iter().map(|answer| answer.reasoning.len()).sum(),
    };
    let include_usage = call.includes_usage()?;
    let usage = call.reported(usage).map(Usage::of_completions);
    let id = call.identity.id("chatcmpl-");
    if fields.flag("stream")? {
        let frames = chunk::frames(call, &id, &answers, usage.filter(|_| include_usage));
        return Ok(score::stream(call.script, Dialect::Chat, frames));
    }
    let completion = Completion {
        head: head(call, &id, "chat.completion"),
        choices: answers.iter().enumerate().map(choice).collect(),
        usage,
    };
    Ok(score::whole(call.script, &completion))
}

fn conversation<'b>(fields: &Fields<'b>) -> Result<Conversation<'b>, Refusal> {
    if fields.array("messages")?.ok_or_else(|| fields.missing("messages"))?.is_empty() {
        return Err(fields.bad("messages", "it has to have at least one message"));
    }
    let mut conversation = Conversation::default();
    for message in fields.objects("messages")? {
        conversation.message(&message)?;
    }
    Ok(conversation)
}

fn form<'b>(call: &Call<'b>) -> Result<Form<'b>, Refusal> {
    let fields = &call.fields;
    let tools = fields.objects("tools")?.iter().map(function).collect::<Result<Vec<_>, _>>()?;
    let demanded = Tool::demanded(fields, &tools, |choice| Ok(function(choice)?.name))?;
    if let Some(form) = Form::tool(demanded, &tools, call.script) {
        return Ok(form);
    }
    let Some(format) = fields.object("response_format")? else {
        return Ok(Form::Text);
    };
    Form::structured(&format, |format| {
        let wrapped = format.object("json_schema")?.ok_or_else(|| format.missing("json_schema"))?;
        Ok(wrapped.value("schema"))
    })
}

/// The function in an item of `tools`, or in a `tool_choice`.
fn function<'b>(tool: &Fields<'b>) -> Result<Tool<'b>, Refusal> {
    let function = tool.object("function")?.ok_or_else(|| tool.missing("function"))?;
    Ok(Tool {
        name: function.text("name")?.ok_or_else(|| function.missing("name"))?,
        parameters: function.value("parameters"),
    })
}

fn head<'c>(call: &'c Call<'_>, id: &'c str, object: &'static str) -> Head<'c> {
    Head {
        id,
        object,
        created: call.created,
        model: call.model,
        service_tier: "default",
        system_fingerprint: FINGERPRINT,
    }
}

fn choice((index, answer): (usize, &Answer)) -> Choice {
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    message.insert("refusal".to_owned(), Value::Null);
    message.insert("annotations".to_owned(), json!([]));
    if !answer.reasoning.is_empty() {
        message.insert("reasoning_content".to_owned(), json!(answer.reasoning.concat()));
    }
    match &answer.body {
        Body::Text(tokens) => {
            message.insert("content".to_owned(), json!(tokens.concat()));
        }
        Body::ToolCall { id, name, arguments } => {
            let function = json!({"name": name, "arguments": arguments.concat()});
            let calls = json!([{"id": id, "type": "function", "function": function}]);
            message.insert("content".to_owned(), Value::Null);
            message.insert("tool_calls".to_owned(), calls);
        }
    }
    Choice { index, message, logprobs: None, finish_reason: answer.finish.reason() }
}

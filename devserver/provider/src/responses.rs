//! `POST /v1/responses`.

mod event;

use serde_json::{Value, json};

use crate::{
    answer::{Answer, Body, Finish, Question},
    call::Call,
    conversation::Conversation,
    fields::Fields,
    form::{Form, Tool},
    refusal::Refusal,
    reply::Reply,
    score::{self, Dialect},
    usage::Usage,
};

/// How far a response, or an item of it, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Begun,
    Ended(Finish),
}

impl Progress {
    fn status(self) -> &'static str {
        match self {
            Self::Begun => "in_progress",
            Self::Ended(Finish::Length) => "incomplete",
            Self::Ended(Finish::Stop | Finish::ToolCall) => "completed",
        }
    }
}

pub(crate) fn answer(call: &Call<'_>) -> Result<Reply, Refusal> {
    let fields = &call.fields;
    let conversation = conversation(fields)?;
    let question = Question {
        seed: conversation.seed(),
        text: conversation.last_words(),
        cap: fields.count("max_output_tokens")?,
        form: form(call)?,
    };
    let answer = Answer::compose(&question, call.script, 0);
    let usage = Usage {
        prompt: conversation.tokens(),
        completion: answer.tokens(),
        reasoning: answer.reasoning.len(),
    };
    let usage = call.reported(usage).map_or(Value::Null, Usage::of_responses);
    let begun = response(call, Progress::Begun, &[], &Value::Null);
    let ended = response(call, Progress::Ended(answer.finish), &output(call, &answer), &usage);
    if fields.flag("stream")? {
        let frames = event::frames(call, &answer, &begun, &ended);
        return Ok(score::stream(call.script, Dialect::Responses, frames));
    }
    Ok(score::whole(call.script, &ended))
}

fn conversation<'b>(fields: &Fields<'b>) -> Result<Conversation<'b>, Refusal> {
    let mut conversation = Conversation::default();
    if let Some(instructions) = fields.text("instructions")? {
        conversation.say("system", instructions);
    }
    match fields.value("input") {
        None => return Err(fields.missing("input")),
        Some(Value::String(text)) => conversation.say("user", text),
        Some(Value::Array(_)) => {
            for item in fields.objects("input")? {
                match item.text("type")? {
                    None | Some("message") => conversation.message(&item)?,
                    Some(_) => conversation.item(item.value("output").and_then(Value::as_str)),
                }
            }
        }
        Some(_) => return Err(fields.wrong("input", "a string or an array of items")),
    }
    Ok(conversation)
}

fn form<'b>(call: &Call<'b>) -> Result<Form<'b>, Refusal> {
    let fields = &call.fields;
    let mut tools = Vec::new();
    for tool in fields.objects("tools")? {
        // Tools that run on the provider's side, such as web_search, are offered and never used.
        if tool.text("type")? == Some("function") {
            let name = tool.text("name")?.ok_or_else(|| tool.missing("name"))?;
            tools.push(Tool { name, parameters: tool.value("parameters") });
        }
    }
    let demanded =
        Tool::demanded(fields, &tools, |choice| choice.text("name")?.ok_or_else(|| choice.missing("name")))?;
    if let Some(form) = Form::tool(demanded, &tools, call.script) {
        return Ok(form);
    }
    let format = match fields.object("text")? {
        Some(text) => text.object("format")?,
        None => None,
    };
    let Some(format) = format else {
        return Ok(Form::Text);
    };
    Form::structured(&format, |format| Ok(format.value("schema")))
}

fn response(call: &Call<'_>, progress: Progress, output: &[Value], usage: &Value) -> Value {
    let asked = |name: &str, default: Value| call.fields.value(name).cloned().unwrap_or(default);
    let incomplete = match progress {
        Progress::Ended(Finish::Length) => json!({"reason": "max_output_tokens"}),
        Progress::Begun | Progress::Ended(Finish::Stop | Finish::ToolCall) => Value::Null,
    };
    json!({
        "id": call.identity.id("resp_"),
        "object": "response",
        "created_at": call.created,
        "status": progress.status(),
        "background": false,
        "error": null,
        "incomplete_details": incomplete,
        "instructions": asked("instructions", Value::Null),
        "max_output_tokens": asked("max_output_tokens", Value::Null),
        "metadata": asked("metadata", json!({})),
        "model": call.model,
        "output": output,
        "parallel_tool_calls": asked("parallel_tool_calls", json!(true)),
        "previous_response_id": asked("previous_response_id", Value::Null),
        "reasoning": asked("reasoning", json!({"effort": null, "summary": null})),
        "service_tier": "default",
        "store": asked("store", json!(true)),
        "temperature": asked("temperature", json!(1.0)),
        "text": asked("text", json!({"format": {"type": "text"}})),
        "tool_choice": asked("tool_choice", json!("auto")),
        "tools": asked("tools", json!([])),
        "top_p": asked("top_p", json!(1.0)),
        "truncation": asked("truncation", json!("disabled")),
        "usage": usage,
        "user": asked("user", Value::Null),
    })
}

fn output(call: &Call<'_>, answer: &Answer) -> Vec<Value> {
    let end = Progress::Ended(answer.finish);
    let thought =
        (!answer.reasoning.is_empty()).then(|| reasoning_item(call, &[summary(&answer.reasoning.concat())]));
    let said = match &answer.body {
        Body::Text(tokens) => message_item(call, end, &[text_part(&tokens.concat())]),
        Body::ToolCall { id, name, arguments } => call_item(call, end, id, name, &arguments.concat()),
    };
    thought.into_iter().chain([said]).collect()
}

fn reasoning_item(call: &Call<'_>, summary: &[Value]) -> Value {
    json!({"id": call.identity.id("rs_"), "type": "reasoning", "summary": summary})
}

fn message_item(call: &Call<'_>, progress: Progress, content: &[Value]) -> Value {
    json!({
        "id": call.identity.id("msg_"),
        "type": "message",
        "status": progress.status(),
        "role": "assistant",
        "content": content,
    })
}

fn call_item(call: &Call<'_>, progress: Progress, call_id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "id": call.identity.id("fc_"),
        "type": "function_call",
        "status": progress.status(),
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    })
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn summary(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

//! `POST /v1/completions`, the text API of old.

use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Body, Question},
    call::Call,
    form::Form,
    prompt::Prompt,
    refusal::Refusal,
    reply::Reply,
    score::{self, Dialect, Frame, Part},
    seed::Seed,
    usage::Usage,
};

/// The most answers to one request: as many prompts times as many choices.
const MOST_ANSWERS: usize = 64;

pub(crate) fn answer(call: &Call<'_>) -> Result<Reply, Refusal> {
    let fields = &call.fields;
    let prompts = Prompt::list(fields, "prompt")?;
    let choices = call.choices()?;
    if prompts.len() * choices > MOST_ANSWERS {
        return Err(fields.bad("prompt", format!("it asks for more than {MOST_ANSWERS} answers")));
    }
    let cap = fields.count("max_tokens")?;
    let answers: Vec<Answer> = prompts
        .iter()
        .flat_map(|prompt| {
            let question = Question {
                seed: Seed::of([prompt.bytes().as_ref()]),
                text: prompt.text().to_owned(),
                cap,
                form: Form::Text,
            };
            (0..choices).map(move |choice| Answer::compose(&question, call.script, choice))
        })
        .collect();
    let usage = Usage {
        prompt: prompts.iter().map(Prompt::tokens).sum(),
        completion: answers.iter().map(Answer::tokens).sum(),
        reasoning: answers.iter().map(|answer| answer.reasoning.len()).sum(),
    };
    let include_usage = call.includes_usage()?;
    let usage = call.reported(usage).map(Usage::of_completions);
    let id = call.identity.id("cmpl-");
    if fields.flag("stream")? {
        let frames = frames(call, &id, &answers, usage.filter(|_| include_usage));
        return Ok(score::stream(call.script, Dialect::Chat, frames));
    }
    let choices = answers
        .iter()
        .enumerate()
        .map(|(index, answer)| choice(index, &tokens(answer).concat(), Some(answer.finish.reason())))
        .collect();
    Ok(score::whole(call.script, &completion(call, &id, choices, usage)))
}

fn completion(call: &Call<'_>, id: &str, choices: Vec<Value>, usage: Option<Value>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("id".to_owned(), json!(id));
    body.insert("object".to_owned(), json!("text_completion"));
    body.insert("created".to_owned(), json!(call.created));
    body.insert("model".to_owned(), json!(call.model));
    body.insert("choices".to_owned(), Value::Array(choices));
    body.extend(usage.map(|usage| ("usage".to_owned(), usage)));
    body
}

fn choice(index: usize, text: &str, finish_reason: Option<&str>) -> Value {
    json!({"text": text, "index": index, "logprobs": null, "finish_reason": finish_reason})
}

fn tokens(answer: &Answer) -> &[String] {
    let (Body::Text(tokens) | Body::ToolCall { arguments: tokens, .. }) = &answer.body;
    tokens
}

fn frames(call: &Call<'_>, id: &str, answers: &[Answer], usage: Option<Value>) -> Vec<Frame> {
    let unreported = usage.as_ref().map(|_| Value::Null);
    let said = |index, part, text: &str, finish_reason| {
        let choices = vec![choice(index, text, finish_reason)];
        Frame { bytes: score::event(&completion(call, id, choices, unreported.clone())), part }
    };
    let mut frames = Vec::new();
    for (index, answer) in answers.iter().enumerate() {
        frames.extend(tokens(answer).iter().map(|token| said(index, Part::Content, token, None)));
        frames.push(said(index, Part::Frame, "", Some(answer.finish.reason())));
    }
    if usage.is_some() {
        let last = completion(call, id, Vec::new(), usage);
        frames.push(Frame { bytes: score::event(&last), part: Part::Frame });
    }
    frames.push(Frame::done());
    frames
}

//! What is done in a case, step by step.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::answer::{OneOrMore, Part, only_one};
use super::{Expectation, Span};
use crate::packing::Packing;

/// One thing that is done, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Step {
    pub(crate) act: Act,
    pub(crate) expect: Option<Box<Expectation>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends and reads the answer to its end.
    Send(Box<Request>, Amount),
    /// Sends, and goes on with the next step meanwhile.
    Start {
        name: String,
        request: Box<Request>,
    },
    /// Reads the answer of what was started to its end.
    Finish(String),
    /// What was started is left by its client.
    Leave(String),
    Wait(Duration),
    /// Opens a gate for good.
    Open(String),
    /// Waits until upstreams have seen so many requests in all.
    Seen(BTreeMap<String, usize>),
    /// Waits until the gateway has left so many answers of upstreams.
    Gone(BTreeMap<String, usize>),
}

/// How often a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// So often, one after the other.
    InTurn(usize),
    /// So often at the same time.
    Together(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    /// The client leaves with so many bytes of the answer's body.
    pub(crate) leave_after: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Nothing,
    Text(String),
    Packed(Packing, String),
    /// Sent as these chunks.
    Chunks(Vec<String>),
    Bytes(Vec<u8>),
    /// All bytes of the request, head included, with waits between them.
    Raw(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    send: Option<String>,
    chat: Option<String>,
    stream: Option<String>,
    raw: Option<Vec<Part>>,
    finish: Option<String>,
    leave: Option<String>,
    wait: Option<Span>,
    open: Option<String>,
    seen: Option<BTreeMap<String, usize>>,
    gone: Option<BTreeMap<String, usize>>,

    #[serde(default)]
    headers: BTreeMap<String, OneOrMore>,
    json: Option<String>,
    body: Option<String>,
    gzip: Option<String>,
    deflate: Option<String>,
    br: Option<String>,
    zstd: Option<String>,
    chunks: Option<Vec<String>>,
    hex: Option<String>,
    start: Option<String>,
    leave_after: Option<usize>,
    times: Option<usize>,
    together: Option<usize>,

    expect: Option<Box<Expectation>>,
}

impl Step {
    pub(super) fn expects_something(&self) -> bool {
        self.expect.is_some()
    }
}

impl TryFrom<Written> for Step {
    type Error = String;

    fn try_from(mut written: Written) -> Result<Self, String> {
        let verb = only_one(&[
            ("send", written.send.is_some()),
            ("chat", written.chat.is_some()),
            ("stream", written.stream.is_some()),
            ("raw", written.raw.is_some()),
            ("finish", written.finish.is_some()),
            ("leave", written.leave.is_some()),
            ("wait", written.wait.is_some()),
            ("open", written.open.is_some()),
            ("seen", written.seen.is_some()),
            ("gone", written.gone.is_some()),
        ])?;
        let verb = verb.ok_or("a step does nothing")?;
        let expect = written.expect.take();
        let is_request = matches!(verb, "send" | "chat" | "stream" | "raw");
        let act = if is_request { written.request()? } else { written.other(verb)? };
        match &act {
            Act::Send(..) | Act::Finish(_) if expect.is_none() => Err(format!("`{verb}` expects nothing")),
            Act::Start { .. } | Act::Wait(_) | Act::Open(_) | Act::Seen(_) | Act::Gone(_)
                if expect.is_some() =>
            {
                Err("only what sends, finishes or leaves has something to expect".into())
            }
            _ => Ok(Self { act, expect }),
        }
    }
}

impl Written {
    fn other(self, verb: &str) -> Result<Act, String> {
        let Self { finish, leave, wait, open, seen, gone, headers, start, times, together, .. } = self;
        if !headers.is_empty() || start.is_some() || times.is_some() || together.is_some() {
            return Err(format!("`{verb}` sends nothing"));
        }
        let act = finish.map(Act::Finish).or(leave.map(Act::Leave)).or(open.map(Act::Open));
        let act = act.or(seen.map(Act::Seen)).or(gone.map(Act::Gone));
        match (act, wait) {
            (Some(act), _) => Ok(act),
            (None, Some(wait)) => wait.waited().map(Act::Wait),
            (None, None) => Err("a step does nothing".into()),
        }
    }

    fn request(self) -> Result<Act, String> {
        let (start, leave_after) = (self.start.clone(), self.leave_after);
        let amount = match (self.times, self.together) {
            (None, None) => Amount::InTurn(1),
            (Some(times), None) => Amount::InTurn(times),
            (None, Some(together)) => Amount::Together(together),
            (Some(_), Some(_)) => return Err("`times` and `together` do not go together".into()),
        };
        let mut headers = Vec::new();
        for (name, OneOrMore(values)) in &self.headers {
            headers.extend(values.iter().map(|value| (name.clone(), value.clone())));
        }
        let body = only_one(&[
            ("json", self.json.is_some()),
            ("body", self.body.is_some()),
            ("gzip", self.gzip.is_some()),
            ("deflate", self.deflate.is_some()),
            ("br", self.br.is_some()),
            ("zstd", self.zstd.is_some()),
            ("chunks", self.chunks.is_some()),
            ("hex", self.hex.is_some()),
        ])?;
        let is_short = self.chat.is_some() || self.stream.is_some();
        let names_type = self.headers.contains_key("content-type");
        let is_json = is_short || body.is_some_and(|body| body != "body" && body != "hex");
        if is_json && !names_type {
            headers.push(("content-type".into(), "application/json".into()));
        }
        if let Some(body) = body.filter(|_| is_short || self.raw.is_some()) {
            return Err(format!("there is no place for `{body}`"));
        }
        let (line, body) = match (self.chat, self.stream, self.raw) {
            (Some(model), _, _) => (CHAT.to_owned(), Body::Text(short(&model, ""))),
            (_, Some(model), _) => (CHAT.to_owned(), Body::Text(short(&model, r#","stream":true"#))),
            (_, _, Some(raw)) => ("RAW /".to_owned(), Body::Raw(raw)),
            (None, None, None) => {
                let packed = [
                    (Packing::Gzip, self.gzip),
                    (Packing::Deflate, self.deflate),
                    (Packing::Br, self.br),
                    (Packing::Zstd, self.zstd),
                ];
                let packed =
                    packed.into_iter().find_map(|(packing, text)| Some(Body::Packed(packing, text?)));
                let body =
                    self.json.or(self.body).map(Body::Text).or(packed).or(self.chunks.map(Body::Chunks));
                let hex = self.hex.as_deref().map(unhex).transpose()?.map(Body::Bytes);
                (self.send.unwrap_or_default(), body.or(hex).unwrap_or(Body::Nothing))
            }
        };
        let (method, target) =
            line.split_once(' ').ok_or_else(|| format!("{line:?} is no method and path"))?;
        let request = Request { method: method.into(), target: target.into(), headers, body, leave_after };
        let request = Box::new(request);
        match start {
            Some(_) if amount != Amount::InTurn(1) => Err("one is started at a time".into()),
            Some(name) => Ok(Act::Start { name, request }),
            None => Ok(Act::Send(request, amount)),
        }
    }
}

const CHAT: &str = "POST /v1/chat/completions";

fn short(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}"{more},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    if !digits.len().is_multiple_of(2) || digits.len() != text.split_whitespace().map(str::len).sum::<usize>()
    {
        return Err(format!("{text:?} is no hex"));
    }
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).map_err(|e| e.to_string())).collect()
}

//! What an upstream answers, as a case writes it.

use std::time::Duration;

use serde::Deserialize;

use super::Span;
use crate::packing::Packing;

/// One answer, to the byte.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Answer {
    /// How many requests get it, before the next one's turn.
    pub(crate) times: usize,
    /// Sent before anything is asked of the head: waits and gates.
    pub(crate) first: Vec<Part>,
    /// `None` when `parts` are all that is sent.
    pub(crate) head: Option<Head>,
    pub(crate) parts: Vec<Part>,
    /// The coding that the texts of `parts` are one body of.
    pub(crate) packed: Option<Packing>,
    pub(crate) ends: Mishap,
}

#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A content-length, as it is or as it is claimed.
    Length(Option<u64>),
    /// Each part is a chunk.
    Chunked,
    /// The head says nothing of a body.
    Nothing,
}

/// A part of an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(crate) enum Part {
    Text(String),
    Wait(Duration),
    /// Held until a step opens the gate of that name.
    Gate(String),
}

/// What happens when all parts are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mishap {
    /// The body ends as its framing says; the connection waits for its next request.
    #[default]
    Whole,
    /// TCP FIN in the middle.
    Close,
    /// TCP RST.
    Reset,
    /// Nothing more, until the gateway leaves.
    Stall,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    times: Option<usize>,
    wait: Option<Span>,
    gate: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, OneOrMore>,
    /// A body with the content type of JSON.
    json: Option<String>,
    /// A body of whatever type `headers` say.
    text: Option<String>,
    /// The data of events, each in a chunk of its own.
    events: Option<Vec<Part>>,
    /// Chunks, as they are.
    chunks: Option<Vec<Part>>,
    /// Everything, the head included.
    raw: Option<Vec<Part>>,
    /// A content-length that is claimed; of `json` and `text`.
    length: Option<u64>,
    /// A content coding, which the head names.
    packed: Option<Packing>,
    #[serde(default)]
    ends: Mishap,
}

/// A header's value, or several of the same name.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(crate) struct OneOrMore(pub(crate) Vec<String>);

impl TryFrom<toml::Value> for OneOrMore {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let text = |value: &toml::Value| value.as_str().map(str::to_owned);
        let list = match &value {
            toml::Value::Array(list) => list.iter().map(text).collect::<Option<Vec<_>>>(),
            one => text(one).map(|one| vec![one]),
        };
        list.map(Self).ok_or_else(|| format!("{value} is neither a string nor a list of them"))
    }
}

impl TryFrom<toml::Value> for Part {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            wait: Option<Span>,
            gate: Option<String>,
        }
        if let toml::Value::String(text) = value {
            return Ok(Self::Text(text));
        }
        let table: Table = value.try_into().map_err(|e: toml::de::Error| e.to_string())?;
        match (table.wait, table.gate) {
            (Some(span), None) => span.waited().map(Self::Wait),
            (None, Some(gate)) => Ok(Self::Gate(gate)),
            _ => Err("a part is a text, a wait or a gate".into()),
        }
    }
}

/// The name of the one that is given; a fault when there are more.
pub(super) fn only_one<'a>(given: &[(&'a str, bool)]) -> Result<Option<&'a str>, String> {
    let mut names = given.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
    match (names.next(), names.next()) {
        (Some(first), Some(second)) => Err(format!("`{first}` and `{second}` do not go together")),
        (first, _) => Ok(first),
    }
}

impl TryFrom<Written> for Answer {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written {
            times,
            wait,
            gate,
            status,
            headers,
            json,
            text,
            events,
            chunks,
            raw,
            length,
            packed,
            ends,
        } = written;
        let form = only_one(&[
            ("json", json.is_some()),
            ("text", text.is_some()),
            ("events", events.is_some()),
            ("chunks", chunks.is_some()),
            ("raw", raw.is_some()),
        ])?;
        if length.is_some() && !matches!(form, Some("json" | "text")) {
            return Err("only `json` and `text` have a `length`".into());
        }
        if packed.is_some() && matches!(form, None | Some("raw")) {
            return Err("`packed` is of a body".into());
        }
        if form == Some("raw") && (status.is_some() || !headers.is_empty()) {
            return Err("`raw` has its own head".into());
        }
        let kind = match form {
            Some("json") => Some("application/json"),
            Some("events" | "chunks") => Some("text/event-stream"),
            _ => None,
        };
        let framing = match form {
            Some("json" | "text") => Framing::Length(length),
            Some("events" | "chunks") => Framing::Chunked,
            _ => Framing::Nothing,
        };
        let mut fields = Vec::new();
        if let Some(kind) = kind.filter(|_| !headers.contains_key("content-type")) {
            fields.push(("content-type".to_owned(), kind.to_owned()));
        }
        for (name, OneOrMore(values)) in headers {
            fields.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
        fields.extend(packed.map(|packed| ("content-encoding".to_owned(), packed.coding().to_owned())));
        let is_silent = form.is_none() && status.is_none() && fields.is_empty();
        let is_headless = form == Some("raw") || (is_silent && ends != Mishap::Whole);
        let head = (!is_headless).then(|| Head { status: status.unwrap_or(200), headers: fields, framing });
        let frame = |part| match part {
            Part::Text(data) => Part::Text(format!("data: {data}\n\n")),
            other => other,
        };
        let whole = json.or(text).map(|text| vec![Part::Text(text)]);
        let events = events.map(|events| events.into_iter().map(frame).collect());
        let parts = whole.or(events).or(chunks).or(raw).unwrap_or_default();
        let wait = wait.map(Span::waited).transpose()?.map(Part::Wait);
        let first = wait.into_iter().chain(gate.map(Part::Gate)).collect();
        Ok(Self { times: times.unwrap_or(1), first, head, parts, packed, ends })
    }
}

//! A recording as the bytes that its provider sends, and the ways in which they are cut.

use bytes::Bytes;
use serde_json::Value;

use crate::recording::{Api, Line};

/// How the bytes of an answer's body are cut into chunks. Each chunk reaches the gateway's code by itself, whatever
/// the network makes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    Whole,
    OneByte,
    /// Of a size that fits no event.
    Bytes997,
    Event,
}

impl Cutting {
    pub(crate) const ALL: [Self; 4] = [Self::Whole, Self::OneByte, Self::Bytes997, Self::Event];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::OneByte => "1 byte",
            Self::Bytes997 => "997 bytes",
            Self::Event => "an event at a time",
        }
    }

    /// The chunks of a body that consists of `frames`.
    pub(crate) fn chunks(self, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let by = |size: usize| frames.concat().chunks(size).map(<[u8]>::to_vec).collect();
        match self {
            Self::Whole => vec![frames.concat()],
            Self::OneByte => by(1),
            Self::Bytes997 => by(997),
            Self::Event => frames.to_vec(),
        }
    }
}

/// The events of a stream as server-sent events, the terminator included where the dialect has one.
pub(crate) fn frames(api: Api, lines: &[Line]) -> Vec<Vec<u8>> {
    let mut frames: Vec<_> = lines.iter().map(|line| frame(api, line).into_bytes()).collect();
    if api.has_chunks() {
        frames.push(b"data: [DONE]\n\n".to_vec());
    }
    frames
}

fn frame(api: Api, line: &Line) -> String {
    match line {
        Line::Comment(text) => format!("{text}\n\n"),
        Line::Data { text, json } => {
            let kind = json.as_ref().filter(|_| api == Api::Responses).and_then(|json| json["type"].as_str());
            let name = kind.map(|kind| format!("event: {kind}\n")).unwrap_or_default();
            format!("{name}data: {text}\n\n")
        }
    }
}

/// What stands in a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Comment(String),
    Event {
        name: Option<String>,
        data: Value,
    },
    /// Data that is no JSON.
    Text(String),
}

/// Reads the events of a stream.
pub(crate) fn read(body: &[u8]) -> Vec<Told> {
    let text = String::from_utf8_lossy(body);
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    let told = events.map(|event| {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        match field("data") {
            None => Told::Comment(event.to_owned()),
            Some(data) => match serde_json::from_str(data) {
                Ok(data) => Told::Event { name: field("event").map(str::to_owned), data },
                Err(_) => Told::Text(data.to_owned()),
            },
        }
    });
    told.collect()
}

/// A response whose body comes in `chunks`.
pub(crate) fn response(status: u16, content_type: &str, chunks: &[Vec<u8>]) -> Bytes {
    let mut response =
        format!("HTTP/1.1 {status} So\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n")
            .into_bytes();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        response.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        response.extend(chunk);
        response.extend(b"\r\n");
    }
    response.extend(b"0\r\n\r\n");
    response.into()
}

//! A recording, and the dialect that its content is in.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use serde_json::Value;

/// The ending of a file with the events of a stream, the JSON of one a line.
const EVENTS: &str = ".chunks.txt";
/// The ending of a file with a whole answer.
const WHOLE: &str = ".json";

/// Why a folder gives nothing to compare.
#[derive(Debug)]
pub enum Trouble {
    /// The folder, or something in it, cannot be read.
    Unreadable {
        path: PathBuf,
        error: io::Error,
    },
    Empty {
        folder: PathBuf,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Empty { folder } => {
                write!(f, "no recording (NAME{EVENTS}, NAME{WHOLE}) lies below {}", folder.display())
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct Recording {
    /// Its path below the folder.
    pub name: String,
    pub dialect: Dialect,
    pub form: Form,
}

#[derive(Clone, Debug)]
pub enum Form {
    Events(Vec<Line>),
    Whole(String),
}

/// A line of a recorded stream.
#[derive(Clone, Debug)]
pub enum Line {
    /// A comment of server-sent events, which begins with a colon.
    Comment(String),
    /// The data of an event; `json` is `None` where it is no JSON.
    Data { text: String, json: Option<Value> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Spoken(Api),
    /// The gateway does not speak it yet; its name.
    NotSpoken(&'static str),
}

/// What is asked for to get such an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Chat,
    Completions,
    Responses,
    Embeddings,
    /// It passes through.
    Transcription,
    /// An error in place of a chat completion.
    Error,
}

impl Api {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Transcription => "transcription",
            Self::Error => "error",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Chat | Self::Error => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Transcription => "/v1/audio/transcriptions",
        }
    }

    /// Whether its streams are chunks of choices and then `[DONE]`.
    pub(crate) fn has_chunks(self) -> bool {
        match self {
            Self::Chat | Self::Completions => true,
            Self::Responses | Self::Embeddings | Self::Transcription | Self::Error => false,
        }
    }
}

/// All recordings below `folder`, by name.
pub(crate) fn all_below(folder: &Path) -> Result<Vec<Recording>, Trouble> {
    let mut recordings = Vec::new();
    read_folder(folder, folder, &mut recordings)?;
    recordings.sort_by(|one, other| one.name.cmp(&other.name));
    if recordings.is_empty() { Err(Trouble::Empty { folder: folder.to_owned() }) } else { Ok(recordings) }
}

fn read_folder(root: &Path, folder: &Path, recordings: &mut Vec<Recording>) -> Result<(), Trouble> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| Trouble::Unreadable { path, error }
    };
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if path.is_dir() {
            read_folder(root, &path, recordings)?;
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if name.ends_with(EVENTS) || name.ends_with(WHOLE) {
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            recordings.extend(Recording::read_all(&name, &text));
        }
    }
    Ok(())
}

impl Recording {
    /// Reads a recording of events or of a whole answer, as its name says. A file may hold several streams, one
    /// behind the other.
    pub fn read_all(name: &str, text: &str) -> Vec<Self> {
        if !name.ends_with(EVENTS) {
            let json = serde_json::from_str(text).unwrap_or_default();
            let (dialect, form) = (dialect_of_whole(&json), Form::Whole(text.to_owned()));
            return vec![Self { name: name.to_owned(), dialect, form }];
        }
        let lines = text.lines().filter(|line| !line.trim().is_empty()).map(Line::read).collect();
        let streams = split(lines);
        let is_one = streams.len() == 1;
        let read = |(number, lines): (usize, Vec<Line>)| {
            let name = if is_one { name.to_owned() } else { format!("{name} #{number}") };
            Self { name, dialect: dialect_of_events(&lines), form: Form::Events(lines) }
        };
        (1..).zip(streams).map(read).collect()
    }
}

/// Every response but the first begins a stream of its own.
fn split(lines: Vec<Line>) -> Vec<Vec<Line>> {
    let mut streams = vec![Vec::new()];
    let mut is_over = false;
    for line in lines {
        let kind = line.json().and_then(|json| json["type"].as_str()).unwrap_or_default();
        if kind == "response.created" && is_over {
            streams.push(Vec::new());
            is_over = false;
        }
        is_over |= matches!(kind, "response.completed" | "response.incomplete" | "response.failed");
        if let Some(stream) = streams.last_mut() {
            stream.push(line);
        }
    }
    streams
}

impl Line {
    fn read(text: &str) -> Self {
        let text = text.trim_end().to_owned();
        if text.starts_with(':') {
            return Self::Comment(text);
        }
        let json = serde_json::from_str(&text).ok();
        Self::Data { text, json }
    }

    pub(crate) fn json(&self) -> Option<&Value> {
        match self {
            Self::Data { json, .. } => json.as_ref(),
            Self::Comment(_) => None,
        }
    }
}

/// The first event that tells it does.
fn dialect_of_events(lines: &[Line]) -> Dialect {
    let found = lines.iter().filter_map(Line::json).find_map(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        let has = |key: &str| event.get(key).is_some();
        Some(if has("choices") {
            Dialect::Spoken(api_of_choices(event))
        } else if kind.starts_with("response.") || (kind == "error" && has("sequence_number")) {
            Dialect::Spoken(Api::Responses)
        } else if kind.starts_with("message_") || kind.starts_with("content_block_") {
            Dialect::NotSpoken("Anthropic Messages")
        } else if kind.starts_with("message-") || kind.starts_with("content-") {
            Dialect::NotSpoken("Cohere Chat")
        } else if has("candidates") {
            Dialect::NotSpoken("Gemini generateContent")
        } else if ["messageStart", "contentBlockStart", "contentBlockDelta"].into_iter().any(has) {
            Dialect::NotSpoken("Bedrock Converse")
        } else {
            return None;
        })
    });
    found.unwrap_or(Dialect::NotSpoken("unknown"))
}

fn dialect_of_whole(answer: &Value) -> Dialect {
    let has = |key: &str| answer.get(key).is_some();
    if has("choices") {
        Dialect::Spoken(api_of_choices(answer))
    } else if answer["object"] == "response" {
        Dialect::Spoken(Api::Responses)
    } else if answer["object"] == "list" && answer["data"][0]["object"] == "embedding" {
        Dialect::Spoken(Api::Embeddings)
    } else if answer["error"]["message"].is_string() {
        Dialect::Spoken(Api::Error)
    } else if answer["text"].is_string() && has("segments") {
        Dialect::Spoken(Api::Transcription)
    } else if answer["type"] == "message" {
        Dialect::NotSpoken("Anthropic Messages")
    } else if has("candidates") {
        Dialect::NotSpoken("Gemini generateContent")
    } else if has("stopReason") {
        Dialect::NotSpoken("Bedrock Converse")
    } else if has("message") && has("finish_reason") {
        Dialect::NotSpoken("Cohere Chat")
    } else {
        Dialect::NotSpoken("unknown")
    }
}

fn api_of_choices(answer: &Value) -> Api {
    if answer["object"] == "text_completion" { Api::Completions } else { Api::Chat }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_told_by_the_content_and_not_by_the_name() {
        for (name, text, expected) in [
            (
                "a.chunks.txt",
                r#"{"object":"chat.completion.chunk","choices":[]}"#,
                Dialect::Spoken(Api::Chat),
            ),
            (
                "a.chunks.txt",
                r#"{"object":"text_completion","choices":[]}"#,
                Dialect::Spoken(Api::Completions),
            ),
            ("a.chunks.txt", ": hello\n\n{\"type\":\"response.created\"}", Dialect::Spoken(Api::Responses)),
            ("a.chunks.txt", r#"{"type":"message_start"}"#, Dialect::NotSpoken("Anthropic Messages")),
            ("a.chunks.txt", r#"{"type":"message-start"}"#, Dialect::NotSpoken("Cohere Chat")),
            ("a.chunks.txt", r#"{"candidates":[]}"#, Dialect::NotSpoken("Gemini generateContent")),
            ("a.chunks.txt", r#"{"messageStart":{}}"#, Dialect::NotSpoken("Bedrock Converse")),
            ("a.chunks.txt", "rivers", Dialect::NotSpoken("unknown")),
            ("a.json", r#"{"object":"chat.completion","choices":[]}"#, Dialect::Spoken(Api::Chat)),
            ("a.json", r#"{"object":"response"}"#, Dialect::Spoken(Api::Responses)),
            ("a.json", r#"{"error":{"message":"no"}}"#, Dialect::Spoken(Api::Error)),
            ("a.json", r#"{"type":"message","content":[]}"#, Dialect::NotSpoken("Anthropic Messages")),
            ("a.json", r#"{"output":{},"stopReason":"end_turn"}"#, Dialect::NotSpoken("Bedrock Converse")),
            ("a.json", r#"{"message":{},"finish_reason":"COMPLETE"}"#, Dialect::NotSpoken("Cohere Chat")),
            ("a.json", "rivers", Dialect::NotSpoken("unknown")),
        ] {
            let recordings = Recording::read_all(name, text);
            assert_eq!(recordings.len(), 1, "{text}");
            assert_eq!(recordings[0].dialect, expected, "{text}");
        }
    }

    #[test]
    fn streams_that_stand_one_behind_the_other_are_told_apart() {
        let stream = "{\"type\":\"response.created\"}\n{\"type\":\"response.completed\"}\n";
        let names = |text: &str| {
            let recordings = Recording::read_all("a.chunks.txt", text);
            recordings.into_iter().map(|recording| recording.name).collect::<Vec<_>>()
        };
        assert_eq!(names(stream), ["a.chunks.txt"]);
        assert_eq!(names(&stream.repeat(2)), ["a.chunks.txt #1", "a.chunks.txt #2"]);
    }
}

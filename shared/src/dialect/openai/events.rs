//! What the events of an answer mean, dialect by dialect.

mod chunk;
mod progress;
mod response_event;
mod whole;

use std::borrow::Cow;
use std::ops::Range;

use self::chunk::Chunk;
use self::progress::Progress;
use crate::dialect::endpoint::Operation;
use crate::ledger::usage::{Meter, Usage};
use crate::wire::json;
use crate::wire::sse::Frame;

/// What one event is to the contract.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Comments, role chunks, progress notes: nothing the client has waited for.
    Preamble,
    /// The answer itself, or its end short of the terminator.
    Content,
    /// The answer is complete.
    Terminator,
    /// The terminator of an answer that is not complete.
    EarlyTerminator,
    /// The upstream says that it failed.
    Failure,
    /// No such event exists in this dialect.
    Malformed,
}

/// What becomes of an event's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    AsItIs,
    /// It was asked for by the gateway, not by the client.
    Drop,
    /// Without what was asked for by the gateway, which stands there in the frame.
    Without(Range<usize>),
}

/// Reads along.
#[derive(Debug)]
pub(crate) struct Observer {
    operation: Operation,
    /// The gateway asked for usage, the client did not.
    strip_usage: bool,
    meter: Meter,
    model: Option<String>,
    sequence: u64,
    progress: Progress,
    /// A whole answer was seen, and it is not one that only says it will come.
    is_whole: bool,
}

impl Observer {
    pub(crate) fn new(operation: Operation, strip_usage: bool) -> Self {
        Self {
            operation,
            strip_usage,
            meter: Meter::default(),
            model: None,
            sequence: 0,
            progress: Progress::default(),
            is_whole: false,
        }
    }

    pub(crate) fn usage(&self, prompt_bytes: usize) -> Usage {
        self.meter.usage(prompt_bytes)
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// One that has seen nothing, of the same kind.
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.operation, self.strip_usage)
    }

    /// The model as the upstream calls it.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The number of the next event, where the dialect numbers them.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether nothing is missing but the terminator: every choice has its `finish_reason`. Responses have no
    /// terminator apart from their last event.
    pub(crate) fn lacks_only_terminator(&self) -> bool {
        self.progress.is_over()
    }

    pub(crate) fn see(&mut self, frame: &Frame<'_>) -> (Meaning, Passage) {
        let Some(data) = frame.data.as_deref().filter(|_| !is_keep_alive(frame)) else {
            return (Meaning::Preamble, Passage::AsItIs);
        };
        // What is not quite text is read as well as can be, and goes on as it is.
        match json::text(data) {
            Cow::Borrowed(text) => self.see_text(frame, text),
            Cow::Owned(text) => match self.see_text(frame, &text) {
                (meaning, Passage::Without(_)) => (meaning, Passage::AsItIs),
                seen => seen,
            },
        }
    }

    fn see_text(&mut self, frame: &Frame<'_>, text: &str) -> (Meaning, Passage) {
        if text.trim() == "[DONE]" {
            let is_end = self.operation != Operation::Responses && self.progress.is_over();
            let meaning = if is_end { Meaning::Terminator } else { Meaning::EarlyTerminator };
            return (meaning, Passage::AsItIs);
        }
        match self.operation {
            Operation::Responses => (self.see_response_event(frame.event, text), Passage::AsItIs),
            Operation::Chat | Operation::Completions | Operation::Embeddings => self.see_chunk(frame, text),
        }
    }

    fn see_chunk(&mut self, frame: &Frame<'_>, text: &str) -> (Meaning, Passage) {
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(text) else {
            return (Meaning::Malformed, Passage::Drop);
        };
        if chunk.is_error() {
            return (Meaning::Failure, Passage::Drop);
        }
        let [_, model, usage, ..] = chunk.values;
        if self.model.is_none() {
            self.model = model.and_then(|raw| json::Value::new(text, raw).read());
        }
        let usage = usage.map(|raw| json::Value::new(text, raw));
        let reported = usage.and_then(read_usage);
        if let Some(usage) = reported {
            self.meter.report(usage);
        }
        let choices = chunk.choices.unwrap_or_default();
        if choices.content > 0 {
            self.meter.count(choices.content);
        }
        for (index, is_finished) in choices.iter() {
            if self.progress.note(index, is_finished).is_err() {
                return (Meaning::Malformed, Passage::Drop);
            }
        }
        let is_content = choices.content > 0 || choices.is_any_finished;
        let meaning = if is_content { Meaning::Content } else { Meaning::Preamble };
        if !self.strip_usage {
            return (meaning, Passage::AsItIs);
        }
        if reported.is_some() && choices.count == 0 {
            return (meaning, Passage::Drop);
        }
        // Only what the gateway's own request added: `"usage":null`, or a running count.
        let span = usage.and_then(|usage| usage.field_span("usage"));
        (meaning, span.map_or(Passage::AsItIs, |span| without(frame, span)))
    }
}

/// Whether an event only keeps the connection: it has no data, `null` for data, or is named so and has none of an
/// answer.
pub(crate) fn is_keep_alive(frame: &Frame<'_>) -> bool {
    let Some(data) = &frame.data else { return true };
    if matches!(data.trim_ascii(), b"" | b"null") {
        return true;
    }
    let is_named_so = frame
        .event
        .is_some_and(|name| [b"ping".as_slice(), b"keepalive", b"keep-alive", b"heartbeat"].contains(&name));
    let says = |word: &[u8]| memchr::memmem::find(data, word).is_some();
    is_named_so && !says(b"\"choices\"") && !says(b"\"error\"") && data.trim_ascii() != b"[DONE]"
}

/// The frame with `span` of its data cut out. Data over several lines is left alone: no upstream writes a chunk
/// so, and the null in it would do no harm.
fn without(frame: &Frame<'_>, span: Range<usize>) -> Passage {
    let Some(Cow::Borrowed(data)) = frame.data else { return Passage::AsItIs };
    let base = data.as_ptr().addr() - frame.raw.as_ptr().addr();
    Passage::Without(base + span.start..base + span.end)
}

fn read_usage(value: json::Value<'_>) -> Option<Usage> {
    // So it stands in every chunk but the last; reading it would come to the same.
    if value.is_null() { None } else { Usage::read(value.text()) }
}

#[cfg(test)]
mod tests;

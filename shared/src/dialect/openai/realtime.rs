//! Usage that an upstream reports in the messages of a session.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ledger::usage::{Source, Tokens, Usage};

/// Bytes of an event that is read; audio comes in events of any size, and they report nothing.
const LARGEST_EVENT: usize = 1 << 20;

/// Adds up what events report. No event is held beyond its end, and none that is larger than the bound.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    event: Vec<u8>,
    is_too_large: bool,
    total: Option<Usage>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl Reader {
    /// The next bytes of an event.
    pub(crate) fn see(&mut self, text: &[u8]) {
        if self.event.len() + text.len() > LARGEST_EVENT {
            (self.event, self.is_too_large) = (Vec::new(), true);
        }
        if !self.is_too_large {
            self.event.extend_from_slice(text);
        }
    }

    /// The event is complete.
    pub(crate) fn end(&mut self) {
        self.is_too_large = false;
        if let Some(usage) = reported(&self.event) {
            let total = self.total.get_or_insert(Usage { source: Source::Reported, ..Usage::NOTHING });
            let add = |total: &mut Tokens, more: Tokens| total.0 = total.0.saturating_add(more.0);
            add(&mut total.input, usage.input);
            add(&mut total.cached, usage.cached);
            add(&mut total.output, usage.output);
            add(&mut total.reasoning, usage.reasoning);
        }
        self.event.clear();
    }

    pub(crate) fn total(&self) -> Option<Usage> {
        self.total
    }
}

/// The usage in `response.done`, in the end of a transcription, and in events like them.
fn reported(event: &[u8]) -> Option<Usage> {
    // Most events are audio, and are not worth being parsed.
    memmem::find(event, b"\"usage\"")?;
    let event: Event<'_> = serde_json::from_slice(event).ok()?;
    let is_last = matches!(event.kind.rsplit('.').next(), Some("done" | "completed"));
    let usage = event.usage.or(event.response.and_then(|response| response.usage)).filter(|_| is_last)?;
    Usage::read(usage.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_events_of_a_session_report_is_added_up() {
        let mut reader = Reader::default();
        for event in [
            r#"{"type":"response.created","response":{"usage":null}}"#,
            r#"{"type":"response.done","response":{"id":"r","output":[{"usage":7}],"usage":{"total_tokens":30,"input_tokens":20,
                "output_tokens":10,"input_token_details":{"text_tokens":1,"cached_tokens":5},"output_token_details":{"audio_tokens":9}}}}"#,
            r#"{"type":"conversation.item.input_audio_transcription.completed","transcript":"\"usage\"",
                "usage":{"type":"tokens","total_tokens":9,"input_tokens":7,"output_tokens":2}}"#,
            r#"{"type":"conversation.item.input_audio_transcription.completed","usage":{"type":"duration","seconds":9}}"#,
            r#"{"type":"response.updated","usage":{"input_tokens":100}}"#,
            r#"{"type":"response.done","response":{"status":"cancelled"}}"#,
            "\"usage\"",
            "",
        ] {
            for piece in event.as_bytes().chunks(7) {
                reader.see(piece);
            }
            reader.end();
        }
        let total = reader.total().unwrap();
        assert_eq!((total.input, total.cached, total.output), (Tokens(27), Tokens(5), Tokens(12)));
        assert_eq!(total.source, Source::Reported);
    }

    #[test]
    fn an_event_above_the_bound_is_not_held() {
        let mut reader = Reader::default();
        reader.see(br#"{"type":"response.done","usage":{"input_tokens":1},"x":""#);
        for _ in 0..=LARGEST_EVENT / 1000 {
            reader.see(&[b'a'; 1000]);
            assert!(reader.event.capacity() <= 2 * LARGEST_EVENT);
        }
        reader.see(b"\"}");
        reader.end();
        assert_eq!(reader.total(), None);
        reader.see(br#"{"type":"response.done","usage":{"input_tokens":1}}"#);
        reader.end();
        assert!(reader.total().is_some(), "the next is read again");
    }
}

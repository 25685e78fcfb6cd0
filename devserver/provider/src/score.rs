//! Turns a finished answer and a script into the steps of a response body: where the pauses are,
//! and where a fault strikes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    playback::Step,
    refusal::Refusal,
    reply::{self, Reply},
    script::{Fault, FaultKind, Reporting, Script},
};

/// How long a stalled connection is kept for a client that does not leave.
const LONGEST_STALL: Duration = Duration::from_mins(10);

const NOT_JSON: &[u8] = b"data: {\"id\":\"sim\",\"choices\":[{\"delta\":{\"content\":\n\n";

/// One server-sent event.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) part: Part,
}

impl Frame {
    /// `data: [DONE]`.
    pub(crate) fn done() -> Self {
        Self { bytes: Bytes::from_static(b"data: [DONE]\n\n"), part: Part::Terminator }
    }
}

/// What a frame is to the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Carries one token of content.
    Content,
    /// Carries one token before the content, such as reasoning.
    Thought,
    Frame,
    /// Tells the client that nothing is missing.
    Terminator,
}

/// How an error looks in the middle of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    Chat,
    Responses,
}

/// A stream of frames, played as the script says.
pub(crate) fn stream(script: &Script, dialect: Dialect, frames: Vec<Frame>) -> Reply {
    let mut steps = Sheet::default();
    let mut faults = script.faults.iter().copied().peekable();
    let mut sent = 0;
    let mut paced = false;
    for (place, frame) in frames.into_iter().enumerate() {
        while let Some(fault) = faults.next_if(|fault| fault.after <= sent) {
            match fault.kind {
                FaultKind::Malformed => steps.send(&Bytes::from_static(NOT_JSON)),
                FaultKind::Cut => return steps.events(),
                FaultKind::Reset => return steps.then(Step::Reset).events(),
                FaultKind::Stall => return steps.then(Step::Wait(LONGEST_STALL)).events(),
                FaultKind::MidwayError => {
                    steps.send(&error_frame(dialect, place));
                    return steps.events();
                }
            }
        }
        match frame.part {
            Part::Content | Part::Thought => {
                if paced && !script.pace.is_zero() {
                    steps = steps.then(Step::Wait(script.pace));
                }
                paced = true;
            }
            Part::Terminator if script.terminator == Reporting::Withheld => continue,
            Part::Terminator | Part::Frame => {}
        }
        sent += usize::from(frame.part == Part::Content);
        steps.send(&frame.bytes);
    }
    steps.events()
}

/// A whole JSON answer, broken by the first fault of the script if it has one.
pub(crate) fn whole(script: &Script, body: &impl Serialize) -> Reply {
    let Some(Fault { after, kind }) = script.faults.first().copied() else {
        return reply::json(StatusCode::OK, body);
    };
    let body = reply::encoded(body);
    let length = body.len() as u64;
    let half = body.slice(..body.len() / 2);
    let begun = if after == 0 { Bytes::new() } else { half.clone() };
    let broken_by = |end| reply::json_in_steps(StatusCode::OK, length, [Step::Send(begun), Step::Flush, end]);
    match kind {
        // Nothing follows the flush, and the declared length was more.
        FaultKind::Cut => broken_by(Step::Flush),
        FaultKind::Reset => broken_by(Step::Reset),
        FaultKind::Stall => broken_by(Step::Wait(LONGEST_STALL)),
        FaultKind::Malformed => reply::json_in_steps(StatusCode::OK, half.len() as u64, [Step::Send(half)]),
        FaultKind::MidwayError => Refusal::Midway.reply(),
    }
}

/// A stream that is nothing but an error.
pub(crate) fn error_stream(error: &Value) -> Reply {
    let frame = event(&json!({"error": error}));
    reply::events([Step::Send(frame)])
}

/// `data:` and a JSON document, as one event.
pub(crate) fn event(data: &impl Serialize) -> Bytes {
    let data = reply::encoded(data);
    let mut event = BytesMut::with_capacity(data.len() + 8);
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(&data);
    event.extend_from_slice(b"\n\n");
    event.freeze()
}

fn error_frame(dialect: Dialect, sequence_number: usize) -> Bytes {
    let error = Refusal::Midway.error();
    match dialect {
        Dialect::Chat => event(&json!({"error": error})),
        Dialect::Responses => {
            let data = json!({
                "type": "error",
                "code": "server_error",
                "message": error.get("message"),
                "param": null,
                "sequence_number": sequence_number,
            });
            Bytes::from(format!("event: error\ndata: {data}\n\n"))
        }
    }
}

/// Steps being written; what is sent without a pause between becomes one write.
#[derive(Default)]
struct Sheet {
    steps: Vec<Step>,
    unsent: BytesMut,
}

impl Sheet {
    fn send(&mut self, bytes: &Bytes) {
        self.unsent.extend_from_slice(bytes);
    }

    fn then(mut self, step: Step) -> Self {
        self.close_write();
        self.steps.push(step);
        self
    }

    fn events(mut self) -> Reply {
        self.close_write();
        reply::events(self.steps)
    }

    fn close_write(&mut self) {
        if !self.unsent.is_empty() {
            let write = self.unsent.split().freeze();
            self.steps.push(Step::Send(write));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str, part: Part) -> Frame {
        Frame { bytes: Bytes::from_static(text.as_bytes()), part }
    }

    fn played(model: &str) -> Vec<Step> {
        let frames = vec![
            frame("role ", Part::Frame),
            frame("a ", Part::Content),
            frame("b ", Part::Content),
            frame("stop ", Part::Frame),
            frame("done", Part::Terminator),
        ];
        stream(&Script::parse(model).unwrap(), Dialect::Chat, frames).into_body().collect()
    }

    fn send(text: &'static str) -> Step {
        Step::Send(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn faults_strike_after_their_token() {
        let pace = || Step::Wait(Duration::from_millis(3));
        let table = [
            ("sim-pace-0ms", vec![send("role a b stop done")]),
            ("sim-pace-3ms", vec![send("role a "), pace(), send("b stop done")]),
            ("sim-pace-0ms-no-done", vec![send("role a b stop ")]),
            ("sim-pace-0ms-cut-1", vec![send("role a ")]),
            ("sim-pace-0ms-cut-2", vec![send("role a b ")]),
            ("sim-pace-0ms-cut-0", vec![]),
            ("sim-pace-0ms-reset-1", vec![send("role a "), Step::Reset]),
            ("sim-reset-0", vec![Step::Reset]),
            ("sim-pace-0ms-stall-1", vec![send("role a "), Step::Wait(LONGEST_STALL)]),
        ];
        for (model, steps) in table {
            assert_eq!(played(model), steps, "{model}");
        }
    }

    #[test]
    fn a_malformed_frame_does_not_end_the_stream_and_an_error_does() {
        let text = |model| match played(model).as_slice() {
            [Step::Send(only)] => String::from_utf8(only.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        let malformed = text("sim-pace-0ms-malformed-1");
        assert!(malformed.starts_with("role a data: {\"id\":\"sim\""), "{malformed}");
        assert!(malformed.ends_with("\n\nb stop done"), "{malformed}");
        let error = text("sim-pace-0ms-midway-error-1");
        assert!(error.starts_with("role a data: {\"error\":{"), "{error}");
        assert!(!error.contains('b') || error.ends_with("}}\n\n"), "{error}");
    }
}

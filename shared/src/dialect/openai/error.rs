//! A refusal as `OpenAI` writes errors: a body, and an event of a stream.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::dialect::endpoint::Operation;
use crate::refusal::Refusal;

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorBody<'a>,
}

/// All four keys are always present, and details only where an upstream gave them.
#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
    #[serde(flatten)]
    details: Option<&'a Map<String, Value>>,
}

impl Refusal {
    /// The error body in the caller's dialect.
    pub fn to_body(&self) -> Bytes {
        let message = self.message();
        let error = ErrorBody {
            message: &message,
            r#type: self.kind(),
            param: self.param(),
            code: self.code(),
            details: self.details(),
        };
        // Strings and JSON cannot fail to serialise.
        serde_json::to_vec(&Envelope { error }).unwrap_or_default().into()
    }

    /// The error event in the caller's dialect, for an answer that has begun. `sequence` is its number, where
    /// the dialect numbers events. No terminator follows it.
    pub fn to_event(&self, operation: Operation, sequence: u64) -> Bytes {
        let text = match operation {
            Operation::Responses => {
                let event = serde_json::json!({
                    "type": "error", "code": self.code(), "message": self.message(),
                    "param": self.param(), "sequence_number": sequence,
                });
                format!("event: error\ndata: {event}\n\n")
            }
            Operation::Chat | Operation::Completions | Operation::Embeddings => {
                format!("data: {}\n\n", String::from_utf8_lossy(&self.to_body()))
            }
        };
        text.into()
    }
}

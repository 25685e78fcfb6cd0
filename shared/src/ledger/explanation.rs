//! What was decided for one request, and why: the answer to `x-weir-explain: 1`.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderValue;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::failure::Condition;
use crate::ledger::record::{Attempt, Record};

/// Collected on the way, printed into a header.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alias: Option<String>,
    pub(crate) route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pick: Option<&'static str>,
    /// What the client left to the gateway: an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) defaults: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) candidates: Vec<Named>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) skipped: Vec<Left>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Tried>,
    /// Where it had to wait for its turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queued: Vec<Waited>,
    /// Age of the answer, where it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct Waited {
    limiter: String,
    ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) upstream: String,
    pub(crate) model: String,
    pub(crate) role: &'static str,
    /// Share of failed calls that opens its breaker: by default a smaller one where there is somewhere else to go.
    pub(crate) failure_rate: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Left {
    pub(crate) upstream: String,
    pub(crate) why: String,
}

#[derive(Clone, Debug, Serialize)]
struct Tried {
    upstream: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    /// Why there was no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    ms: u64,
}

impl Explanation {
    pub(crate) fn asked(&mut self, model: &str) {
        self.model = Some(model.to_owned());
    }

    pub(crate) fn queued(&mut self, limiter: &str, waited: Duration) {
        if !waited.is_zero() {
            self.queued.push(Waited { limiter: limiter.to_owned(), ms: millis(waited) });
        }
    }

    /// The upstream has too much to do already.
    pub(crate) fn shed(&mut self, upstream: &str) {
        self.skipped.push(Left { upstream: upstream.to_owned(), why: "overloaded".into() });
    }

    pub(crate) fn kept(&mut self, age: Duration) {
        self.age_ms = Some(millis(age));
    }

    pub(crate) fn attempted(&mut self, record: &Record) {
        let tried = |attempt: &Attempt| Tried {
            upstream: attempt.upstream.clone(),
            status: attempt.status,
            failure: attempt.failure.map(Condition::name),
            cause: attempt.cause.map(ConnectFault::name),
            ms: millis(attempt.took),
        };
        self.attempts = record.attempts.iter().map(tried).collect();
    }

    /// Compact JSON in ASCII.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        let json = serde_json::to_string(self).ok()?;
        let mut text = String::with_capacity(json.len());
        for c in json.chars() {
            if c.is_ascii() {
                text.push(c);
            } else {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a String does not fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
        HeaderValue::try_from(text).ok()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_one_ascii_line() {
        let mut explanation = Explanation::default();
        explanation.asked("modèle-🦀\"");
        let header = explanation.to_header().unwrap();
        let text = header.to_str().unwrap();
        assert!(text.is_ascii());
        let read: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(read["model"], "modèle-🦀\"");
        assert_eq!(read["route"], serde_json::Value::Null);
    }
}

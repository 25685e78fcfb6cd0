//! What was decided for one request, and why: the answer to `x-weir-explain: 1`.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderValue;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::{Config, Pick};
use crate::dialect::call::Given;
use crate::ledger::record::{Attempt, Record};
use crate::routing::plan::{Plan, Resolved, Role};

/// Collected on the way, printed into a header.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pick: Option<&'static str>,
    /// What the client left to the gateway: an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Named>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<Left>,
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
struct Named {
    upstream: String,
    model: String,
    role: &'static str,
    /// Share of failed calls that opens its breaker: by default a smaller one where there is somewhere else to go.
    failure_rate: String,
}

#[derive(Clone, Debug, Serialize)]
struct Left {
    upstream: String,
    why: String,
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

    /// Only a model that the caller may use is explained.
    pub(crate) fn resolved(&mut self, config: &Config, resolved: &Resolved) {
        let route = &config.routes[resolved.route];
        if self.model.as_ref() != Some(&resolved.model) {
            self.alias = Some(resolved.model.clone());
        }
        self.route = Some(route.pattern.to_string());
        self.pick = Some(match route.pick {
            Pick::Weighted => "weighted",
            Pick::Fastest => "fastest",
            Pick::LeastBusy => "least-busy",
        });
    }

    pub(crate) fn filled(&mut self, given: &[Given]) {
        let members: Vec<String> = given.iter().map(Given::member).collect();
        let object = || RawValue::from_string(format!("{{{}}}", members.join(","))).ok();
        self.defaults = if members.is_empty() { None } else { object() };
    }

    pub(crate) fn planned(&mut self, config: &Config, plan: &Plan) {
        let name = |upstream| config.upstream(upstream).name.clone();
        let named = plan.candidates.iter().map(|candidate| Named {
            upstream: name(candidate.upstream),
            model: candidate.model.clone(),
            role: match candidate.role {
                Role::Target => "target",
                Role::Fallback => "fallback",
            },
            failure_rate: share(candidate.policies.model.failure_rate()),
        });
        self.candidates = named.collect();
        let skipped = plan.skipped.iter();
        self.skipped =
            skipped.map(|skip| Left { upstream: name(skip.upstream), why: skip.why.clone() }).collect();
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
            failure: attempt.failure.map(crate::config::Condition::name),
            cause: attempt.cause.map(crate::ledger::connect_fault::ConnectFault::name),
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

/// Millionths as per cent.
pub(crate) fn share(millionths: u32) -> String {
    let (whole, rest) = (millionths / 10_000, millionths % 10_000);
    let rest = if rest == 0 { String::new() } else { format!(".{rest:04}") };
    format!("{whole}{}%", rest.trim_end_matches('0'))
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

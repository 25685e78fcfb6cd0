//! `GET /v1/models`, and the names worth listing. Every other name that parses works as well.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    refusal::Refusal,
    reply::{self, Reply},
    script::Script,
};

/// Model names to show to people, and what each does.
pub const MODELS: &[(&str, &str)] = &[
    ("sim", "answers at once, a token every 15 ms"),
    ("sim-embedding", "embeddings of 256 dimensions"),
    ("sim-pace-0ms", "sends a whole stream in one write"),
    ("sim-latency-2s", "waits two seconds before it answers"),
    ("sim-tokens-200", "answers with 200 tokens"),
    ("sim-reasoning", "thinks aloud before it answers"),
    ("sim-tools", "always calls a tool"),
    ("sim-status-429-retry-after-2s", "is rate limited and says for how long"),
    ("sim-status-500", "fails with an internal error"),
    ("sim-flaky-2", "refuses two calls with 503, serves the third"),
    ("sim-refuse", "resets the connection before it answers"),
    ("sim-cut-5", "ends its answer after five tokens as if that were all"),
    ("sim-reset-5", "resets the connection after five tokens"),
    ("sim-stall-5", "falls silent after five tokens"),
    ("sim-malformed-5", "sends something that is not JSON after five tokens"),
    ("sim-midway-error-5", "sends an error after five tokens"),
    ("sim-no-done", "ends its streams without [DONE]"),
    ("sim-no-usage", "never reports usage"),
    ("sim-error-body", "answers 200 with an error in the body"),
    ("sim-html", "answers with a web page, as a proxy does"),
];

/// 2025-01-01: a model list is the same on every day.
const CREATED: u64 = 1_735_689_600;

pub(crate) fn list() -> Reply {
    let data: Vec<Value> = MODELS.iter().map(|(id, _)| model(id)).collect();
    reply::json(StatusCode::OK, &json!({"object": "list", "data": data}))
}

pub(crate) fn one(id: &str) -> Result<Reply, Refusal> {
    Script::parse(id)?;
    Ok(reply::json(StatusCode::OK, &model(id)))
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "weir-simulated"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_model_exists() {
        for (model, _) in MODELS {
            assert!(Script::parse(model).is_ok(), "{model}");
        }
    }
}

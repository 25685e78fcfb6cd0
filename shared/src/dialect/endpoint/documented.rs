//! What `OpenAI` documents under `/v1` beside the calls that are understood.
//!
//! As of 2026-11-29, by what openai-python 3.57.0 asks for, which is generated from `OpenAI`'s published document.
//! A path that is not in here yet is opened by the configuration (`passthrough.paths`).

use super::Bodies;

/// First segments, and what is taken beneath them.
const DOCUMENTED: &[(&str, Bodies)] = &[
    ("agents", Bodies::Readable),
    ("assistants", Bodies::Readable),
    ("audio", Bodies::Readable),
    ("batches", Bodies::Readable),
    ("chat", Bodies::Json),
    ("chatkit", Bodies::Readable),
    ("containers", Bodies::Files),
    ("content_provenance_checks", Bodies::Files),
    ("conversations", Bodies::Readable),
    ("decisions", Bodies::Readable),
    ("evals", Bodies::Readable),
    ("files", Bodies::Files),
    ("fine_tuning", Bodies::Readable),
    ("images", Bodies::Readable),
    ("live", Bodies::Readable),
    ("models", Bodies::Readable),
    ("moderations", Bodies::Readable),
    ("organization", Bodies::Readable),
    ("projects", Bodies::Readable),
    ("realtime", Bodies::Readable),
    ("responses", Bodies::Json),
    ("safety", Bodies::Readable),
    ("skills", Bodies::Files),
    ("threads", Bodies::Readable),
    ("uploads", Bodies::Files),
    ("vaults", Bodies::Readable),
    ("vector_stores", Bodies::Readable),
    ("videos", Bodies::Readable),
    ("webhook_endpoints", Bodies::Readable),
    ("webhook_event_types", Bodies::Readable),
];

/// What is taken at `suffix`; `None` where it is not documented.
pub(super) fn bodies(suffix: &[&str]) -> Option<Bodies> {
    let [first, rest @ ..] = suffix else { return None };
    // Beside completions there is nothing there.
    if *first == "chat" && rest.first() != Some(&"completions") {
        return None;
    }
    DOCUMENTED.iter().find(|(segment, _)| segment == first).map(|(_, bodies)| *bodies)
}

/// Whether an answer to a POST reports what that call has used. Others tell again of stored answers and of batches,
/// whose usage is another call's.
pub(super) fn reports_usage(suffix: &[&str]) -> bool {
    matches!(suffix, ["audio" | "decisions" | "images" | "moderations", ..] | ["responses", "compact"])
}

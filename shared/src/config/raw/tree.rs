//! Reads the raw shapes from a tree and goes on after a fault.
//!
//! serde stops at the first fault. So the part that it stumbled over is reported, taken out of the tree, and
//! the rest is read again. A document without fault is read once.
//!
//! serde's own messages quote what was written, which may be a credential; only what it expected is used.

use serde_json::Value;
use serde_path_to_error::Segment;

use super::Gateway;
use crate::config::fault::{Problem, nearest};
use crate::config::path::{Path, Step};
use crate::config::report::Report;

/// What can be read, after reporting what cannot; `None` if that is nothing.
pub(in crate::config) fn parse(mut tree: Value, report: &mut Report<'_>) -> Option<Gateway> {
    while !report.is_full() {
        let error = match serde_path_to_error::deserialize::<_, Gateway>(&tree) {
            Ok(raw) => return Some(raw),
            Err(error) => error,
        };
        let path = steps(error.path());
        let message = error.into_inner().to_string();
        let taken = take_out(&mut tree, &path);
        tell(report, &path, &message, taken.as_ref().unwrap_or(&tree));
        taken?;
        report.took_out(&path);
    }
    None
}

fn steps(path: &serde_path_to_error::Path) -> Path {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn take_out(tree: &mut Value, path: &Path) -> Option<Value> {
    let steps = path.steps();
    let (step, above) = steps.split_last()?;
    let parent = above.iter().try_fold(tree, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(at) => value.get_mut(at),
    })?;
    match (step, parent) {
        (Step::Key(key), Value::Object(map)) => map.remove(key),
        (Step::Index(at), Value::Array(list)) if *at < list.len() => Some(list.remove(*at)),
        _ => None,
    }
}

fn tell(report: &mut Report<'_>, path: &Path, message: &str, found: &Value) {
    let expected = message.rsplit_once("expected ").map_or("", |(_, expected)| expected);
    if message.starts_with("unknown field ") {
        let known: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
        let Some((table, Step::Key(key))) = path.split() else { return };
        if let Some(meant) = nearest(key, known.iter().copied()) {
            report.excuse(&table.key(meant));
        }
        report.fault(path, Problem::unknown("key", key, known));
    } else if message.starts_with("unknown variant ") {
        let known = expected.split('`').skip(1).step_by(2);
        let word = found.as_str().unwrap_or("");
        report.fault(path, Problem::unknown(path.noun(), word, known));
    } else if message.starts_with("invalid ") {
        let found = kind(found);
        let problem = Problem::new(format!("expected {}, found {found}", in_words(expected)));
        let one_table = found == "a table" && *path == Path::ROOT.key("route");
        report.fault(path, if one_table { problem.hint("write [[route]]") } else { problem });
    } else {
        report.fault(path, message);
    }
}

/// What serde calls a shape, as the reader of a document would.
fn in_words(expected: &str) -> &str {
    match expected {
        "f64" => "a number",
        "u64" => "a whole number, zero or more",
        "a string" | "string or map" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        shape if shape == "a map" || shape.starts_with("struct ") => "a table",
        spelled => spelled,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(number) if number.is_i64() && !number.is_u64() => "a number below zero",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

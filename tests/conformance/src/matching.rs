//! What was expected beside what came: texts with wildcards, JSON, counts.
//!
//! Exact is the rule. A wildcard stands where runtimes must differ or chance decides: `<any>`, `<hex:32>`,
//! `<int>`, `<int:1..60>` (both ends included) and `<duration>`, as Go writes one.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug)]
enum Part<'a> {
    Text(&'a str),
    Any,
    Hex(usize),
    Whole(RangeInclusive<u64>),
    Duration,
}

/// Whether `text` is what `pattern` describes.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    fits(&parts(pattern), text)
}

fn parts(pattern: &str) -> Vec<Part<'_>> {
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(open) = pattern[at..].find('<').map(|found| at + found) {
        let wildcard = pattern[open..]
            .find('>')
            .and_then(|close| Some((wildcard(&pattern[open + 1..open + close])?, close)));
        at = match wildcard {
            None => open + 1,
            Some((part, close)) => {
                parts.extend([Part::Text(&pattern[from..open]), part]);
                from = open + close + 1;
                from
            }
        };
    }
    parts.push(Part::Text(&pattern[from..]));
    parts
}

fn wildcard(text: &str) -> Option<Part<'_>> {
    Some(match text.split_once(':').unwrap_or((text, "")) {
        ("any", "") => Part::Any,
        ("int", "") => Part::Whole(0..=u64::MAX),
        ("int", range) => Part::Whole(parse_range(range)?),
        ("hex", length) => Part::Hex(length.parse().ok()?),
        ("duration", "") => Part::Duration,
        _ => return None,
    })
}

fn parse_range(text: &str) -> Option<RangeInclusive<u64>> {
    let (low, high) = text.split_once("..")?;
    Some(low.parse().ok()?..=high.parse().ok()?)
}

fn fits(parts: &[Part<'_>], text: &str) -> bool {
    let Some((first, rest)) = parts.split_first() else { return text.is_empty() };
    let run = |is_part: fn(char) -> bool| text.find(|c| !is_part(c)).unwrap_or(text.len());
    match first {
        Part::Text(wanted) => text.strip_prefix(wanted).is_some_and(|text| fits(rest, text)),
        Part::Any => {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|end| fits(rest, &text[end..]))
        }
        Part::Hex(length) => {
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            text.get(..*length).is_some_and(|hex| hex.chars().all(is_hex)) && fits(rest, &text[*length..])
        }
        Part::Whole(range) => {
            let end = run(|c| c.is_ascii_digit());
            text[..end].parse().is_ok_and(|number| range.contains(&number)) && fits(rest, &text[end..])
        }
        Part::Duration => {
            let end = run(|c| c.is_ascii_digit() || matches!(c, '.' | 'h' | 'm' | 's'));
            // A sentence may end behind it.
            let end = text[..end].trim_end_matches('.').len();
            let is_duration =
                text[..end].starts_with(|c: char| c.is_ascii_digit()) && text[..end].ends_with('s');
            is_duration && fits(rest, &text[end..])
        }
    }
}

/// How much of an object must be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of its keys.
    Whole,
    /// Those that are named, here and below.
    Part,
}

/// Where `got` is not what `wanted` says: a path and both sides. Strings in `wanted` may hold wildcards, and
/// one that does may stand for a number as well.
pub(crate) fn json_difference(wanted: &Value, got: &Value, extent: Extent) -> Option<String> {
    difference("$", wanted, got, extent)
}

fn difference(path: &str, wanted: &Value, got: &Value, extent: Extent) -> Option<String> {
    let unlike = || Some(format!("at {path}: expected {wanted}, got {got}"));
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            let strange = got.keys().find(|key| extent == Extent::Whole && !wanted.contains_key(*key));
            if let Some(key) = strange {
                return Some(format!("at {path}: there is a key {key:?}"));
            }
            wanted.iter().find_map(|(key, wanted)| match got.get(key) {
                None => Some(format!("at {path}: there is no key {key:?}")),
                Some(got) => difference(&format!("{path}.{key}"), wanted, got, extent),
            })
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            let mut pairs = wanted.iter().zip(got).enumerate();
            pairs.find_map(|(at, (wanted, got))| difference(&format!("{path}[{at}]"), wanted, got, extent))
        }
        (Value::String(pattern), Value::String(text)) if matches(pattern, text) => None,
        (Value::String(pattern), Value::Number(number))
            if pattern.starts_with('<') && matches(pattern, &number.to_string()) =>
        {
            None
        }
        _ if wanted == got => None,
        _ => unlike(),
    }
}

/// How many: `3`, or `"12..75"` where chance decides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(crate) struct Count(RangeInclusive<u64>);

impl Count {
    pub(crate) fn holds(&self, count: u64) -> bool {
        self.0.contains(&count)
    }

    /// Exactly so many.
    pub(crate) fn exactly(count: u64) -> Self {
        Self(count..=count)
    }
}

impl TryFrom<toml::Value> for Count {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let range = match &value {
            toml::Value::Integer(count) => u64::try_from(*count).ok().map(|count| count..=count),
            toml::Value::String(text) => parse_range(text),
            _ => None,
        };
        range.map(Self).ok_or_else(|| format!("{value} is no count: write 3 or \"1..5\""))
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = (self.0.start(), self.0.end());
        if low == high { write!(f, "{low}") } else { write!(f, "{low} to {high}") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_match_exactly_but_for_wildcards() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("req_<hex:4>", "req_09af", true),
            ("req_<hex:4>", "req_09a", false),
            ("req_<hex:4>", "req_09aF", false),
            ("<int:1..60>", "60", true),
            ("<int:1..60>", "61", false),
            ("<int>", "", false),
            ("a<any>c", "abcc", true),
            ("a<any>c", "abd", false),
            ("in <duration>.", "in 1m42.653s.", true),
            ("in <duration>.", "in a while.", false),
            ("<html>", "<html>", true),
            ("<html><any>", "<html>x", true),
            ("<", "<", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn json_is_compared_with_its_wildcards() {
        let got = json!({"a": [1, {"b": "x1"}], "c": null});
        for (wanted, extent, expected) in [
            (json!({"a": [1, {"b": "x<int>"}], "c": null}), Extent::Whole, None),
            (json!({"a": ["<int>", {"b": "x1"}]}), Extent::Part, None),
            (json!({"c": null}), Extent::Whole, Some("at $: there is a key \"a\"")),
            (json!({"d": null}), Extent::Part, Some("at $: there is no key \"d\"")),
            (json!({"a": [1, {"b": "y"}]}), Extent::Part, Some("at $.a[1].b: expected \"y\", got \"x1\"")),
            (json!({"a": [1]}), Extent::Part, Some("at $.a: expected [1], got [1,{\"b\":\"x1\"}]")),
        ] {
            assert_eq!(json_difference(&wanted, &got, extent).as_deref(), expected, "{wanted}");
        }
    }
}

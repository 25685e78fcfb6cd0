//! An answer beside what was expected of it.

use serde_json::Value;
use weir_native_tests::Seen;

use crate::case::{Ending, Expectation, Sent, WireError};
use crate::client::{Ended, Reply};
use crate::matching::{Extent, json_difference, matches};
use crate::words::Words;

/// Headers that every answer of the gateway wears.
const WORN: [(&str, &str); 3] = [
    ("x-request-id", "req_<hex:32>"),
    ("openai-processing-ms", "<int>"),
    ("traceparent", "00-<hex:32>-<hex:16>-<hex:2>"),
];

/// What holds for every answer, said or not: it wears its headers, and names no upstream's address.
pub(crate) fn against_house_rules(reply: &Reply, addresses: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, pattern) in WORN {
        header(reply, name, pattern, &mut faults);
    }
    for address in addresses {
        if said(reply).contains(address) {
            faults.push(format!("the answer names an upstream's address, {address}"));
        }
    }
    faults
}

/// What is not as `expect` says.
pub(crate) fn against(expect: &Expectation, reply: &Reply, words: &Words) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |holds: bool, fault: &dyn Fn() -> String| {
        if !holds {
            faults.push(fault());
        }
    };
    let (status, text) = (reply.status, reply.text());
    if let Some(wanted) = expect.status {
        check(status == wanted, &|| format!("status: expected {wanted}, got {status}"));
    }
    if let Some(wanted) = &expect.status_in {
        check(wanted.contains(&status), &|| format!("status: expected one of {wanted:?}, got {status}"));
    }
    let ended = match expect.ended {
        Ending::Clean => Ended::Clean,
        Ending::Aborted => Ended::Aborted,
        Ending::Left => Ended::Left,
    };
    check(reply.ended == ended, &|| {
        format!("it ended: expected {}, got {}", ended.name(), reply.ended.name())
    });
    if let Some(span) = expect.at_least {
        check(reply.took >= span.0, &|| format!("took {:?}, less than {:?}", reply.took, span.0));
    }
    if let Some(span) = expect.at_most {
        check(reply.took <= span.0, &|| format!("took {:?}, more than {:?}", reply.took, span.0));
    }
    for wanted in &expect.contains {
        let wanted = words.spell(wanted);
        check(text.contains(&wanted), &|| format!("the body lacks {wanted:?}"));
    }
    for refused in &expect.lacks {
        let refused = words.spell(refused);
        check(!said(reply).contains(&refused), &|| format!("the answer contains {refused:?}"));
    }
    for name in &expect.no_headers {
        let found = reply.header(name);
        check(found.is_none(), &|| format!("header {name}: expected none, got {found:?}"));
    }
    for (name, pattern) in &expect.headers {
        header(reply, name, &words.spell(pattern), &mut faults);
    }
    body(expect, &text, words, &mut faults);
    if let Some(wanted) = &expect.explain {
        let explained = reply.header("x-weir-explain").unwrap_or_default();
        json("x-weir-explain", &words.spell(&wanted.0), explained, Extent::Part, &mut faults);
    }
    faults
}

fn body(expect: &Expectation, text: &str, words: &Words, faults: &mut Vec<String>) {
    if let Some(wanted) = &expect.body {
        let wanted = words.spell(wanted);
        if !matches(&wanted, text) {
            faults.push(format!("body: expected\n{wanted}\ngot\n{text}"));
        }
    }
    if let Some(wanted) = &expect.json {
        json("body", &words.spell(&wanted.0), text, Extent::Whole, faults);
    }
    if let Some(wanted) = &expect.json_part {
        json("body", &words.spell(&wanted.0), text, Extent::Part, faults);
    }
    if let Some(WireError { message, r#type, param, code }) = &expect.error {
        let error = serde_json::json!({
            "error": { "message": words.spell(message), "type": r#type, "param": param, "code": code }
        });
        json("error", &error.to_string(), text, Extent::Whole, faults);
    }
    if let Some(wanted) = &expect.events {
        let wanted: Vec<String> = wanted.iter().map(|event| words.spell(event)).collect();
        events(&wanted, text, faults);
    }
}

fn events(wanted: &[String], text: &str, faults: &mut Vec<String>) {
    let mut got: Vec<&str> = text.split("\n\n").collect();
    let rest = got.pop().unwrap_or_default();
    if !rest.is_empty() {
        faults.push(format!("the stream ends in half an event: {rest:?}"));
    }
    let got: Vec<&str> = got.into_iter().map(|event| event.strip_prefix("data: ").unwrap_or(event)).collect();
    let is_alike =
        got.len() == wanted.len() && wanted.iter().zip(&got).all(|(pattern, event)| matches(pattern, event));
    if !is_alike {
        let (wanted, got) = (wanted.join("\n  "), got.join("\n  "));
        faults.push(format!("events: expected\n  {wanted}\ngot\n  {got}"));
    }
}

/// What is not as `wanted` says of a request that an upstream saw.
pub(crate) fn request(wanted: &Sent, seen: &Seen, words: &Words) -> Vec<String> {
    let mut faults = Vec::new();
    let body = String::from_utf8_lossy(&seen.body);
    let texts = [
        ("method", &wanted.method, seen.method.as_str()),
        ("target", &wanted.target, seen.target.as_str()),
        ("body", &wanted.body, &body),
    ];
    for (what, pattern, got) in texts {
        let Some(pattern) = pattern.as_ref().map(|pattern| words.spell(pattern)) else { continue };
        if !matches(&pattern, got) {
            faults.push(format!("{what} at the upstream: expected\n{pattern}\ngot\n{got}"));
        }
    }
    for (name, pattern) in &wanted.headers {
        let got = seen.header(name);
        if !got.is_some_and(|got| matches(&words.spell(pattern), got)) {
            faults.push(format!("header {name} at the upstream: expected {pattern:?}, got {got:?}"));
        }
    }
    for name in &wanted.no_headers {
        if let Some(got) = seen.header(name) {
            faults.push(format!("header {name} at the upstream: expected none, got {got:?}"));
        }
    }
    for refused in &wanted.lacks {
        if seen.text().contains(refused) {
            faults.push(format!("the request at the upstream contains {refused:?}"));
        }
    }
    faults
}

fn header(reply: &Reply, name: &str, pattern: &str, faults: &mut Vec<String>) {
    let got = reply.header(name);
    if !got.is_some_and(|got| matches(pattern, got)) {
        faults.push(format!("header {name}: expected {pattern:?}, got {got:?}"));
    }
}

fn json(what: &str, wanted: &str, got: &str, extent: Extent, faults: &mut Vec<String>) {
    let read = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| format!("{what}: {e}: {text:?}"));
    let difference = match (read(wanted), read(got)) {
        (Ok(wanted), Ok(got)) => json_difference(&wanted, &got, extent),
        (Err(fault), _) | (_, Err(fault)) => Some(fault),
    };
    faults.extend(difference.map(|difference| format!("{what} {difference}")));
}

/// Everything an answer says.
fn said(reply: &Reply) -> String {
    let headers: Vec<String> = reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{}\n\n{}", headers.join("\n"), reply.text())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reply(body: &str) -> Reply {
        let headers = vec![("content-type".to_owned(), "x".to_owned())];
        Reply { status: 200, headers, body: body.into(), ended: Ended::Clean, took: Duration::ZERO }
    }

    fn expecting(text: &str) -> Expectation {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_as_expected_is_found() {
        let error = r#"{"error":{"message":"m 7","type":"t","param":null,"code":null}}"#;
        for (expect, body, count) in [
            ("status = 200", "", 0),
            ("status = 201", "", 1),
            ("ended = 'aborted'", "", 1),
            ("headers.content-type = 'x'\nno_headers = ['y']", "", 0),
            ("headers.y = 'x'\nno_headers = ['content-type']", "", 2),
            ("body = 'a'", "a", 0),
            ("body = 'a'", "ab", 1),
            ("lacks = ['b']\ncontains = ['c']", "ab", 2),
            ("error = { message = 'm <int>', type = 't' }", error, 0),
            ("error = { message = 'm', type = 't' }", error, 1),
            ("error = { message = 'm 7', type = 't', code = 'c' }", error, 1),
            ("events = ['a', '[DONE]']", "data: a\n\ndata: [DONE]\n\n", 0),
            ("events = ['a']", "data: a\n\ndata: [DONE]\n\n", 1),
            ("events = ['a']", "data: a\n\ndata: b", 1),
            ("events = [\"event: e\\ndata: a\"]", "event: e\ndata: a\n\n", 0),
        ] {
            let faults = against(&expecting(expect), &reply(body), &Words::default());
            assert_eq!(faults.len(), count, "{expect} on {body:?}: {faults:?}");
        }
    }

    #[test]
    fn an_answer_that_names_an_upstream_breaks_the_rules() {
        let faults = against_house_rules(&reply("see 127.0.0.1:9"), &["127.0.0.1:9".into()]);
        assert_eq!(faults.len(), WORN.len() + 1, "{faults:?}");
    }
}

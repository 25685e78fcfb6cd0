//! What lets a service live through a flood, through the whole pipeline: limits and breakers.
#![cfg(test)]

use std::time::Duration;

use http::Request;
use serde_json::Value;
use weir::identity::access::Peer;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Act, Answer, End, Flow, Reply, Shell, Step, Visit, config, exchange, get, post};

fn toml(limits: &str, route: &str) -> String {
    format!(
        r#"
        auth = "open"
        [limits.default]
        {limits}
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        [upstream.b]
        dialect = "openai"
        base_url = "https://b.example/v1"
        [[route]]
        model = "*"
        to = ["a"]
        retry = {{ attempts = 1 }}
        {route}
        "#
    )
}

fn from(address: u8, mut request: Request<Flow>) -> Request<Flow> {
    request.extensions_mut().insert(Peer([10, 0, 0, address].into()));
    request
}

fn call(shell: &Shell, toml: &str, address: u8, body: &str) -> Reply {
    exchange(shell, &config(toml), from(address, post(shell.clock(), WHOLE_CHAT.path, body.to_owned())))
}

fn error(reply: &Reply) -> Value {
    serde_json::from_slice::<Value>(&reply.body()).unwrap()["error"].clone()
}

fn answers() -> Act {
    Answer::json(WHOLE_CHAT.answer).into()
}

#[test]
fn beyond_its_limit_a_client_is_told_when_to_come_back_and_others_are_served() {
    let (shell, toml) = (Shell::default(), toml("requests = \"10/min\"", ""));
    shell.script("a", [answers()]);
    for left in (0..10).rev() {
        let reply = call(&shell, &toml, 1, WHOLE_CHAT.request);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), "10");
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), left.to_string());
    }
    let refused = call(&shell, &toml, 1, WHOLE_CHAT.request);
    assert_eq!(refused.status, 429);
    assert_eq!((refused.header("retry-after"), refused.header("retry-after-ms")), ("6", "6000"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    assert_eq!(refused.header("x-ratelimit-reset-requests"), "1m0s");
    let error = error(&refused);
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some("requests"), Some("rate_limit_exceeded"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("requests per min (RPM): Limit 10, Used 10, Requested 1."), "{message}");
    assert!(message.ends_with("Please try again in 6s."), "{message}");
    assert_eq!(call(&shell, &toml, 2, WHOLE_CHAT.request).status, 200, "another address");
    assert_eq!((shell.sent().len(), shell.records().len()), (11, 11), "a refused call counts as nothing");
    shell.clock().pass(Duration::from_secs(6));
    assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 200, "it waited as long as it was told");
}

#[test]
fn tokens_are_reserved_and_settled_with_what_was_used() {
    let (shell, toml) = (Shell::default(), toml("tokens = \"1000/min\"", ""));
    shell.script("a", [answers()]);
    let body = r#"{"model":"m","max_tokens":600,"messages":[]}"#;
    let first = call(&shell, &toml, 1, body);
    assert_eq!(first.status, 200);
    let used: u64 = shell.records()[0].usage.input.0 + shell.records()[0].usage.output.0;
    assert!(0 < used && used < 100, "{used}");
    let second = call(&shell, &toml, 1, body);
    let remaining: u64 = second.header("x-ratelimit-remaining-tokens").parse().unwrap();
    let reserved = 600 + body.len().div_ceil(4) as u64;
    assert_eq!(remaining, 1000 - used - reserved, "the first is settled, the second reserved");
    let never = call(&shell, &toml, 1, r#"{"model":"m","max_tokens":5000,"messages":[]}"#);
    assert_eq!((never.status, never.header("x-should-retry")), (429, "false"));
    assert!(!never.headers.contains_key("retry-after"), "it never fits");
    assert_eq!(error(&never)["type"], "tokens");
    assert_eq!(call(&shell, &toml, 2, WHOLE_CHAT.request).status, 200, "a length nobody bounds fits");
}

#[test]
fn a_call_that_failed_upstream_gets_its_tokens_back() {
    let (shell, toml) = (Shell::default(), toml("tokens = \"1000/min\"", ""));
    shell.script("a", [Answer::error(500)]);
    for _ in 0..4 {
        let reply = call(&shell, &toml, 1, r#"{"model":"m","max_tokens":900,"messages":[]}"#);
        assert_eq!(reply.status, 502);
    }
}

/// Invariant 5, for the holds of a limit.
#[test]
fn calls_at_the_same_time_are_bounded_and_a_client_that_leaves_makes_room() {
    let (shell, toml) = (Shell::default(), toml("concurrent = 2", ""));
    shell.script("a", [Act::Silence]);
    let config = config(&toml);
    let begin = || {
        let request = from(1, post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request));
        let mut visit = Visit::new(&shell, &config, request);
        while visit.poll_client() != Step::Stalled {}
        visit
    };
    let (mut first, _second) = (begin(), begin());
    let refused = call(&shell, &toml, 1, WHOLE_CHAT.request);
    assert_eq!((refused.status, refused.header("retry-after-ms")), (429, "500"));
    first.leave();
    first.settle();
    shell.script("a", [answers()]);
    assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 200);
}

/// Invariant 2.
#[test]
fn an_open_breaker_sends_nothing_then_one_probe() {
    let (shell, toml) = (Shell::default(), toml("", ""));
    shell.script("a", [Answer::error(500)]);
    for _ in 0..5 {
        assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 502);
    }
    let refused = call(&shell, &toml, 1, WHOLE_CHAT.request);
    assert_eq!((refused.status, refused.header("retry-after")), (503, "30"));
    assert_eq!(error(&refused)["code"], "circuit_open");
    assert_eq!(shell.sent().len(), 5);
    let ready = exchange(&shell, &config(&toml), get(shell.clock(), "/ready"));
    let ready: Value = serde_json::from_slice(&ready.body()).unwrap();
    assert_eq!(ready["upstreams"]["a"]["breaker"], "closed", "it is one model's");

    shell.clock().pass(Duration::from_secs(31));
    shell.script("a", [Act::Silence]);
    let config = config(&toml);
    let mut probe =
        Visit::new(&shell, &config, from(1, post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request)));
    while probe.poll_client() != Step::Stalled {}
    assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 503, "the probe is on its way");
    assert_eq!(shell.sent().len(), 6);
    probe.leave();
    probe.settle();
    shell.script("a", [answers()]);
    assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 200, "a probe that left goes to the next");
    assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 200, "and its success closes the breaker");
}

#[test]
fn an_open_candidate_is_skipped_for_the_fallback() {
    let (shell, toml) = (Shell::default(), toml("", "fallback = [\"b\"]"));
    shell.script("a", [Act::NoConnection]);
    shell.script("b", [answers()]);
    let toml = toml.replace("attempts = 1", "attempts = 2");
    for _ in 0..5 {
        assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 200);
    }
    let before = shell.asked().len();
    let mut request = from(1, post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request));
    request.headers_mut().insert("x-weir-explain", http::HeaderValue::from_static("1"));
    let reply = exchange(&shell, &config(&toml), request);
    assert_eq!((reply.status, &shell.asked()[before..]), (200, &["b".to_owned()][..]));
    assert!(reply.header("x-weir-explain").contains(r#""why":"breaker open for "#));
}

#[test]
fn what_counts_against_an_upstream() {
    let stream = samples::chat();
    let cut = stream.sent()[..stream.sent().len() - 20].to_owned();
    for (label, act, opens) in [
        ("5xx", Act::from(Answer::error(503)), true),
        ("no connection", Act::NoConnection, true),
        ("a 200 that is no answer", Answer::json("{}").into(), true),
        ("a stream cut short", Answer::events(cut).into(), true),
        (
            "a stream that breaks",
            Answer::events(stream.sent()[..300].to_owned()).ending(End::Broken).into(),
            true,
        ),
        ("429", Answer::error(429).into(), true),
        ("the caller's mistake", Answer::error(400).into(), false),
        ("our credential", Answer::error(401).into(), true),
    ] {
        let (shell, toml) = (Shell::default(), toml("", ""));
        shell.script("a", [act]);
        let path_and_body = if label.contains("stream") {
            (stream.path, stream.request.clone())
        } else {
            (WHOLE_CHAT.path, WHOLE_CHAT.request.to_owned())
        };
        for _ in 0..6 {
            let (path, body) = path_and_body.clone();
            exchange(&shell, &config(&toml), from(1, post(shell.clock(), path, body)));
            // Connections that break in one moment are one event.
            shell.clock().pass(Duration::from_secs(1));
        }
        assert_eq!(shell.sent().len(), if opens { 5 } else { 6 }, "{label}");
    }
}

#[test]
fn a_rate_limit_of_the_upstream_is_left_to_run_out() {
    let (shell, toml) = (Shell::default(), toml("", ""));
    shell.script("a", [Answer::error(429).header("retry-after", "20")]);
    assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 429);
    let refused = call(&shell, &toml, 1, WHOLE_CHAT.request);
    assert_eq!((refused.status, refused.header("retry-after")), (503, "20"));
    shell.clock().pass(Duration::from_secs(20));
    shell.script("a", [answers()]);
    assert_eq!(call(&shell, &toml, 1, WHOLE_CHAT.request).status, 200);
    assert_eq!(shell.sent().len(), 2);
}

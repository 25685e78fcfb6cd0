//! How often, where and after how long a call is tried again, and what its client is told in the end.
#![cfg(test)]

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir::ledger::connect_fault::ConnectFault;
use weir::ledger::failure::Condition;
use weir::ledger::record::Ending;
use weir::routing::upstream::dispatch::SendFault;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Act, Answer, End, Reply, Rolls, Shell, config, exchange, post};

const ALONE: &str = r#"
auth = "open"
passthrough = "a"
[upstream.a]
tenant = "default"
dialect = "openai"
base_url = "https://a.example/v1"
api_key = { env = "KEY_A" }
[[route]]
model = "*"
to = ["a"]
"#;

const TWO: &str = r#"
auth = "open"
passthrough = "a"
[upstream.a]
tenant = "default"
dialect = "openai"
base_url = "https://a.example/v1"
api_key = { env = "KEY_A" }
[upstream.b]
dialect = "openai"
base_url = "https://b.example/v1"
[[route]]
model = "*"
to = ["a"]
fallback = ["b"]
"#;

/// At the end of a route: nothing but retries holds anything back.
/// Of an upstream, whose breaker is beside those of its models.
const OPENS_NEVER: &str = "breaker = { consecutive = 1000000, minimum = 1000000 }";

const UNGUARDED: &str = r#"
breaker = { consecutive = 1000000, minimum = 1000000, on_rate_limit = "count" }
[limits.default]
requests = "unlimited"
"#;

fn ask(shell: &Shell, toml: &str) -> Reply {
    exchange(shell, &config(toml), post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request))
}

fn error(reply: &Reply) -> Value {
    let body: Value = serde_json::from_slice(&reply.body()).unwrap();
    body["error"].clone()
}

fn answer() -> Act {
    Answer::json(WHOLE_CHAT.answer).into()
}

/// A connection that was closed while it was idle says nothing of its upstream.
#[test]
fn a_stale_connection_costs_no_attempt_and_is_followed_by_a_fresh_one() {
    let shell = Shell::default();
    let stale = || Act::Fault(SendFault::Stale);
    shell.script("a", (0..200).flat_map(|_| [stale(), answer()]).collect::<Vec<_>>());
    for _ in 0..100 {
        assert_eq!(ask(&shell, ALONE).status, 200);
    }
    let fresh: Vec<bool> = shell.sent().iter().map(|sent| sent.is_fresh).collect();
    assert_eq!(fresh, [false, true].repeat(100));
    assert!(shell.records().iter().all(|record| record.attempts.len() == 1 && record.causes().is_none()));
    let counted = |name: &str| shell.events().iter().filter(|event| event.starts_with(name)).count();
    assert_eq!((counted("Stale"), counted("Retried"), counted("Unconnected")), (100, 0, 0));
}

#[test]
fn a_fresh_connection_that_breaks_is_a_failure_like_any_other() {
    let shell = Shell::default();
    shell.script("a", [Act::Fault(SendFault::Stale), Act::Fault(SendFault::Broken), answer()]);
    assert_eq!(ask(&shell, ALONE).status, 200);
    let record = &shell.records()[0];
    assert_eq!(record.attempts.len(), 2, "{:?}", record.attempts);
    assert_eq!(record.causes().as_deref(), Some("a: connection broken"));
}

/// What is not understood may have been acted upon, so it is sent again only where that is harmless.
#[test]
fn a_stale_connection_repeats_no_request_that_may_have_made_something() {
    for (method, path, sent, status) in [("GET", "/v1/files", 2, 200), ("POST", "/v1/batches", 1, 502)] {
        let shell = Shell::default();
        shell.script("a", [Act::Fault(SendFault::Stale), Answer::json("{}").into()]);
        let mut request = post(shell.clock(), path, r#"{"a":1}"#);
        *request.method_mut() = method.parse().unwrap();
        let reply = exchange(&shell, &config(ALONE), request);
        assert_eq!((reply.status, shell.sent().len()), (status, sent), "{method} {path}: {}", reply.text());
    }
}

#[test]
fn retry_after_is_waited_for_exactly() {
    for (label, name, value, wait) in [
        ("seconds", "retry-after", "2", 2000),
        ("fractions", "retry-after", "0.25", 250),
        ("milliseconds", "retry-after-ms", "1500", 1500),
        ("Azure's milliseconds", "x-ms-retry-after-ms", "70", 70),
        ("a date", "retry-after", "Thu, 01 Jan 2026 00:00:04 GMT", 4000),
        ("as long as it may be", "retry-after", "5", 5000),
    ] {
        let shell = Shell::default();
        shell.script("a", [Answer::error(429).header(name, value).into(), answer()]);
        let reply = ask(&shell, ALONE);
        assert_eq!((reply.status, reply.text().as_str()), (200, WHOLE_CHAT.answer), "{label}");
        let times: Vec<_> = shell.sent().iter().map(|sent| sent.at.as_micros() / 1000).collect();
        assert_eq!(times, [0, wait], "{label}");
    }
}

#[test]
fn a_retry_after_that_is_too_long_is_passed_on_and_not_waited_for() {
    for (value, seconds, millis) in [("6", "6", "6000"), ("59.5", "60", "59500"), ("3600", "60", "60000")] {
        let shell = Shell::default();
        shell.script("a", [Answer::error(429).header("retry-after", value)]);
        let reply = ask(&shell, ALONE);
        assert_eq!((reply.status, shell.sent().len(), shell.clock().elapsed()), (429, 1, Duration::ZERO));
        assert_eq!((reply.header("retry-after"), reply.header("retry-after-ms")), (seconds, millis));
        let error = error(&reply);
        let own = json!({"message": "no", "type": "some_error", "param": null, "code": "some_code"});
        assert_eq!(error, own, "it has words of its own");
    }
}

#[test]
fn another_upstream_is_not_waited_for() {
    let shell = Shell::default();
    shell.script("a", [Answer::error(429).header("retry-after", "60")]);
    shell.script("b", [answer()]);
    assert_eq!((ask(&shell, TWO).status, shell.clock().elapsed()), (200, Duration::ZERO));
    assert_eq!(shell.asked(), ["a", "b"]);
}

/// Whose doing it is decides: the caller's own is answered at once, anything else is tried three times in all.
#[test]
fn the_callers_own_fault_is_never_tried_again_or_elsewhere() {
    for status in [400, 404, 405, 409, 413, 415, 422, 431, 451] {
        let body = r#"{"error":{"message":"bad sk-canary-a","type":"invalid_request_error","param":"n","code":"c","internal":"secret"},"trace":"secret"}"#;
        let shell = Shell::default();
        shell.script("a", [Answer::new(status, "application/json", body)]);
        shell.script("b", [answer()]);
        let reply = ask(&shell, TWO);
        assert_eq!((reply.status, shell.asked()), (status, vec!["a".to_owned()]));
        let expected = json!({"error": {"message": "bad ***********", "type": "invalid_request_error", "param": "n", "code": "c"}});
        assert_eq!(serde_json::from_str::<Value>(&reply.text()).unwrap(), expected, "{status}");
        let record = &shell.records()[0];
        assert_eq!((record.ending, record.status), (Ending::Rejected, status), "{status}");
        assert_eq!(record.attempts[0].failure, None, "{status}: no failure of the upstream's");
    }
}

#[test]
fn a_refusal_in_no_words_of_the_api_is_put_into_them() {
    for (label, answer) in [
        ("HTML", Answer::new(400, "text/html", "<html>secret</html>")),
        ("nothing", Answer::new(400, "application/json", "")),
        ("cut short", Answer::new(400, "application/json", r#"{"error":{"mess"#).ending(End::Broken)),
        ("a coding of its own", Answer::new(400, "text/plain", "secret").header("content-encoding", "odd")),
    ] {
        let shell = Shell::default();
        shell.script("a", [answer]);
        let reply = ask(&shell, ALONE);
        let error = error(&reply);
        assert_eq!(reply.status, 400, "{label}");
        assert_eq!(
            error["message"], "The upstream refused the request with status 400 Bad Request.",
            "{label}"
        );
        assert_eq!(error["type"], "invalid_request_error", "{label}");
    }
}

/// What is the upstream's doing, and what a client is told when it goes on.
fn failures() -> Vec<(&'static str, Act, Condition, u16)> {
    let json = |body: &'static str| Act::from(Answer::json(body));
    vec![
        ("429", Answer::error(429).into(), Condition::RateLimit, 429),
        ("500", Answer::error(500).into(), Condition::ServerError, 502),
        ("502", Answer::error(502).into(), Condition::ServerError, 502),
        ("503", Answer::error(503).into(), Condition::ServerError, 502),
        ("504", Answer::error(504).into(), Condition::Timeout, 502),
        ("529", Answer::error(529).into(), Condition::ServerError, 502),
        (
            "a redirect",
            Answer::error(302).header("location", "http://169.254.169.254/").into(),
            Condition::BadAnswer,
            502,
        ),
        ("refused", Act::Fault(SendFault::Connect(ConnectFault::Refused)), Condition::Connect, 502),
        ("an error with status 200", json(r#"{"error":{"message":"x"}}"#), Condition::ServerError, 502),
        (
            "a status that stands for nothing",
            Answer::new(700, "application/json", "{}").into(),
            Condition::BadAnswer,
            502,
        ),
        (
            "HTML with status 200",
            Answer::new(200, "text/html", "<html>secret").into(),
            Condition::BadAnswer,
            502,
        ),
        ("HTML that says it is JSON", json("<html>secret"), Condition::BadAnswer, 502),
        ("JSON cut short", json(&WHOLE_CHAT.answer[..60]), Condition::BadAnswer, 502),
        ("nothing", json(""), Condition::BadAnswer, 502),
        ("another kind of answer", json(r#"{"object":"list","data":[]}"#), Condition::BadAnswer, 502),
        ("text", Answer::new(200, "text/plain", "secret").into(), Condition::BadAnswer, 502),
        (
            "events that are cut",
            Answer::events(samples::chat().events[1].sent.clone()).into(),
            Condition::BadAnswer,
            502,
        ),
        (
            "a reset in the middle",
            Answer::json(&WHOLE_CHAT.answer[..60]).ending(End::Broken).into(),
            Condition::Connect,
            502,
        ),
    ]
}

#[test]
fn a_fault_of_the_upstream_is_tried_three_times_and_then_told_without_markup() {
    for (label, act, condition, status) in failures() {
        let shell = Shell::default();
        shell.script("a", [act]);
        let reply = ask(&shell, ALONE);
        assert_eq!((reply.status, shell.sent().len()), (status, 3), "{label}");
        let text = reply.text();
        assert!(
            !text.contains("secret") && !text.contains("169.254") && !text.contains("example"),
            "{label}: {text}"
        );
        let error = error(&reply);
        let kind = if status == 429 { "some_error" } else { "server_error" };
        assert_eq!(error["type"], kind, "{label}");
        assert_eq!(reply.header("x-should-retry"), "false", "{label}: the gateway has tried enough");
        let record = &shell.records()[0];
        assert_eq!((record.ending, record.attempts.len()), (Ending::Failed, 3), "{label}");
        assert!(record.attempts.iter().all(|attempt| attempt.failure == Some(condition)), "{label}");
        assert_eq!(shell.in_flight(), 0, "{label}");
    }
}

#[test]
fn a_fault_of_the_upstream_leads_to_the_fallback() {
    for (label, act, condition, _) in failures() {
        let shell = Shell::default();
        shell.script("a", [act]);
        shell.script("b", [answer()]);
        let reply = ask(&shell, TWO);
        assert_eq!((reply.status, reply.text().as_str()), (200, WHOLE_CHAT.answer), "{label}");
        assert_eq!(shell.asked(), ["a", "b"], "{label}");
        let record = &shell.records()[0];
        assert_eq!((record.attempts[0].failure, record.fallbacks), (Some(condition), 1), "{label}");
    }
}

#[test]
fn a_fallback_is_taken_on_its_conditions_only() {
    let name = |condition: Condition| condition.name();
    for (label, act, condition, _) in failures() {
        for taken in [true, false] {
            let others =
                ["connect", "timeout", "rate_limit", "server_error", "credentials", "quota", "bad_answer"];
            let on: Vec<_> =
                others.into_iter().filter(|other| (*other == name(condition)) == taken).collect();
            let shell = Shell::default();
            shell.script("a", [act.clone()]);
            shell.script("b", [answer()]);
            ask(&shell, &format!("{TWO}fallback_on = {on:?}"));
            let expected: &[&str] = if taken { &["a", "b"] } else { &["a", "a", "a"] };
            assert_eq!(shell.asked(), expected, "{label} with {on:?}");
        }
    }
}

#[test]
fn a_refused_credential_leads_to_the_fallback_or_to_502() {
    for status in [401, 403] {
        let refusal = || {
            let body =
                r#"{"error":{"message":"Incorrect API key provided: sk-canary-a","code":"invalid_api_key"}}"#;
            Answer::new(status, "application/json", body)
        };
        let shell = Shell::default();
        shell.script("a", [refusal()]);
        shell.script("b", [answer()]);
        assert_eq!((ask(&shell, TWO).status, shell.asked().len()), (200, 2), "{status}");
        let shell = Shell::default();
        shell.script("a", [refusal()]);
        let reply = ask(&shell, ALONE);
        assert_eq!((reply.status, shell.sent().len()), (502, 1), "{status}: it is no better a moment later");
        assert!(!reply.text().contains("canary") && !reply.text().contains("Incorrect"), "{}", reply.text());
    }
}

#[test]
fn a_refusal_is_told_in_its_own_words_also_packed_and_cut() {
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let long = format!(r#"{{"error":{{"message":"words{}"}}}}"#, "x".repeat(1 << 20));
    for (label, answer, is_cut) in [
        ("another shape", Answer::new(400, "application/json", r#"{"detail":"words"}"#), false),
        (
            "packed",
            Answer::new(400, "application/json", gzip(r#"{"error":{"message":"words"}}"#))
                .header("content-encoding", "gzip"),
            false,
        ),
        (
            "cut short",
            Answer::new(400, "application/json", r#"{"error":{"message":"words "#).ending(End::Broken),
            true,
        ),
        ("long", Answer::new(400, "application/json", long.clone()), true),
        (
            "long and packed",
            Answer::new(400, "application/json", gzip(&long)).header("content-encoding", "gzip"),
            true,
        ),
        ("long and plain", Answer::new(400, "text/plain", format!("words{}", "x".repeat(1 << 20))), true),
    ] {
        let shell = Shell::default();
        shell.script("a", [answer]);
        let reply = ask(&shell, ALONE);
        let error = error(&reply);
        let message = error["message"].as_str().unwrap();
        assert_eq!(reply.status, 400, "{label}");
        assert!(message.starts_with("words"), "{label}: {message:.80}");
        assert!(message.len() < 70_000 && message.ends_with("(cut off)") == is_cut, "{label}");
        assert_eq!(shell.in_flight(), 0, "{label}");
    }
}

/// 408 and 425 ask for the same request once more, and come back as they are.
#[test]
fn what_is_about_the_moment_is_tried_once_more() {
    for status in [408, 425] {
        let shell = Shell::default();
        shell.script("a", [Answer::error(status)]);
        let reply = ask(&shell, ALONE);
        assert_eq!((reply.status, shell.sent().len()), (status, 2));
        assert_eq!(reply.header("x-should-retry"), "false");
    }
}

#[test]
fn a_spent_account_leads_to_the_fallback_or_to_its_own_words() {
    let quota = r#"{"error":{"message":"spent","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    for answer in [Answer::new(402, "text/plain", "spent"), Answer::new(429, "application/json", quota)] {
        let shell = Shell::default();
        shell.script("a", [answer.clone()]);
        shell.script("b", [Answer::json(WHOLE_CHAT.answer)]);
        assert_eq!((ask(&shell, TWO).status, shell.asked().len()), (200, 2));
        let shell = Shell::default();
        shell.script("a", [answer]);
        let reply = ask(&shell, ALONE);
        assert_eq!((reply.status, shell.sent().len()), (429, 1), "it is no better a moment later");
        let told = json!({"message": "spent", "type": "insufficient_quota", "param": null, "code": "insufficient_quota"});
        assert_eq!((error(&reply), reply.header("x-should-retry")), (told, "false"));
        assert_eq!(shell.records()[0].attempts[0].failure, Some(Condition::Quota));
    }
}

#[test]
fn json_that_is_no_completion_is_no_answer_to_a_stream() {
    let sample = samples::chat();
    let an_error = r#"{"error":{"message":"secret"}}"#;
    for (body, failure) in [("{}", Condition::BadAnswer), (an_error, Condition::ServerError)] {
        let shell = Shell::default();
        shell.script("a", [Answer::json(body)]);
        let request = post(shell.clock(), sample.path, sample.request.clone());
        let reply = exchange(&shell, &config(ALONE), request);
        assert_eq!((reply.status, shell.sent().len()), (502, 3));
        assert_eq!(shell.records()[0].attempts[0].failure, Some(failure));
    }
}

#[test]
fn a_route_may_want_fewer_attempts() {
    for attempts in 1..=3 {
        let shell = Shell::default();
        shell.script("a", [Answer::error(500)]);
        ask(&shell, &format!("{ALONE}retry = {{ attempts = {attempts} }}"));
        assert_eq!(shell.sent().len(), attempts);
    }
}

#[test]
fn three_attempts_are_all_whatever_the_number_of_fallbacks() {
    let toml = TWO.replace(r#"fallback = ["b"]"#, r#"fallback = ["b", "a", "b", "a"]"#);
    let shell = Shell::default();
    shell.script("a", [Answer::error(500)]);
    shell.script("b", [Answer::error(500)]);
    assert_eq!((ask(&shell, &toml).status, shell.asked().len()), (502, 3));
}

#[test]
fn without_budget_nothing_is_tried_again() {
    let shell = Shell::default();
    shell.script("a", [Answer::error(500)]);
    // No time passes: the budget is what it starts with, ten, and a fifth for each request.
    let (mut requests, mut last) = (0, 3);
    let unguarded = format!("{ALONE}{UNGUARDED}");
    while last == 3 {
        let before = shell.sent().len();
        assert_eq!(ask(&shell, &unguarded).status, 502);
        last = shell.sent().len() - before;
        requests += 1;
    }
    let retries = shell.sent().len() - requests;
    assert!(retries * 5 <= requests + 50, "{retries} retries of {requests} requests");
    let before = shell.sent().len();
    shell.script("a", [Answer::error(500)]);
    ask(&shell, &unguarded);
    assert!(shell.sent().len() - before <= 2);
    assert!(shell.events().iter().any(|event| event.starts_with("Retried")));
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Silence),
        Just(Act::NoConnection),
        Just(Act::Fault(SendFault::Broken)),
        Just(Answer::error(500).into()),
        Just(Answer::error(401).into()),
        Just(Answer::error(429).header("retry-after", "1").into()),
        Just(Answer::error(503).after(Duration::from_millis(700)).into()),
        Just(Answer::json("{}").into()),
        Just(Answer::json(WHOLE_CHAT.answer).ending(End::Broken).into()),
        Just(Answer::json(WHOLE_CHAT.answer).ending(End::Silent).into()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Invariant 3, over a gateway's whole life; invariants 4 and 5 beside it.
    #[test]
    fn attempts_stay_within_their_bounds(
        acts in proptest::collection::vec((act(), act(), 0_u64..400), 500), seed: u64,
    ) {
        let timeout = r#"timeout = { connect = "1s", first_byte = "3s", idle = "2s", total = "3s" }"#;
        let config = config(&(TWO.replace("api_key", &format!("{timeout}\n{OPENS_NEVER}\napi_key")) + UNGUARDED));
        let shell = Shell::default();
        shell.set_rolls(Rolls::Seeded(seed));
        for (first, second, pause) in acts {
            shell.clock().pass(Duration::from_millis(pause));
            shell.script("a", [first]);
            shell.script("b", [second]);
            let (began, before) = (shell.clock().now(), shell.sent().len());
            let reply = exchange(&shell, &config, post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request));
            let sent = &shell.sent()[before..];
            prop_assert!((1..=3).contains(&sent.len()));
            prop_assert!(reply.end_at.since(began) <= Duration::from_secs(3), "{:?}", reply.end_at);
            prop_assert!(sent.iter().all(|sent| sent.at.since(began) < Duration::from_secs(3)), "past the deadline");
        }
        let (requests, attempts) = (500, shell.sent().len() as u64);
        let floor = 10 + 10 * shell.clock().now().as_micros() / 1_000_000;
        prop_assert!((attempts - requests) * 5 <= requests + floor * 5 + 5);
        prop_assert_eq!(shell.records().len(), 500);
        prop_assert_eq!(shell.in_flight(), 0);
    }
}

//! Each wait has its own bound, its own time and its own answer; one deadline runs across attempts and fallbacks
//! (invariant 3).
#![cfg(test)]

use std::time::Duration;

use serde_json::{Value, json};
use weir::ledger::connect_fault::ConnectFault;
use weir::ledger::record::Ending;
use weir::routing::upstream::dispatch::SendFault;
use weir_portability::{
    Act, Answer, Beat, End, Flow, Reply, Rolls, Shell, Visit, config, exchange, post, samples,
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn toml(timeout: &str, route: &str) -> String {
    format!(
        r#"
        auth = "open"
        passthrough = "a"
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        timeout = {{ {timeout} }}
        [upstream.b]
        dialect = "openai"
        base_url = "https://b.example/v1"
        timeout = {{ {timeout} }}
        [[route]]
        model = "*"
        to = ["a"]
        {route}
        "#
    )
}

fn ask(shell: &Shell, timeout: &str, route: &str) -> Reply {
    let sample = samples::chat();
    exchange(shell, &config(&toml(timeout, route)), post(shell.clock(), sample.path, sample.request))
}

fn error(reply: &Reply) -> Value {
    let body: Value = serde_json::from_slice(&reply.body()).unwrap();
    let keys: Vec<_> = body["error"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "message", "param", "type"]);
    body["error"].clone()
}

#[test]
fn each_wait_has_its_own_bound_and_answer() {
    const TIMEOUTS: &str = r#"connect = "1s", first_byte = "3s", idle = "7s", total = "60s""#;
    let role = || samples::chat().events[0].sent.clone();
    for (label, act, each, status, code) in [
        ("refused", Act::Fault(SendFault::Connect(ConnectFault::Refused)), s(0), 502, "upstream_error"),
        ("no connection", Act::NoConnection, s(1), 502, "upstream_error"),
        ("no head", Act::Silence, s(3), 504, "request_timeout"),
        ("a late head", Answer::events("").after(ms(3001)).into(), s(3), 504, "request_timeout"),
        (
            "silence behind the head",
            Answer::events("").ending(End::Silent).into(),
            s(7),
            504,
            "request_timeout",
        ),
        (
            "silence behind the role",
            Answer::events(role()).ending(End::Silent).into(),
            s(7),
            504,
            "request_timeout",
        ),
    ] {
        let shell = Shell::default();
        shell.script("a", [act]);
        let reply = ask(&shell, TIMEOUTS, "hold_back = \"1h\"");
        // A timeout at the only candidate there is is not tried again.
        let attempts: u32 = if status == 504 { 1 } else { 3 };
        assert_eq!(shell.clock().elapsed(), each * attempts, "{label}: no back-off");
        assert_eq!((reply.status, &error(&reply)["code"]), (status, &json!(code)), "{label}");
        assert_eq!(reply.header("x-should-retry"), "false", "{label}");
        let record = &shell.records()[0];
        assert_eq!(
            (record.ending, record.status, record.attempts.len()),
            (Ending::Failed, status, attempts as usize),
            "{label}"
        );
        assert!(record.attempts.iter().all(|attempt| attempt.took == each), "{label}");
    }
}

#[test]
fn a_head_in_the_last_moment_is_in_time() {
    let shell = Shell::default();
    shell.script("a", [Answer::events(samples::chat().sent()).after(s(3))]);
    assert_eq!(ask(&shell, r#"first_byte = "3s""#, "").status, 200);
}

#[test]
fn the_deadline_ends_a_call_although_attempts_remain() {
    let trickle = || {
        let beats = (0..100).flat_map(|_| [Beat::Pause(ms(900)), Beat::Bytes(": ping\n\n".into())]);
        Act::from(Answer::events("").beats(beats))
    };
    for (label, act, attempts) in [
        ("no head", Act::Silence, 2),
        ("no head, and first_byte is as long as total", Act::Silence, 1),
        ("a trickle of comments", trickle(), 1),
    ] {
        let first_byte = if attempts == 2 { "3s" } else { "4s" };
        let timeout = format!(r#"connect = "1s", first_byte = "{first_byte}", idle = "2s", total = "4s""#);
        for route in ["", r#"fallback = ["b", "a"]"#] {
            // A timeout at the only candidate there is is not tried again.
            if attempts == 2 && route.is_empty() {
                continue;
            }
            let shell = Shell::default();
            shell.script("a", [act.clone()]);
            shell.script("b", [act.clone()]);
            let reply = ask(&shell, &timeout, route);
            let label = format!("{label}, {route}");
            assert_eq!(shell.clock().elapsed(), s(4), "{label}");
            assert_eq!((reply.status, &error(&reply)["type"]), (504, &json!("timeout_error")), "{label}");
            let deadline = weir::time::Instant::from_micros(4_000_000);
            assert!(shell.sent().iter().all(|sent| sent.at < deadline), "{label}: asked past the deadline");
            assert_eq!(shell.sent().len(), attempts, "{label}");
            assert_eq!(shell.records()[0].ending, Ending::Failed, "{label}");
        }
    }
}

#[test]
fn the_deadline_ends_an_answer_that_goes_on() {
    let shell = Shell::default();
    let word = samples::chat().events[1].sent.clone();
    let beats = (0..100).flat_map(|_| [Beat::Pause(s(1)), Beat::Bytes(word.clone().into())]);
    shell.script("a", [Answer::events("").beats(beats)]);
    let reply = ask(&shell, r#"idle = "2s", first_byte = "2s", total = "10s""#, "");
    assert_eq!(shell.clock().elapsed(), s(10));
    assert!(reply.text().contains("\"timeout_error\"") && !reply.text().contains("[DONE]"));
    assert_eq!(shell.records()[0].ending, Ending::DeadlinePassed);
}

#[test]
fn a_wait_that_reaches_past_the_deadline_is_not_begun() {
    let shell = Shell::default();
    shell.script("a", [Answer::error(503).header("retry-after", "3")]);
    let reply = ask(&shell, r#"connect = "1s", first_byte = "1s", total = "3s""#, "");
    assert_eq!((reply.status, shell.sent().len(), shell.clock().elapsed()), (502, 1, s(0)));
}

#[test]
fn the_time_an_upload_takes_counts() {
    let config = config(&toml(r#"connect = "1s", first_byte = "1s", total = "2s""#, ""));
    let shell = Shell::default();
    shell.script("a", [Answer::events(samples::chat().sent())]);
    let body = samples::chat().request;
    let beats = [Beat::Pause(s(3)), Beat::Bytes(body.into())];
    let request =
        post(shell.clock(), "/v1/chat/completions", "").map(|_| Flow::new(shell.clock(), beats, End::Clean));
    let reply = exchange(&shell, &config, request);
    assert_eq!(reply.status, 504);
    assert_eq!(shell.sent().len(), 0, "there is no time left to ask anyone");
}

#[test]
fn a_client_that_is_too_slow_to_send_is_told_so() {
    let config = config(&(toml("", "") + "[server]\nbody_timeout = \"2s\"\nmax_body = 100000000"));
    let megabyte = vec![b' '; 1 << 20];
    for (label, beats, took, status) in [
        ("nothing comes", vec![], s(2), 408),
        ("half comes", vec![Beat::Bytes("{\"mo".into())], s(2), 408),
        (
            "a byte a second",
            (0..100).flat_map(|_| [Beat::Pause(s(1)), Beat::Bytes(" ".into())]).collect(),
            s(2),
            408,
        ),
        // Beyond the timeout 64 KiB a second are enough: a megabyte buys 16 seconds.
        ("a megabyte, then nothing", vec![Beat::Bytes(megabyte.into())], s(18), 408),
    ] {
        let shell = Shell::default();
        let request = post(shell.clock(), "/v1/chat/completions", "");
        let request = request.map(|_| Flow::new(shell.clock(), beats, End::Silent));
        let reply = exchange(&shell, &config, request);
        assert_eq!((reply.status, shell.clock().elapsed()), (status, took), "{label}");
        assert_eq!(error(&reply)["code"], "request_timeout", "{label}");
        assert_eq!((shell.sent().len(), shell.records().len()), (0, 0), "{label}");
    }
}

#[test]
fn a_client_that_is_too_slow_with_an_upload_is_told_so_and_its_upstream_is_not_blamed() {
    let drip = |chunk: usize| -> Vec<Beat> {
        (0..2000).flat_map(|_| [Beat::Pause(s(1)), Beat::Bytes(vec![b'x'; chunk].into())]).collect()
    };
    let half = || vec![Beat::Pause(s(1)), Beat::Bytes("half".into())];
    for (label, total, beats, took) in [
        ("nothing comes", "600s", vec![], s(5)),
        ("nothing comes, and the deadline is near", "3s", vec![], s(3)),
        ("half comes, and no second wait is given", "600s", half(), s(5)),
        ("a trickle", "600s", drip(1), s(5)),
        ("a trickle until the deadline", "3s", drip(1), s(3)),
    ] {
        let timeout = format!(r#"connect = "1s", first_byte = "2s", total = "{total}""#);
        let config = config(&(toml(&timeout, "") + "[server]\nbody_timeout = \"5s\""));
        let shell = Shell::default();
        shell.script("a", [Answer::json("{}")]);
        for turn in 1..=6 {
            let began = shell.clock().elapsed();
            let mut request = post(shell.clock(), "/v1/files", "");
            request.headers_mut().insert("content-type", "application/octet-stream".parse().unwrap());
            request.headers_mut().insert("content-length", "1000000".parse().unwrap());
            let request = request.map(|_| Flow::new(shell.clock(), beats.clone(), End::Silent));
            let reply = exchange(&shell, &config, request);
            let waited = shell.clock().elapsed().saturating_sub(began);
            assert_eq!((reply.status, waited), (408, took), "{label}, for the {turn}. time");
            assert_eq!(error(&reply)["code"], "request_timeout", "{label}");
        }
        let record = shell.records().pop().unwrap();
        assert_eq!((record.ending, record.attempts[0].failure), (Ending::Rejected, None), "{label}");
    }
}

#[test]
fn an_error_answer_is_not_waited_for_longer_than_five_seconds() {
    for (label, body) in [
        ("silent", vec![]),
        (
            "a byte every four seconds",
            (0..50).flat_map(|_| [Beat::Pause(s(4)), Beat::Bytes(" ".into())]).collect(),
        ),
    ] {
        let shell = Shell::default();
        shell.script("a", [Answer::error(400).beats(body).ending(End::Silent)]);
        let reply = ask(&shell, "", "");
        assert_eq!(reply.status, 400, "{label}");
        assert!(shell.clock().elapsed() <= s(5), "{label}: {:?}", shell.clock().elapsed());
    }
}

/// A transport that reads its socket on demand has nothing at hand when a slow client comes back for more.
#[test]
fn a_client_that_pauses_is_not_taken_for_a_silent_upstream() {
    let config = config(&toml(r#"idle = "5s""#, ""));
    let shell = Shell::default();
    let events = samples::chat().events;
    let beats = events.iter().flat_map(|event| [Beat::Yield, Beat::Bytes(event.sent.clone().into())]);
    shell.script("a", [Answer::events("").beats(beats)]);
    let sample = samples::chat();
    let mut visit = Visit::new(&shell, &config, post(shell.clock(), sample.path, sample.request.clone()));
    while visit.reply().chunks.len() < 2 {
        visit.poll_client();
    }
    shell.clock().pass(s(6));
    visit.read_on();
    visit.settle();
    assert_eq!(visit.reply().text(), sample.seen());
    assert_eq!(shell.records()[0].ending, Ending::Complete);
}

#[test]
fn back_off_doubles_and_is_jittered() {
    for (roll, expected) in [(0, ms(0)), (u64::MAX, ms(100 + 200)), (u64::MAX / 2, ms(50 + 100))] {
        let shell = Shell::default();
        shell.set_rolls(Rolls::Always(roll));
        shell.script("a", [Answer::error(500)]);
        ask(&shell, "", "");
        let elapsed = shell.clock().elapsed();
        assert!(elapsed <= expected && elapsed + ms(1) > expected, "{roll}: {elapsed:?}");
    }
}

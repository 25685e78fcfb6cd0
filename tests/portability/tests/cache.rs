//! The cache through the whole pipeline: what is kept, who is given it, and on which terms.
#![cfg(test)]

use std::time::Duration;

use http::{HeaderValue, Request};
use weir::identity::caller::KeyHash;
use weir::ledger::cache_status::Status;
use weir::ledger::record::Ending;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Act, Answer, Beat, End, Flow, Reply, Shell, config, exchange, post};

fn toml(cache: &str) -> String {
    let key = |name: &str| KeyHash::of(&format!("sk-{name}")).to_text();
    format!(
        r#"
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        breaker = {{ consecutive = 1000, failure_rate = "100%" }}
        [[route]]
        model = "*"
        to = ["a"]
        retry = {{ attempts = 1 }}
        cache = {cache}
        [limits.default]
        requests = "1000/min"
        tokens = "100000/min"
        [key.one]
        hash = "{}"
        [key.two]
        hash = "{}"
        [key.colleague]
        hash = "{}"
        tenant = "one"
        "#,
        key("one"),
        key("two"),
        key("colleague"),
    )
}

fn ask(shell: &Shell, caller: &str, path: &str, body: &str) -> Request<Flow> {
    let mut request = post(shell.clock(), path, body.to_owned());
    let key = HeaderValue::try_from(format!("Bearer sk-{caller}")).unwrap();
    request.headers_mut().insert("authorization", key);
    request
}

fn told(mut request: Request<Flow>, name: &'static str, value: &'static str) -> Request<Flow> {
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

fn chat(shell: &Shell, toml: &str, caller: &str) -> Reply {
    exchange(shell, &config(toml), ask(shell, caller, WHOLE_CHAT.path, WHOLE_CHAT.request))
}

fn shell(acts: impl IntoIterator<Item = Act>) -> Shell {
    let shell = Shell::default();
    shell.script("a", acts);
    shell
}

fn whole() -> Act {
    Answer::json(WHOLE_CHAT.answer).into()
}

fn streamed() -> Act {
    Answer::events(samples::chat().sent()).into()
}

/// Invariant 6.
#[test]
fn an_answer_is_given_again_byte_for_byte_and_costs_a_request_and_no_tokens() {
    for shell in [Shell::default(), Shell::sharing()] {
        shell.script("a", [whole()]);
        let toml = toml("true");
        let first = chat(&shell, &toml, "one");
        assert_eq!((first.status, first.header("x-cache"), first.header("age")), (200, "MISS", ""));
        shell.clock().pass(Duration::from_secs(7));
        let tokens = chat(&shell, &toml, "one");
        shell.clock().pass(Duration::from_secs(7));
        let again = chat(&shell, &toml, "one");
        assert_eq!((again.status, again.header("x-cache"), again.header("age")), (200, "HIT", "14"));
        assert_eq!((again.body(), again.body()), (first.body(), WHOLE_CHAT.answer.as_bytes().to_vec()));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(
            again.header("x-ratelimit-remaining-tokens"),
            tokens.header("x-ratelimit-remaining-tokens").max("100000"),
            "what the first used has run off, and nothing was used since"
        );
        let records = shell.records();
        assert_eq!((shell.sent().len(), records.len()), (1, 3));
        assert_eq!((records[0].cache, records[2].cache), (Some(Status::Miss), Some(Status::Hit)));
        assert_eq!((records[2].status, records[2].ending), (200, Ending::Complete));
        assert_eq!(records[2].usage.input.0 + records[2].usage.output.0, 0);
    }
}

/// Invariant 8.
#[test]
fn an_answer_belongs_to_its_tenant_and_to_its_request() {
    let (shell, toml) = (shell([whole()]), toml("true"));
    assert_eq!(chat(&shell, &toml, "one").header("x-cache"), "MISS");
    assert_eq!(chat(&shell, &toml, "two").header("x-cache"), "MISS", "another tenant");
    assert_eq!(chat(&shell, &toml, "colleague").header("x-cache"), "HIT", "another caller of the tenant");
    let body = |body: &str| exchange(&shell, &config(&toml), ask(&shell, "one", WHOLE_CHAT.path, body));
    let ask_for = |rest: &str| format!(r#"{{"model":"m",{rest}}}"#);
    let messages = r#""messages":[{"role":"user","content":"é"}]"#;
    assert_eq!(body(&ask_for(messages)).header("x-cache"), "MISS");
    for (label, rest, expected) in [
        ("spelled otherwise", r#" "messages" : [ {"content":"\u00e9", "role":"user"} ] "#, "HIT"),
        ("another user", &format!(r#"{messages},"user":"u""#), "HIT"),
        ("another prompt", r#""messages":[{"role":"user","content":"e"}]"#, "MISS"),
        ("another temperature", &format!(r#"{messages},"temperature":0"#), "MISS"),
        ("state of other calls", &format!(r#"{messages},"previous_response_id":"x""#), "BYPASS"),
    ] {
        assert_eq!(body(&ask_for(rest)).header("x-cache"), expected, "{label}");
    }
    let beta = told(ask(&shell, "one", WHOLE_CHAT.path, WHOLE_CHAT.request), "openai-beta", "x=1");
    assert_eq!(exchange(&shell, &config(&toml), beta).header("x-cache"), "MISS", "another beta");
}

/// An answer that no stream can tell.
const SPOKEN: &str = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,
    "message":{"role":"assistant","content":null,"audio":{"id":"a"}},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":9,"completion_tokens":8,"total_tokens":17}}"#;

fn question(prompt: &str, stream: bool) -> String {
    format!(r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#)
}

/// It takes its tokens, and is counted as one request and one call at the same time.
#[test]
fn a_call_that_cannot_be_told_what_is_kept_is_made_as_if_nothing_were_kept() {
    let toml = toml("true").replace("tokens =", "concurrent = 1\ntokens =");
    for (label, shell) in [("one", Shell::default()), ("several", Shell::sharing())] {
        shell.script("a", [Act::from(Answer::json(SPOKEN)), streamed()]);
        let ask = |stream| {
            let body = question("hello", stream);
            exchange(&shell, &config(&toml), ask(&shell, "one", WHOLE_CHAT.path, &body))
        };
        let told = |reply: &Reply| {
            (
                reply.status,
                reply.header("x-cache").to_owned(),
                reply.header("x-ratelimit-remaining-requests").to_owned(),
            )
        };
        let expect = |cache: &str, left: &str| (200, cache.to_owned(), left.to_owned());
        assert_eq!(told(&ask(false)), expect("MISS", "999"), "{label}");
        assert_eq!(told(&ask(false)), expect("HIT", "998"), "{label}");
        let streamed = ask(true);
        assert_eq!(told(&streamed), expect("MISS", "997"), "{label}");
        assert_ne!(streamed.header("x-ratelimit-remaining-tokens"), "100000", "{label}");
        assert_eq!((shell.sent().len(), streamed.text()), (2, samples::chat().seen()), "{label}");
        assert_eq!(told(&ask(true)), expect("HIT", "996"), "{label}");
    }
}

#[test]
fn a_call_that_cannot_be_told_what_is_kept_is_held_to_the_breakers() {
    let toml = toml("true").replace("consecutive = 1000", "consecutive = 1");
    let shell = shell([Act::from(Answer::json(SPOKEN)), Answer::error(500).into(), whole()]);
    let statuses = [("hello", false), ("something else", false), ("hello", true), ("hello", false)].map(
        |(prompt, stream)| {
            let body = question(prompt, stream);
            exchange(&shell, &config(&toml), ask(&shell, "one", WHOLE_CHAT.path, &body)).status
        },
    );
    assert_eq!(statuses, [200, 502, 503, 200]);
    assert_eq!(shell.sent().len(), 2);
}

#[test]
fn tenants_share_answers_only_where_the_route_says_so() {
    let (shell, toml) = (shell([whole()]), toml(r#"{ scope = "shared" }"#));
    assert_eq!(chat(&shell, &toml, "one").header("x-cache"), "MISS");
    assert_eq!(chat(&shell, &toml, "two").header("x-cache"), "HIT");
}

/// Invariant 7: each fault, then the same question.
#[test]
fn nothing_but_a_complete_answer_is_kept() {
    let sample = samples::chat();
    let sent = sample.sent();
    let cut = sent.len() - 20;
    let events = |body: &str, end| Answer::events(body.to_owned()).ending(end);
    let beats = vec![Beat::Bytes(sent[..cut].to_owned().into()), Beat::Pause(Duration::from_mins(2))];
    let stream: Vec<(&str, Act)> = vec![
        ("cut off cleanly", events(&sent[..cut], End::Clean).into()),
        ("broken off", events(&sent[..cut], End::Broken).into()),
        ("fallen silent", Answer::events("").beats(beats).into()),
        ("no event", events(&format!("{}data: <html>\n\n", &sent[..cut]), End::Clean).into()),
        (
            "an error",
            events(
                &format!("{}data: {{\"error\":{{\"message\":\"x\"}}}}\n\n", sample.events[1].sent),
                End::Clean,
            )
            .into(),
        ),
    ];
    for (label, act) in stream {
        for shell in [Shell::default(), Shell::sharing()] {
            shell.script("a", [act.clone(), Answer::events(sent.clone()).into()]);
            let toml = toml("true");
            let ask = || exchange(&shell, &config(&toml), ask(&shell, "one", sample.path, &sample.request));
            let first = ask();
            assert!(!first.text().contains("[DONE]"), "{label}");
            let second = ask();
            assert_eq!((second.header("x-cache"), second.text()), ("MISS", sample.seen()), "{label}");
            assert_eq!(ask().header("x-cache"), "HIT", "{label}");
        }
    }
    let whole_faults: Vec<(&str, Act)> = vec![
        ("an error status", Answer::error(500).into()),
        ("a limit", Answer::error(429).into()),
        ("a rejection", Answer::error(400).into()),
        ("an error with status 200", Answer::json(r#"{"error":{"message":"x"}}"#).into()),
        ("HTML", Answer::new(200, "text/html", "<html>").into()),
        ("half an answer", Answer::json(&WHOLE_CHAT.answer[..40]).ending(End::Broken).into()),
        ("another status", Answer::new(201, "application/json", WHOLE_CHAT.answer).into()),
        ("what cannot be read", Answer::json("\u{1f}x").header("content-encoding", "gzip").into()),
    ];
    for (label, act) in whole_faults {
        for shell in [Shell::default(), Shell::sharing()] {
            shell.script("a", [act.clone(), whole()]);
            let toml = toml("true");
            chat(&shell, &toml, "one");
            assert_eq!(chat(&shell, &toml, "one").header("x-cache"), "MISS", "{label}");
            assert_eq!(chat(&shell, &toml, "one").header("x-cache"), "HIT", "{label}");
        }
    }
}

#[test]
fn one_entry_serves_those_who_stream_and_those_who_do_not() {
    for sample in samples::all() {
        for shell in [Shell::default(), Shell::sharing()] {
            shell.script("a", [Answer::events(sample.sent())]);
            let toml = toml("true");
            let ask = |body: &str| exchange(&shell, &config(&toml), ask(&shell, "one", sample.path, body));
            assert_eq!(ask(&sample.request).text(), sample.seen(), "{}", sample.label);
            let again = ask(&sample.request);
            assert_eq!((again.header("x-cache"), again.text()), ("HIT", sample.seen()), "{}", sample.label);
            assert_eq!(again.header("content-type"), "text/event-stream; charset=utf-8");
            // The sample's last event tells of a response without its items; no answer is made of that.
            if sample.path == "/v1/responses" {
                continue;
            }
            let whole = ask(&sample.request.replace(r#""stream":true"#, r#""stream":false"#));
            assert_eq!((whole.status, whole.header("x-cache")), (200, "HIT"), "{}", sample.label);
            assert_eq!(whole.header("content-type"), "application/json");
            let object: serde_json::Value = serde_json::from_slice(&whole.body()).unwrap();
            assert!(object["choices"].is_array() || object["output"].is_array(), "{object}");
            assert_eq!(shell.sent().len(), 1, "{}", sample.label);
        }
    }
    let (shell, toml) = (shell([whole()]), toml("true"));
    chat(&shell, &toml, "one");
    let body = WHOLE_CHAT.request.replacen('{', r#"{"stream":true,"#, 1);
    let stream = exchange(&shell, &config(&toml), ask(&shell, "one", WHOLE_CHAT.path, &body));
    assert_eq!((stream.status, stream.header("x-cache")), (200, "HIT"));
    assert!(stream.text().ends_with("data: [DONE]\n\n"), "{}", stream.text());
}

#[test]
fn a_client_says_what_it_takes() {
    let toml = toml(r#"{ ttl = "100s", stale_while_revalidate = "50s" }"#);
    let directed = |shell: &Shell, directive: &'static str| {
        let request = ask(shell, "one", WHOLE_CHAT.path, WHOLE_CHAT.request);
        exchange(shell, &config(&toml), told(request, "cache-control", directive))
    };
    for (directive, expected, is_kept) in [
        ("no-cache", "BYPASS", true),
        ("no-store", "BYPASS", false),
        ("max-age=5", "MISS", true),
        ("max-age=60", "HIT", true),
        ("min-fresh=95", "MISS", true),
        ("max-stale", "HIT", true),
    ] {
        let shell = shell([whole()]);
        chat(&shell, &toml, "one");
        shell.clock().pass(Duration::from_secs(10));
        assert_eq!(directed(&shell, directive).header("x-cache"), expected, "{directive}");
        let age = chat(&shell, &toml, "one").header("age").to_owned();
        let is_new = is_kept && expected != "HIT";
        assert_eq!(age, if is_new { "0" } else { "10" }, "{directive}");
    }
    let shell = shell([whole()]);
    let refused = directed(&shell, "only-if-cached");
    assert_eq!((refused.status, refused.header("x-should-retry")), (504, "false"));
    assert!(refused.text().contains("not_cached"), "{}", refused.text());
    chat(&shell, &toml, "one");
    assert_eq!(directed(&shell, "only-if-cached").header("x-cache"), "HIT");
    assert_eq!(shell.sent().len(), 1);
}

#[test]
fn a_warm_call_goes_by_the_cache() {
    let (shell, toml) = (shell([whole()]), toml("{ max_temperature = 0.5 }"));
    for (temperature, expected) in
        [("", "BYPASS"), (r#""temperature":0.5,"#, "MISS"), (r#""temperature":0.51,"#, "BYPASS")]
    {
        let body = WHOLE_CHAT.request.replacen('{', &format!("{{{temperature}"), 1);
        let reply = exchange(&shell, &config(&toml), ask(&shell, "one", WHOLE_CHAT.path, &body));
        assert_eq!(reply.header("x-cache"), expected, "{temperature}");
    }
}

#[test]
fn an_old_answer_is_given_while_one_caller_fetches_a_new_one() {
    for shell in [Shell::default(), Shell::sharing()] {
        let toml = toml(r#"{ ttl = "10s", stale_while_revalidate = "50s" }"#);
        let new = WHOLE_CHAT.answer.replacen("\"id\":\"", "\"id\":\"new-", 1);
        shell.script("a", [whole(), Answer::json(new.clone()).into()]);
        chat(&shell, &toml, "one");
        shell.clock().pass(Duration::from_secs(20));
        let stale = chat(&shell, &toml, "one");
        assert_eq!((stale.header("x-cache"), stale.header("age")), ("STALE", "20"));
        assert_eq!(stale.text(), WHOLE_CHAT.answer);
        let records = shell.records();
        assert_eq!((records[1].cache, records[1].status), (Some(Status::Stale), 200));
        assert_eq!(records[1].ending, Ending::Complete);
        assert!(records[1].usage.output.0 > 0, "the new answer is paid for");
        assert_eq!(shell.sent().len(), 2);
        let fresh = chat(&shell, &toml, "one");
        assert_eq!((fresh.header("x-cache"), fresh.header("age")), ("HIT", "0"));
        assert_eq!((fresh.text(), shell.sent().len()), (new, 2));
        shell.script("a", [Answer::error(400)]);
        shell.clock().pass(Duration::from_secs(20));
        assert_eq!(chat(&shell, &toml, "one").status, 200, "whatever becomes of the new one");
        let last = shell.records().pop().unwrap();
        assert_eq!((last.status, last.cache, last.ending), (200, Some(Status::Stale), Ending::Complete));
        shell.clock().pass(Duration::from_mins(1));
        assert_eq!(chat(&shell, &toml, "one").header("x-cache"), "MISS", "too old for that");
    }
}

/// The degraded mode: a breaker is open, a call fails, and an older answer stands in.
#[test]
fn an_old_answer_stands_in_for_one_that_cannot_be_had() {
    for shell in [Shell::default(), Shell::sharing()] {
        let toml = toml(r#"{ ttl = "10s", stale_if_error = "1h" }"#)
            .replace("consecutive = 1000", "consecutive = 2");
        shell.script("a", [whole(), Answer::error(500).into()]);
        chat(&shell, &toml, "one");
        shell.clock().pass(Duration::from_secs(20));
        for asked in [2, 3, 3] {
            let stale = chat(&shell, &toml, "one");
            assert_eq!((stale.status, stale.text().as_str()), (200, WHOLE_CHAT.answer));
            assert_eq!(stale.header("x-cache"), "STALE");
            assert_eq!(stale.header("x-weir-degraded"), "stale");
            assert_eq!(shell.sent().len(), asked, "behind an open breaker nobody is asked");
        }
        let records = shell.records();
        let last = records.last().unwrap();
        assert_eq!((last.cache, last.status, last.ending), (Some(Status::Stale), 200, Ending::Complete));
        assert_eq!(chat(&shell, &toml, "two").status, 503, "who has none is told");
        shell.clock().pass(Duration::from_mins(70));
        assert_eq!(chat(&shell, &toml, "one").status, 502, "too old even for that");
    }
}

#[test]
fn embeddings_are_kept_whatever_the_temperature_of_others() {
    let (shell, toml) = (Shell::default(), toml("{ max_temperature = 0.1 }"));
    let answer = r#"{"object":"list","data":[{"embedding":"AAAA"}],"model":"m","usage":{"prompt_tokens":3}}"#;
    shell.script("a", [Answer::json(answer)]);
    let ask = |body: &str| exchange(&shell, &config(&toml), ask(&shell, "one", "/v1/embeddings", body));
    assert_eq!(ask(r#"{"model":"m","input":"x"}"#).header("x-cache"), "MISS");
    assert_eq!(ask(r#"{"input":"x","model":"m"}"#).header("x-cache"), "HIT");
    assert_eq!(ask(r#"{"model":"m","input":"x","encoding_format":"base64"}"#).header("x-cache"), "MISS");
}

#[test]
fn without_a_cache_nothing_is_said_of_one() {
    let (shell, toml) = (shell([whole()]), toml("false"));
    for _ in 0..2 {
        let reply = chat(&shell, &toml, "one");
        assert!(!reply.headers.contains_key("x-cache") && !reply.headers.contains_key("age"));
    }
    assert_eq!(shell.sent().len(), 2);
}

#[test]
fn an_answer_that_is_too_long_is_passed_on_and_not_kept() {
    for shell in [Shell::default(), Shell::sharing()] {
        let toml = toml(r#"{ max_entry = "300B" }"#);
        let sample = samples::chat();
        shell.script("a", [Answer::events(sample.sent())]);
        for _ in 0..2 {
            let reply = exchange(&shell, &config(&toml), ask(&shell, "one", sample.path, &sample.request));
            assert_eq!((reply.header("x-cache"), reply.text()), ("MISS", sample.seen()));
        }
    }
}

/// Whoever keeps the most makes room: what one tenant keeps pushes out nothing of another's.
#[test]
fn a_flood_of_answers_pushes_out_none_of_another_tenants() {
    let long = WHOLE_CHAT.answer.replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(3 << 20)), 1);
    let (shell, toml) = (shell([whole()]), toml("true"));
    assert_eq!(chat(&shell, &toml, "two").header("x-cache"), "MISS");
    shell.script("a", (0..12).map(|_| Answer::json(long.clone())));
    for n in 0..12 {
        let question = question(&format!("flood {n}"), false);
        let reply = exchange(&shell, &config(&toml), ask(&shell, "one", WHOLE_CHAT.path, &question));
        assert_eq!((reply.status, reply.header("x-cache")), (200, "MISS"));
    }
    assert_eq!(chat(&shell, &toml, "two").header("x-cache"), "HIT");
    let last =
        exchange(&shell, &config(&toml), ask(&shell, "one", WHOLE_CHAT.path, &question("flood 11", false)));
    assert_eq!(last.header("x-cache"), "HIT", "it has what the other leaves");
}

//! What must not cross the gateway: credentials, cookies, hop-by-hop headers, prompts and secrets (invariant 9).
#![cfg(test)]

use http::{HeaderValue, Request};
use weir::identity::caller::KeyHash;
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::dispatch::SendFault;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Act, Answer, End, Flow, Reply, Shell, config, exchange, get, post};

fn toml() -> String {
    let hash = KeyHash::of("sk-caller-canary-1234").to_text();
    format!(
        r#"
        passthrough = "a"
        [upstream.a]
        tenant = "one"
        dialect = "openai"
        base_url = "https://a.example/v1"
        api_key = {{ env = "KEY_A" }}
        timeout = {{ connect = "1s", first_byte = "1s", idle = "1s" }}
        [upstream.b]
        dialect = "azure"
        base_url = "https://b.example"
        api_version = "1"
        api_key = {{ env = "KEY_B" }}
        [[route]]
        model = "*"
        to = ["a"]
        [[route]]
        model = "with-fallback"
        to = ["a"]
        fallback = ["b"]
        [key.one]
        passthrough = ["**"]
        hash = "{hash}"
        "#
    )
}

fn with(mut request: Request<Flow>, headers: &[(&'static str, &str)]) -> Request<Flow> {
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

const KEY: (&str, &str) = ("authorization", "Bearer sk-caller-canary-1234");

#[test]
fn what_a_client_says_to_the_gateway_alone_is_not_sent_on() {
    let headers = [
        KEY,
        ("api-key", "sk-caller-canary-1234"),
        ("x-api-key", "sk-caller-canary-1234"),
        ("x-goog-api-key", "sk-caller-canary-1234"),
        ("proxy-authorization", "Basic canary"),
        ("cookie", "session=canary"),
        ("x-forwarded-for", "canary"),
        ("forwarded", "for=canary"),
        ("x-real-ip", "canary"),
        ("via", "canary"),
        ("openai-organization", "canary"),
        ("openai-project", "canary"),
        ("connection", "keep-alive, x-hop"),
        ("connection", "X-Other-Hop"),
        ("x-hop", "canary"),
        ("x-other-hop", "canary"),
        ("keep-alive", "canary"),
        ("te", "trailers"),
        ("upgrade", "canary"),
        ("expect", "100-continue"),
        ("accept-encoding", "gzip"),
        ("x-weir-explain", "0"),
        ("x-weir-canary", "canary"),
        ("x-request-id", "canary"),
        ("referer", "canary"),
        ("openai-beta", "assistants=v2"),
        ("x-stainless-lang", "python"),
        ("idempotency-key", "k"),
        ("accept", "application/json"),
    ];
    for path in ["/v1/chat/completions", "/v1/moderations", "/v1/files"] {
        let shell = Shell::default();
        shell.script("a", [Answer::json(WHOLE_CHAT.answer)]);
        let request = with(post(shell.clock(), path, WHOLE_CHAT.request), &headers);
        assert_eq!(exchange(&shell, &config(&toml()), request).status, 200);
        let sent = &shell.sent()[0];
        let mut names: Vec<_> = sent.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        let kept = [
            "accept",
            "accept-encoding",
            "authorization",
            "content-type",
            "openai-beta",
            "traceparent",
            "user-agent",
        ];
        // Of a call that is understood the gateway itself takes care; elsewhere the key goes on as this tenant's.
        let key = sent.headers.get("idempotency-key").and_then(|value| value.to_str().ok());
        assert_eq!(key.map(str::len), (path != "/v1/chat/completions").then_some(64), "{path}");
        names.retain(|name| *name != "idempotency-key");
        assert_eq!(names, kept, "{path}");
        assert_eq!(sent.headers["authorization"], "Bearer sk-canary-a", "{path}");
        assert_eq!(sent.headers["accept-encoding"], "identity", "{path}");
        assert!(sent.headers["authorization"].is_sensitive());
    }
}

#[test]
fn what_an_upstream_says_of_its_own_house_is_not_passed_on() {
    let dressed = |answer: Answer| {
        [
            ("set-cookie", "canary=1"),
            ("openai-organization", "canary"),
            ("x-ratelimit-limit-requests", "7"),
            ("cf-ray", "canary"),
            ("server", "canary"),
            ("alt-svc", "canary"),
            ("connection", "x-hop"),
            ("x-hop", "canary"),
            ("keep-alive", "canary"),
            ("transfer-encoding", "chunked"),
            ("x-request-id", "canary"),
            ("openai-processing-ms", "canary"),
            ("x-weir-explain", "canary"),
            ("access-control-allow-origin", "canary"),
            ("traceparent", "canary"),
            ("via", "canary"),
            ("openai-version", "2020-10-01"),
            ("x-custom", "canary"),
            ("location", "https://canary/"),
        ]
        .into_iter()
        .fold(answer, |answer, (name, value)| answer.header(name, value))
    };
    let stream = samples::chat();
    for (label, path, body, answer) in [
        ("whole", WHOLE_CHAT.path, WHOLE_CHAT.request.to_owned(), Answer::json(WHOLE_CHAT.answer)),
        ("stream", stream.path, stream.request.clone(), Answer::events(stream.sent())),
        ("passed on", "/v1/moderations", r#"{"input":"x"}"#.to_owned(), Answer::json("{}")),
    ] {
        let shell = Shell::default();
        shell.script("a", [dressed(answer)]);
        let reply = exchange(&shell, &config(&toml()), with(post(shell.clock(), path, body), &[KEY]));
        assert!(!format!("{:?}", reply.headers).contains("canary"), "{label}: {:?}", reply.headers);
        let names = reply.headers.keys().map(http::HeaderName::as_str);
        // Limits are the gateway's own.
        let mut names: Vec<_> = names.filter(|name| !name.starts_with("x-ratelimit-")).collect();
        names.sort_unstable();
        let expected =
            ["content-type", "openai-processing-ms", "openai-version", "traceparent", "x-request-id"];
        assert_eq!(names, expected, "{label}");
    }
}

#[test]
fn every_answer_is_named_and_timed() {
    for (path, status) in [("/v1/chat/completions", 200), ("/v1/x", 404), ("/health", 200)] {
        let shell = Shell::default();
        shell.script("a", [Answer::json(WHOLE_CHAT.answer)]);
        let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let request = match path {
            "/health" => get(shell.clock(), path),
            _ => post(shell.clock(), path, WHOLE_CHAT.request),
        };
        let reply = exchange(&shell, &config(&toml()), with(request, &[KEY, parent]));
        assert_eq!(reply.status, status);
        let id = reply.header("x-request-id");
        assert!(id.len() == 36 && id.starts_with("req_"), "{id}");
        assert_eq!(reply.header("openai-processing-ms"), "0");
        let trace = reply.header("traceparent");
        assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{trace}");
        assert!(!trace.contains("00f067aa0ba902b7"), "a span of its own");
        if status == 200 && path != "/health" {
            assert_eq!(shell.sent()[0].headers["traceparent"], trace, "{path}");
            let record = &shell.records()[0];
            assert_eq!((record.request_id.as_str(), &record.trace_id[..4]), (id, "4bf9"));
        }
    }
}

/// All that can be read of a request outside its own answer.
fn traces(shell: &Shell, reply: &Reply) -> String {
    format!("{:?}\n{:?}\n{:?}", reply.headers, shell.records(), shell.events())
}

#[test]
fn no_prompt_and_no_secret_shows_anywhere() {
    const PROMPT: &str = "canary-prompt";
    let body = |stream: bool| {
        format!(
            r#"{{"model":"with-fallback","stream":{stream},"messages":[{{"role":"user","content":"{PROMPT}"}}],"user":"{PROMPT}"}}"#
        )
    };
    let quoted = r#"{"error":{"message":"key sk-canary-a, key sk-canary-a","type":"sk-canary-a","param":"sk-canary-a","code":"sk-canary-a"}}"#;
    let quoting = |status| Act::from(Answer::new(status, "application/json", quoted));
    let word = samples::chat().events[1].sent.clone();
    let stream = |bytes: String, end| Act::from(Answer::events(bytes).ending(end));
    let acts: Vec<(&str, Act)> = vec![
        ("400 that quotes the key", quoting(400)),
        ("401 that quotes the key", quoting(401)),
        ("429 that quotes the key", quoting(429)),
        ("500 that quotes the key", quoting(500)),
        ("200 that quotes the key", quoting(200)),
        ("refused", Act::Fault(SendFault::Connect(ConnectFault::Refused))),
        ("silence", Act::Silence),
        ("HTML", Answer::new(200, "text/html", PROMPT).into()),
        ("an error event that quotes the key", stream(format!("{word}data: {quoted}\n\n"), End::Clean)),
        ("an error event at once", stream(format!("data: {quoted}\n\n"), End::Clean)),
        ("garbage", stream(format!("{word}data: {PROMPT} sk-canary-a\n\n"), End::Clean)),
        ("a cut", stream(format!("{word}data: {PROMPT} sk-canary-a"), End::Clean)),
        ("a reset", stream(word.clone(), End::Broken)),
    ];
    let config = config(&toml());
    for (label, act) in acts {
        for is_stream in [false, true] {
            let shell = Shell::default();
            shell.script("a", [act.clone()]);
            shell.script("b", [act.clone()]);
            let request = with(
                post(shell.clock(), "/v1/chat/completions", body(is_stream)),
                &[KEY, ("x-weir-explain", "1")],
            );
            let reply = exchange(&shell, &config, request);
            for text in [traces(&shell, &reply), reply.text()] {
                assert!(!text.contains("canary"), "{label}, stream {is_stream}: {text}");
            }
        }
    }
}

#[test]
fn no_secret_shows_where_nothing_was_asked_of_an_upstream() {
    let config = config(&toml());
    let bad = r#"{"model":"m","messages":"canary-prompt"}"#;
    let shell = Shell::default();
    let key = "sk-caller-canary-1234";
    for (label, request) in [
        ("a bad body", with(post(shell.clock(), "/v1/chat/completions", bad), &[KEY])),
        ("no JSON", with(post(shell.clock(), "/v1/chat/completions", "canary-prompt"), &[KEY])),
        ("no key", with(post(shell.clock(), "/v1/chat/completions", bad), &[])),
        ("readiness", get(shell.clock(), "/ready")),
        ("a key in the query", with(get(shell.clock(), &format!("/v1/models?api_key={key}")), &[KEY])),
        ("a prompt in the query", with(get(shell.clock(), "/v1/x?prompt=canary-prompt"), &[KEY])),
        ("models", with(get(shell.clock(), "/v1/models"), &[KEY])),
    ] {
        let reply = exchange(&shell, &config, request);
        for text in [traces(&shell, &reply), reply.text()] {
            assert!(!text.contains("canary"), "{label}: {text}");
        }
    }
    let wrong = with(
        post(shell.clock(), "/v1/chat/completions", bad),
        &[("authorization", "Bearer sk-wrong-1234567890-canary-xyzw")],
    );
    let reply = exchange(&shell, &config, wrong);
    assert!(reply.text().contains("Incorrect API key provided: sk-wrong***xyzw."), "{}", reply.text());
    assert!(!format!("{config:?}").contains("canary"), "a configuration prints no secret");
}

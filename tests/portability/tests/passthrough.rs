//! Documented paths that are not understood: passed on byte for byte, routed by a model where they name one.
#![cfg(test)]

use std::sync::Arc;

use http::{HeaderValue, Method, Request};
use weir::Config;
use weir::ledger::record::Ending;
use weir_portability::{Act, Answer, Beat, End, Flow, Shell, config, exchange, get, post, request};

fn two() -> Arc<Config> {
    config(
        r#"
        auth = "open"
        passthrough = "b"
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        api_key = { env = "KEY_A" }
        timeout = { idle = "2s" }
        [upstream.b]
        dialect = "openai"
        base_url = "https://b.example/v1"
        api_key = { env = "KEY_B" }
        tenant = "default"
        [[route]]
        model = "whisper"
        to = [{ upstream = "a", model = "whisper-large-v3" }]
        [[route]]
        model = "dall-e"
        to = ["a"]
        "#,
    )
}

fn shell() -> Shell {
    let shell = Shell::default();
    for upstream in ["a", "b"] {
        shell.script(upstream, [Answer::json(" { \"id\" : 1 } ").header("openai-version", "2020-10-01")]);
    }
    shell
}

fn with(mut request: Request<Flow>, name: &'static str, value: &'static str) -> Request<Flow> {
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

const FORM: &str = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n\u{0}name=\"model\"\r\n\r\nwhisper\r\n--x\r\n\
    Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--x--\r\n";

#[test]
fn requests_go_on_as_they_came_and_answers_come_back_so() {
    for (label, method, path, body, upstream) in [
        ("a list", "GET", "/v1/files?limit=2&order=desc&after=a%20b", "", "b"),
        ("a deletion", "DELETE", "/v1/files/file-1", "", "b"),
        ("JSON without a model", "POST", "/v1/threads", r#" {"messages" : [] , "x":1e400} "#, "b"),
        (
            "JSON with a model",
            "POST",
            "/v1/images/generations",
            r#"{ "prompt":"x", "model" : "dall-e" }"#,
            "a",
        ),
        ("stored completions of a model", "GET", "/v1/chat/completions?model=dall-e", "", "b"),
        ("a fine-tuned model", "DELETE", "/v1/models/ft:gpt", "", "b"),
        ("an encoded path", "GET", "/v1/files/a%2Fb", "", "b"),
        ("no query", "POST", "/v1/moderations?", r#"{"input":"x"}"#, "b"),
    ] {
        let shell = shell();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = if body.is_empty() {
            request(shell.clock(), method.clone(), path, "")
        } else {
            post(shell.clock(), path, body)
        };
        let reply = exchange(&shell, &two(), request);
        assert_eq!((reply.status, reply.text().as_str()), (200, " { \"id\" : 1 } "), "{label}");
        assert_eq!(
            (reply.header("content-type"), reply.header("openai-version")),
            ("application/json", "2020-10-01"),
            "{label}"
        );
        let sent = &shell.sent()[0];
        assert_eq!(
            (sent.upstream.as_str(), &sent.method, &sent.body[..]),
            (upstream, &method, body.as_bytes()),
            "{label}"
        );
        let expected = format!("https://{upstream}.example{}", path.trim_end_matches('?'));
        assert_eq!(sent.uri.to_string(), expected, "{label}");
        assert_eq!(sent.headers["authorization"], format!("Bearer sk-canary-{upstream}").as_str(), "{label}");
        let record = &shell.records()[0];
        assert_eq!((record.operation, record.ending), ("passthrough", Ending::Complete), "{label}");
    }
}

#[test]
fn a_model_in_a_form_is_renamed_in_its_place() {
    let shell = shell();
    let request = post(shell.clock(), "/v1/audio/transcriptions", FORM);
    let reply = exchange(&shell, &two(), with(request, "content-type", "multipart/form-data; boundary=x"));
    assert_eq!(reply.status, 200);
    let sent = &shell.sent()[0];
    let at = FORM.rfind("whisper").unwrap();
    let expected = [&FORM[..at], "whisper-large-v3", &FORM[at + 7..]].concat();
    assert_eq!((sent.upstream.as_str(), &sent.body[..]), ("a", expected.as_bytes()));
    assert_eq!(sent.headers["content-type"], "multipart/form-data; boundary=x");
    assert!(!sent.headers.contains_key("content-length"), "its length is another");
    let record = &shell.records()[0];
    assert_eq!((record.model.as_str(), record.upstream_model.as_str()), ("whisper", "whisper-large-v3"));
}

/// The gateway would allow one model and the upstream serve another.
#[test]
fn a_form_that_may_name_another_model_is_not_sent_on() {
    let content_type = "multipart/form-data; boundary=x";
    let hidden = |parameters: &str| {
        let part = format!("--x\r\nContent-Disposition: form-data; {parameters}\r\n\r\ndall-e\r\n--x--\r\n");
        FORM.replace("--x--\r\n", &part)
    };
    let invalid = |problem: &str| format!("Invalid value for 'model': {problem}.");
    let ambiguous = |problem: &str| format!("Your request is ambiguous: {problem}.");
    let disposition = ambiguous(
        "a part of the form has no plain 'form-data' disposition with one name; in a file name a quote is spelled %22",
    );
    for (label, content_type, form, message) in [
        ("twice", content_type, hidden("name=\"model\""), invalid("it is given twice")),
        ("an extended name", content_type, hidden("name*=utf-8''model"), disposition.clone()),
        ("in a file name", content_type, hidden("name=\"y\"; filename=\"; name=model\""), disposition),
        ("a list", content_type, hidden("name=\"model[]\""), invalid("a field's name is almost this one")),
        (
            "unclosed",
            content_type,
            FORM.replace("--x--", ""),
            ambiguous("the form does not end with its last delimiter"),
        ),
        (
            "two boundaries",
            "multipart/form-data; boundary=y; boundary=x",
            FORM.into(),
            ambiguous("the content-type does not name a form's one boundary plainly"),
        ),
    ] {
        let shell = shell();
        let request =
            with(post(shell.clock(), "/v1/audio/transcriptions", form), "content-type", content_type);
        let reply = exchange(&shell, &two(), request);
        assert_eq!((reply.status, shell.sent().len(), shell.records().len()), (400, 0, 0), "{label}");
        let body: serde_json::Value = serde_json::from_slice(&reply.body()).unwrap();
        assert_eq!(body["error"]["message"], message, "{label}");
    }
}

#[test]
fn a_model_in_json_is_renamed_in_its_place() {
    let shell = shell();
    let body = r#"{ "input":"\"model\":\"whisper\"", "model" : "whisper", "voice":"x" }"#;
    exchange(&shell, &two(), post(shell.clock(), "/v1/audio/speech", body));
    let at = body.rfind("whisper").unwrap();
    assert_eq!(shell.sent()[0].body, [&body[..at], "whisper-large-v3", &body[at + 7..]].concat());
}

#[test]
fn an_upload_that_names_no_model_is_streamed_through_with_its_length() {
    let shell = shell();
    let form = "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x--\r\n";
    let request = post(shell.clock(), "/v1/files", form);
    let request =
        with(with(request, "content-type", "multipart/form-data; boundary=x"), "content-encoding", "gzip");
    assert_eq!(exchange(&shell, &two(), request).status, 200);
    let sent = &shell.sent()[0];
    assert_eq!((sent.upstream.as_str(), &sent.body[..]), ("b", form.as_bytes()));
    assert_eq!(sent.headers["content-length"], form.len().to_string().as_str());
    assert_eq!(sent.headers["content-encoding"], "gzip", "what is not read is not decoded");
}

#[test]
fn a_streamed_upload_is_sent_once_and_never_again() {
    let shell = Shell::default();
    shell.script(
        "b",
        [Act::Fault(weir::routing::upstream::dispatch::SendFault::Broken), Answer::json("{}").into()],
    );
    let request = post(shell.clock(), "/v1/files", "bytes");
    let reply = exchange(&shell, &two(), with(request, "content-type", "application/octet-stream"));
    assert_eq!((reply.status, shell.sent().len()), (502, 1));
}

#[test]
fn errors_of_what_is_passed_on_are_passed_on() {
    for status in [400, 404, 409, 429, 500, 503] {
        let shell = Shell::default();
        let body = r#"{"error":{"message":"as it is","extra":1}}"#;
        shell.script("b", [Answer::new(status, "application/json", body).header("retry-after", "1")]);
        let reply = exchange(&shell, &two(), get(shell.clock(), "/v1/files"));
        assert_eq!((reply.status, reply.text().as_str(), shell.sent().len()), (status, body, 1));
        assert_eq!(reply.header("retry-after"), "1");
    }
}

#[test]
fn a_refused_credential_is_not_passed_on() {
    for status in [401, 403] {
        let shell = Shell::default();
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-canary-b"}}"#;
        shell.script("b", [Answer::new(status, "application/json", body)]);
        let reply = exchange(&shell, &two(), get(shell.clock(), "/v1/files"));
        assert_eq!(reply.status, 502);
        assert!(!reply.text().contains("canary"), "{}", reply.text());
    }
}

#[test]
fn events_are_passed_on_as_bytes() {
    let events = "event: thread.created\ndata: {}\n\nevent: done\ndata: [DONE]\n\n: odd";
    let beats = events.as_bytes().chunks(7).map(|piece| Beat::Bytes(piece.to_vec().into()));
    let shell = Shell::default();
    shell.script("b", [Answer::events("").beats(beats)]);
    let reply = exchange(&shell, &two(), post(shell.clock(), "/v1/threads/runs", "{\"stream\":true}"));
    assert_eq!((reply.text().as_str(), reply.is_aborted), (events, false));
    assert_eq!(reply.header("content-type"), "text/event-stream", "as it was");
}

/// There are no words for it: the connection is cut, so that nobody takes it for the whole.
#[test]
fn an_answer_that_breaks_off_is_cut_off() {
    for (end, ending) in [(End::Broken, Ending::Reset), (End::Silent, Ending::Stalled)] {
        let shell = Shell::default();
        shell.script("a", [Answer::new(200, "audio/mpeg", "half").ending(end)]);
        let reply =
            exchange(&shell, &two(), post(shell.clock(), "/v1/audio/speech", r#"{"model":"whisper"}"#));
        assert_eq!((reply.status, reply.text().as_str(), reply.is_aborted), (200, "half", true));
        assert_eq!((shell.records()[0].ending, shell.in_flight()), (ending, 0));
    }
}

#[test]
fn what_has_no_upstream_is_not_found() {
    let toml = r#"
    auth = "open"
    passthrough = { upstream = "a", paths = ["images/**"] }
    [upstream.a]
    dialect = "openai"
    base_url = "https://a.example/v1"
    [upstream.b]
    dialect = "openai"
    base_url = "https://b.example/v1"
    [[route]]
    model = "m"
    to = ["a"]
    "#;
    for (label, path, body) in [
        ("no model, no passthrough", "/v1/threads", "{}"),
        ("a model without a route", "/v1/images/generations", r#"{"model":"x"}"#),
    ] {
        let shell = shell();
        let reply = exchange(&shell, &config(toml), post(shell.clock(), path, body));
        assert_eq!((reply.status, shell.sent().len(), shell.records().len()), (404, 0, 0), "{label}");
    }
}

/// By path and by body; what names nothing goes on.
#[test]
fn without_the_store_nobody_is_given_an_object_unless_the_document_says_so() {
    for (more, expected) in [("", 503), ("on_store_loss = \"open\"", 200)] {
        let toml = format!(
            "auth = \"open\"\n[limits.default]\nrequests = \"unlimited\"\n[[passthrough]]\nupstream = \"b\"\nowners = true\n{more}\n\
             [upstream.b]\ndialect = \"openai\"\nbase_url = \"https://b.example/v1\"\n\
             [[route]]\nmodel = \"*\"\nto = [\"b\"]\n"
        );
        let shell = shell();
        shell.lose_store(true);
        for (method, path, body) in [
            ("GET", "/v1/files/file-1", ""),
            ("POST", "/v1/batches", r#"{"input_file_id":"file-1"}"#),
            ("POST", "/v1/threads", "{}"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = request(shell.clock(), method, path, body);
            if !body.is_empty() {
                request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
                request.headers_mut().insert("content-length", body.len().into());
            }
            shell.script("b", [Answer::new(200, "application/json", r#"{"id":"made_1"}"#)]);
            let reply = exchange(&shell, &config(&toml), request);
            assert_eq!(reply.status, expected, "{more} {path}: {}", reply.text());
        }
    }
}

#[test]
fn no_path_is_open_to_a_key_that_says_nothing() {
    let hash = weir::identity::caller::KeyHash::of("sk-nothing").to_text();
    let toml = format!(
        "passthrough = \"b\"\n[upstream.b]\ndialect = \"openai\"\nbase_url = \"https://b.example/v1\"\n\
         [[route]]\nmodel = \"*\"\nto = [\"b\"]\n[key.nothing]\nhash = \"{hash}\"\nmodels = []\n"
    );
    let config = config(&toml);
    let kinds = [
        "agents",
        "assistants",
        "audio",
        "batches",
        "chat/completions",
        "chatkit",
        "containers",
        "content_provenance_checks",
        "conversations",
        "decisions",
        "evals",
        "files",
        "fine_tuning",
        "images",
        "live",
        "moderations",
        "organization",
        "projects",
        "realtime",
        "responses",
        "safety",
        "skills",
        "threads",
        "uploads",
        "vaults",
        "vector_stores",
        "videos",
        "webhook_endpoints",
        "webhook_event_types",
    ];
    for kind in kinds {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for path in
                [format!("/v1/{kind}/x"), format!("/v1/{kind}/x/y"), format!("/openai/{kind}/x?model=m")]
            {
                let shell = shell();
                let mut request = request(shell.clock(), method.clone(), &path, "{}");
                for (name, value) in
                    [("authorization", "Bearer sk-nothing"), ("content-type", "application/json")]
                {
                    request.headers_mut().insert(name, HeaderValue::from_static(value));
                }
                let reply = exchange(&shell, &config, request);
                assert_eq!((reply.status, shell.sent().len()), (403, 0), "{method} {path}: {}", reply.text());
            }
        }
    }
}

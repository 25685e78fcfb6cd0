//! What a client may get wrong, and the exact bytes it is told; nothing of it reaches an upstream or the books.
#![cfg(test)]

use std::sync::Arc;

use http::{HeaderValue, Method, Request};
use weir::Config;
use weir::identity::caller::KeyHash;
use weir_portability::{Beat, End, Flow, Shell, config, exchange, post, request};

const CHAT: &str = "/v1/chat/completions";
const GOOD: &str = r#"{"model":"m","messages":[]}"#;

fn keyed() -> Arc<Config> {
    let hash = KeyHash::of("sk-weir-one").to_text();
    config(&format!(
        r#"
        [server]
        max_body = 1000
        max_depth = 8
        max_n = 4
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        [[route]]
        model = "m*"
        to = ["a"]
        [key.one]
        hash = "{hash}"
        "#
    ))
}

/// A request with the right key, and what it is answered.
fn answer(change: impl FnOnce(&Shell) -> Request<Flow>) -> (u16, String, http::HeaderMap) {
    let shell = Shell::default();
    let mut request = change(&shell);
    if !request.headers().contains_key("x-no-key") {
        request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer sk-weir-one"));
    }
    let reply = exchange(&shell, &keyed(), request);
    let booked = (shell.sent().len(), shell.records().len(), shell.opened());
    assert_eq!(booked, (0, 0, 0), "nothing is sent, nothing is owed: {}", reply.text());
    let refused = shell.events().iter().filter(|event| event.starts_with("Refused")).count();
    assert_eq!((refused, shell.events().len()), (1, 1));
    assert_eq!(reply.header("content-type"), "application/json");
    (reply.status, reply.text(), reply.headers)
}

fn body(message: &str, param: &str, code: &str) -> String {
    let quoted = |text: &str| if text.is_empty() { "null".to_owned() } else { format!("\"{text}\"") };
    format!(
        r#"{{"error":{{"message":"{message}","type":"invalid_request_error","param":{},"code":{}}}}}"#,
        quoted(param),
        quoted(code)
    )
}

#[test]
fn bad_bodies_are_told_what_is_wrong_with_them() {
    let parse = |problem: &str| {
        body(&format!("We could not parse the JSON body of your request: {problem}."), "", "invalid_json")
    };
    let value = |param: &str, problem: &str| {
        body(&format!("Invalid value for '{param}': {problem}."), param, "invalid_value")
    };
    let deep = format!(r#"{{"model":"m","messages":{}{}}}"#, "[".repeat(8), "]".repeat(8));
    for (sent, expected) in [
        ("", parse("it is empty")),
        (" \n", parse("it is empty")),
        ("{\"model\":", parse("it ends too early, at line 1 column 9")),
        ("{\"model\":\"m\",\n canary}", parse("it is not valid JSON at line 2 column 2")),
        ("[]", parse("it is not an object")),
        ("\"m\"", parse("it is not an object")),
        ("{}{}", parse("it is not valid JSON at line 1 column 3")),
        (&deep, body("The JSON body of your request is nested deeper than 8 levels.", "", "invalid_json")),
        (r#"{"messages":[]}"#, value("model", "you must provide a model")),
        (r#"{"model":null,"messages":[]}"#, value("model", "you must provide a model")),
        (r#"{"model":7,"messages":[]}"#, value("model", "it must be a string")),
        (r#"{"model":" ","messages":[]}"#, value("model", "it is empty")),
        (
            r#"{"model":"a\nb","messages":[]}"#,
            value("model", "it must be at most 256 bytes without control characters"),
        ),
        (r#"{"model":"m","model":"m","messages":[]}"#, value("model", "it is given twice")),
        (r#"{"model":"m"}"#, value("messages", "it is missing")),
        (r#"{"model":"m","messages":{}}"#, value("messages", "it must be an array of messages")),
        (r#"{"model":"m","messages":[],"stream":1}"#, value("stream", "it must be a boolean")),
        (r#"{"model":"m","messages":[],"n":5}"#, value("n", "it must be a whole number from 1 to 4")),
        (r#"{"model":"m","messages":[],"n":1.5}"#, value("n", "it must be a whole number from 1 to 4")),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":1}"#,
            value("stream_options", "it must be an object"),
        ),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":1}}"#,
            value("stream_options.include_usage", "it must be a boolean"),
        ),
    ] {
        let (status, text, _) = answer(|shell| post(shell.clock(), CHAT, sent.to_owned()));
        assert_eq!((status, text), (400, expected), "{sent}");
    }
    let not_utf8 = b"{\"model\":\"\xff\"}".as_slice();
    let (status, text, _) = answer(|shell| post(shell.clock(), CHAT, not_utf8));
    assert_eq!((status, text), (400, parse("invalid UTF-8 at byte 10")));
}

/// A good chat request but for its headers; `x-no-key` leaves the right key out.
fn answer_to_headers(headers: &[(&'static str, &'static str)]) -> (u16, String) {
    let (status, text, _) = answer(|shell| {
        let mut request = post(shell.clock(), CHAT, GOOD);
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        request
    });
    (status, text)
}

#[test]
fn paths_and_methods_that_are_not_there_are_told() {
    let url = |line: &str| (404, body(&format!("Invalid URL ({line})"), "", ""));
    let method = |problem: &str| (405, body(&format!("Not allowed to {problem}."), "", ""));
    let model = |name: &str| {
        let message = format!("The model `{name}` does not exist or you do not have access to it.");
        (404, body(&message, "model", "model_not_found"))
    };
    for (method, path, expected) in [
        ("GET", "/", url("GET /")),
        ("GET", "/v2/x", url("GET /v2/x")),
        ("POST", "/v1/x?prompt=canary", url("POST /v1/x")),
        ("GET", "/v1/files/../admin", url("GET /v1/files/../admin")),
        ("GET", "/v1/files/%2e%2e/admin", url("GET /v1/files/%2e%2e/admin")),
        ("GET", "/v1/embeddings", method("GET on /v1/embeddings; allowed: POST")),
        ("PUT", "/v1/models", method("PUT on /v1/models; allowed: GET, HEAD")),
        ("GET", "/v1/models/x/y", model("x/y")),
    ] {
        let (status, text, head) =
            answer(|shell| request(shell.clock(), Method::from_bytes(method.as_bytes()).unwrap(), path, ""));
        assert_eq!((status, text), expected, "{method} {path}");
        assert_eq!(head.contains_key("allow"), status == 405, "{method} {path}");
    }
    let other = GOOD.replace("\"m\"", "\"x\"");
    let (status, text, _) = answer(|shell| post(shell.clock(), CHAT, other));
    assert_eq!((status, text), model("x"));
}

#[test]
fn keys_that_open_nothing_are_told() {
    let no_key = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
    let wrong = |shown: &str| body(&format!("Incorrect API key provided: {shown}."), "", "invalid_api_key");
    for (name, value, expected) in [
        ("x-no-key", "1", body(no_key, "", "")),
        ("authorization", " ", body(no_key, "", "")),
        ("authorization", "Bearer sk-weir-on", wrong("***")),
        ("authorization", "Bearer sk-invalid-1234567890c66a", wrong("sk-inval***c66a")),
        ("authorization", "Basic c2s6b25l", wrong("***")),
        ("api-key", "sk-invalid-1234567890c66a", wrong("sk-inval***c66a")),
        ("x-api-key", "sk-weir-one2", wrong("***")),
        ("x-goog-api-key", "SK-WEIR-ONE", wrong("***")),
        ("cookie", "sk-weir-one", body(no_key, "", "")),
    ] {
        assert_eq!(
            answer_to_headers(&[("x-no-key", "1"), (name, value)]),
            (401, expected),
            "{name}: {value}"
        );
    }
    let in_query = "Your request is ambiguous: a key in its query, where it is exposed, beside another.";
    let (status, text, _) =
        answer(|shell| post(shell.clock(), "/v1/chat/completions?%6bey=sk-weir-one", GOOD));
    assert_eq!((status, text), (400, body(in_query, "", "")));
}

#[test]
fn bodies_that_are_not_read_are_told_why() {
    let json_please = (415, body("Send JSON, with the header 'Content-Type: application/json'.", "", ""));
    let encoding = (415, body("Content-Encoding must be gzip, deflate, br, zstd or identity.", "", ""));
    let parse = |problem: &str| {
        let message = format!("We could not parse the JSON body of your request: {problem}.");
        (400, body(&message, "", "invalid_json"))
    };
    let both = "Your request is ambiguous: content-length and transfer-encoding together.";
    let too_large = "The body of your request is too large: at most 1000 bytes are taken, decoded.";
    let too_large = (413, body(too_large, "", "request_too_large"));
    for (name, value, expected) in [
        ("content-type", "text/plain", json_please.clone()),
        ("content-type", "multipart/form-data; boundary=x", json_please),
        ("content-encoding", "compress", encoding.clone()),
        ("content-encoding", "gzip, gzip", encoding),
        ("content-encoding", "gzip", parse("the body is not valid gzip")),
        ("content-encoding", "zstd", parse("the body is not valid zstd")),
        ("content-encoding", "deflate", parse("the body is not valid deflate")),
        ("content-length", "1001", too_large.clone()),
        ("transfer-encoding", "chunked", (400, body(both, "", ""))),
    ] {
        assert_eq!(answer_to_headers(&[(name, value)]), expected, "{name}: {value}");
    }
    let (status, text, _) = answer(|shell| post(shell.clock(), CHAT, GOOD.to_owned() + &" ".repeat(1000)));
    assert_eq!((status, text), too_large);
}

#[test]
fn contradictory_headers_are_refused() {
    for (name, values) in [("content-length", ["25", "26"]), ("host", ["a", "b"])] {
        let (status, text, _) = answer(|shell| {
            let mut request = post(shell.clock(), CHAT, r#"{"model":"m"}"#);
            request.headers_mut().remove(name);
            for value in values {
                request.headers_mut().append(name, HeaderValue::from_static(value));
            }
            request
        });
        assert_eq!(
            (status, text),
            (400, body(&format!("Your request is ambiguous: more than one {name}."), "", ""))
        );
    }
}

#[test]
fn an_upload_that_breaks_off_or_outgrows_its_bound_is_refused() {
    let upload = |beats: Vec<Beat>, end: End| {
        answer(|shell| {
            let mut request = post(shell.clock(), CHAT, "");
            request.headers_mut().remove("content-length");
            request.map(|_| Flow::new(shell.clock(), beats, end))
        })
    };
    let (status, text, _) = upload(vec![Beat::Bytes("{\"model\":\"m\"".into())], End::Broken);
    let expected = "We could not parse the JSON body of your request: the body ended before it was complete.";
    assert_eq!((status, text), (400, body(expected, "", "invalid_json")));
    let endless = (0..100_000).map(|_| Beat::Bytes("xxxxxxxxxx".into())).collect();
    assert_eq!(upload(endless, End::Silent).0, 413);
}

#[test]
fn a_gateway_without_keys_answers_to_its_own_names_only() {
    let toml = "auth = \"open\"\n[upstream.a]\ndialect = \"openai\"\nbase_url = \"https://a.example\"\n[[route]]\nmodel = \"*\"\nto = [\"a\"]";
    for (host, status) in [("localhost:8080", 200), ("evil.example", 403)] {
        let shell = Shell::default();
        let mut request = weir_portability::get(shell.clock(), "/v1/models");
        request.headers_mut().insert("host", HeaderValue::from_static(host));
        assert_eq!(exchange(&shell, &config(toml), request).status, status, "{host}");
    }
}

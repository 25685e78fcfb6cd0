//! What a client may get wrong, and the exact bytes it is told; nothing of it reaches an upstream or the books.
#![cfg(test)]

use std::sync::Arc;

use http::{HeaderValue, Method, Request};
use weir::Config;
use weir::caller::KeyHash;
use weir_portability::{Beat, End, Flow, Shell, config, exchange, post, request};

const CHAT: &str = "/v1/chat/completions";

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

#[test]
fn other_bad_requests_are_told_what_is_wrong_with_them() {
    let good = r#"{"model":"m","messages":[]}"#;
    let no_key = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
    let in_query = "An API key must not be sent in the query ('key'): use the Authorization header. Treat the key as exposed and replace it.";
    let json_please = "Send JSON, with the header 'Content-Type: application/json'.";
    let too_large = "The body of your request is too large: at most 1000 bytes are taken, decoded.";
    let table: Vec<(&str, u16, String, &str, &[(&'static str, &str)], String)> = vec![
        ("GET", 404, body("Invalid URL (GET /v2/x)", "", ""), "/v2/x", &[], String::new()),
        ("POST", 404, body("Invalid URL (POST /v1/x)", "", ""), "/v1/x?key2=canary", &[], good.into()),
        (
            "GET",
            404,
            body("Invalid URL (GET /v1/files/../admin)", "", ""),
            "/v1/files/../admin",
            &[],
            String::new(),
        ),
        (
            "GET",
            405,
            body("Not allowed to GET on /v1/embeddings; allowed: POST.", "", ""),
            "/v1/embeddings",
            &[],
            String::new(),
        ),
        (
            "PUT",
            405,
            body("Not allowed to PUT on /v1/models; allowed: GET.", "", ""),
            "/v1/models",
            &[],
            String::new(),
        ),
        (
            "POST",
            404,
            body("The model `x` does not exist or you do not have access to it.", "model", "model_not_found"),
            CHAT,
            &[],
            good.replace("\"m\"", "\"x\""),
        ),
        (
            "GET",
            404,
            body(
                "The model `x/y` does not exist or you do not have access to it.",
                "model",
                "model_not_found",
            ),
            "/v1/models/x/y",
            &[],
            String::new(),
        ),
        ("POST", 401, body(no_key, "", ""), CHAT, &[("x-no-key", "1")], good.into()),
        (
            "POST",
            401,
            body("Incorrect API key provided: ***.", "", "invalid_api_key"),
            CHAT,
            &[("x-no-key", "1"), ("x-api-key", "sk-weir-on")],
            good.into(),
        ),
        (
            "POST",
            401,
            body("Incorrect API key provided: sk-inval***c66a.", "", "invalid_api_key"),
            CHAT,
            &[("x-no-key", "1"), ("authorization", "Bearer sk-invalid-1234567890c66a")],
            good.into(),
        ),
        ("POST", 401, body(in_query, "", ""), "/v1/chat/completions?%6bey=sk-weir-one", &[], good.into()),
        ("POST", 415, body(json_please, "", ""), CHAT, &[("content-type", "text/plain")], good.into()),
        (
            "POST",
            415,
            body(json_please, "", ""),
            CHAT,
            &[("content-type", "multipart/form-data; boundary=x")],
            good.into(),
        ),
        (
            "POST",
            415,
            body("Content-Encoding must be gzip, deflate or identity.", "", ""),
            CHAT,
            &[("content-encoding", "br")],
            good.into(),
        ),
        (
            "POST",
            400,
            body(
                "We could not parse the JSON body of your request: the body is not valid gzip.",
                "",
                "invalid_json",
            ),
            CHAT,
            &[("content-encoding", "gzip")],
            good.into(),
        ),
        (
            "POST",
            413,
            body(too_large, "", "request_too_large"),
            CHAT,
            &[],
            good.to_owned() + &" ".repeat(1000),
        ),
        (
            "POST",
            413,
            body(too_large, "", "request_too_large"),
            CHAT,
            &[("content-length", "1001")],
            good.into(),
        ),
        (
            "POST",
            400,
            body("Your request is ambiguous: content-length and transfer-encoding together.", "", ""),
            CHAT,
            &[("transfer-encoding", "chunked")],
            good.into(),
        ),
    ];
    for (method, status, expected, path, headers, sent) in table {
        let (got, text, head) = answer(|shell| {
            let mut request = if sent.is_empty() {
                request(shell.clock(), Method::GET, path, "")
            } else {
                post(shell.clock(), path, sent)
            };
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
            for (name, value) in headers {
                request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
            }
            request
        });
        assert_eq!((got, text), (status, expected), "{method} {path} {headers:?}");
        assert_eq!(head.contains_key("allow"), status == 405, "{method} {path}");
    }
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

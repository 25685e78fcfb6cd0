//! No input panics (invariant 13): whatever a client or an upstream sends, there is an answer, and the books
//! balance.
#![cfg(test)]

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request};
use proptest::prelude::*;
use weir_portability::{Answer, Beat, End, Flow, Reply, Rolls, Shell, config, exchange};

const TOML: &str = r#"
auth = "open"
passthrough = "a"
[upstream.a]
tenant = "default"
dialect = "openai"
base_url = "https://a.example/v1"
api_key = { env = "KEY_A" }
timeout = { connect = "1s", first_byte = "1s", idle = "1s", total = "5s" }
[upstream.b]
dialect = "azure"
base_url = "https://b.example"
api_version = "1"
[[route]]
model = "*"
to = [{ upstream = "a", model = "x" }, "b"]
fallback = ["b"]
"#;

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Clean), Just(End::Broken), Just(End::Silent)]
}

fn beats() -> impl Strategy<Value = Vec<Beat>> {
    let text = prop_oneof![
        Just("data: "),
        Just("\n\n"),
        Just("\r"),
        Just("\n"),
        Just("[DONE]"),
        Just("{\"choices\":["),
        Just("]}"),
        Just("{\"delta\":{\"content\":\"x\"}}"),
        Just("\"usage\":null,"),
        Just("{\"error\":{\"message\":1}}"),
        Just("{\"type\":\"response.completed\"}"),
        Just("é"),
        Just(":"),
        Just("{}"),
        Just("{\"data\":[]}"),
    ];
    let beat = prop_oneof![
        8 => text.prop_map(|text| Beat::Bytes(text.into())),
        2 => proptest::collection::vec(any::<u8>(), 0..16).prop_map(|bytes| Beat::Bytes(bytes.into())),
        1 => (0_u64..1500).prop_map(|millis| Beat::Pause(Duration::from_millis(millis))),
        1 => Just(Beat::Yield),
    ];
    proptest::collection::vec(beat, 0..24)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("{\"model\":\"m\""),
        Just(",\"messages\":[]"),
        Just(",\"input\":\"x\""),
        Just(",\"stream\":true"),
        Just(",\"stream_options\":"),
        Just("{\"include_usage\":false}"),
        Just("null"),
        Just("}"),
        Just("{"),
        Just(","),
        Just("[[["),
        Just("\"model\":"),
        Just("\"\\ud800\""),
        Just(",\"n\":1"),
        Just("--x\r\n"),
        Just("Content-Disposition: form-data; name=\"model\"\r\n\r\n"),
        Just("m\r\n--x--"),
        Just(" "),
    ];
    prop_oneof![
        proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..64),
        Just(br#"{"model":"m","messages":[],"stream":true}"#.to_vec()),
        Just(br#"{"model":"m","messages":[],"input":1}"#.to_vec()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let known = prop_oneof![
        Just("/v1/chat/completions"),
        Just("/v1/completions"),
        Just("/v1/responses"),
        Just("/v1/embeddings"),
        Just("/v1/audio/transcriptions"),
        Just("/v1/files"),
        Just("/v1/models"),
        Just("/ready"),
        Just("/health"),
        Just("/openai/deployments/m/chat/completions"),
        Just("/v1/models/"),
        Just("/v1/"),
        Just("*"),
        Just("https://x.example/v1/files"),
        Just("/openai/deployments/%ff/x"),
    ];
    (known, "[/a-z%.0-9?&=]{0,12}").prop_map(|(known, rest)| format!("{known}{rest}"))
}

fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let name = prop_oneof![
        Just("content-type"),
        Just("content-length"),
        Just("content-encoding"),
        Just("connection"),
        Just("host"),
        Just("traceparent"),
        Just("authorization"),
        Just("x-weir-explain"),
        Just("transfer-encoding"),
    ];
    let value = prop_oneof![
        Just(b"application/json".to_vec()),
        Just(b"multipart/form-data; boundary=x".to_vec()),
        Just(b"gzip".to_vec()),
        Just(b"1".to_vec()),
        Just(b"18446744073709551616".to_vec()),
        Just(b"localhost".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..24),
    ];
    (name, value)
}

fn ask(
    shell: &Shell,
    method: &str,
    uri: &str,
    headers: &[(&'static str, Vec<u8>)],
    upload: Flow,
) -> Option<Reply> {
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let mut request = Request::builder().method(method).uri(uri).body(upload).ok()?;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    Some(exchange(shell, &config(TOML), request))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_request_and_no_answer_panics(
        seed: u64,
        method in prop_oneof![4 => Just("POST".to_owned()), 1 => "[A-Z]{1,7}"],
        uri in path(),
        sent in body(),
        is_json: bool,
        mut headers in proptest::collection::vec(header(), 0..3),
        upload_end in prop_oneof![8 => Just(End::Clean), 1 => end()],
        status in prop_oneof![4 => Just(200_u16), 1 => 200_u16..600],
        kind in prop_oneof![Just("application/json"), Just("text/event-stream"), Just("")],
        answer in beats(),
        answer_end in end(),
    ) {
        let shell = Shell::default();
        shell.set_rolls(Rolls::Seeded(seed));
        for upstream in ["a", "b"] {
            shell.script(upstream, [Answer::new(status, kind, "").beats(answer.clone()).ending(answer_end)]);
        }
        if is_json {
            headers.insert(0, ("content-type", b"application/json".to_vec()));
        }
        let upload = Flow::new(shell.clock(), [Beat::Bytes(sent.into())], upload_end);
        if let Some(reply) = ask(&shell, &method, &uri, &headers, upload) {
            prop_assert!(reply.status >= 200);
            prop_assert_eq!(shell.in_flight(), 0);
            prop_assert_eq!(shell.records().len(), shell.opened());
            let text = reply.text();
            if let Some(at) = text.find("\"code\":\"upstream_error\"") {
                prop_assert!(!text[at..].contains("[DONE]"), "a terminator behind an error: {}", text);
            }
        }
    }
}

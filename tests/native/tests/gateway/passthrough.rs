//! Documented paths that are not understood: byte for byte, in both directions.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use weir_native_tests::{Act, Gateway, Outgoing, Raw, SIMULATED, Upstream, hash, reply, streamed, whole};

fn request(method: &str, target: &str, content_type: &str, body: Outgoing) -> Request<Outgoing> {
    Request::builder().method(method).uri(target).header("content-type", content_type).body(body).unwrap()
}

/// As the simulated provider says it.
fn digest(bytes: &[u8]) -> String {
    hash(bytes).trim_start_matches("sha256:").to_owned()
}

fn form(model: &str) -> String {
    format!(
        "--weir-boundary\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n\
         --weir-boundary\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n\
         --weir-boundary\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\
         content-type: application/octet-stream\r\n\r\n{{\"model\":\"x\"}}\0\u{1}\u{7f}\r\n--weir\r\n\r\n\
         --weir-boundary--\r\n"
    )
}

#[tokio::test]
async fn an_upload_arrives_as_it_was_sent() {
    let gateway = Gateway::start(SIMULATED).await;
    let kind = "multipart/form-data; boundary=weir-boundary";
    for target in ["/v1/files", "/v1/audio/transcriptions", "/v1/images/edits?x=1&y=%20"] {
        let body = form("sim");
        let echo = gateway.send(request("POST", target, kind, whole(body.clone()))).await.json();
        assert_eq!(echo["body_sha256"], digest(body.as_bytes()), "{target}: {echo}");
        assert_eq!(echo["content_type"], kind);
        assert_eq!(
            format!("{}?{}", echo["path"].as_str().unwrap(), echo["query"].as_str().unwrap())
                .trim_end_matches('?'),
            target
        );
    }
}

#[tokio::test]
async fn a_form_that_names_an_alias_is_changed_in_that_alone() {
    let document = format!("{SIMULATED}\n[alias]\n\"whisper-1\" = \"sim\"\n");
    let gateway = Gateway::start(document).await;
    let kind = "multipart/form-data; boundary=weir-boundary";
    let echo =
        gateway.send(request("POST", "/v1/audio/transcriptions", kind, whole(form("whisper-1")))).await;
    assert_eq!(echo.json()["body_sha256"], digest(form("sim").as_bytes()), "{}", echo.text());
    let unknown = gateway.send(request("POST", "/v1/audio/transcriptions", kind, whole(form("gpt")))).await;
    assert_eq!(unknown.status, 404);
}

/// Invariant 10: what is passed on is not held.
#[tokio::test]
async fn a_large_upload_is_passed_on_as_it_comes() {
    let gateway = Gateway::start(format!("{SIMULATED}\n[server]\nmax_body = \"1MiB\"\n")).await;
    let chunk: String = (0..64 * 1024).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap())).collect();
    let count = 320;
    let before = gateway.program.resident();
    let chunks = std::iter::repeat_n(Bytes::from(chunk.clone()), count);
    let echo = gateway.send(request("POST", "/v1/files", "application/octet-stream", streamed(chunks))).await;
    assert_eq!(echo.status, 200, "{}", echo.text());
    assert_eq!(echo.json()["body_bytes"], count * chunk.len());
    assert_eq!(echo.json()["body_sha256"], digest(chunk.repeat(count).as_bytes()));
    let grown = gateway.program.most_resident() - before;
    assert!(grown < 8 << 20, "{grown} bytes more for 20 MiB");
}

#[tokio::test]
async fn every_method_and_query_goes_through() {
    let gateway = Gateway::start(SIMULATED).await;
    for (method, target) in [
        ("GET", "/v1/files?limit=2&after=file-%C3%A9"),
        ("DELETE", "/v1/files/file-1"),
        ("GET", "/v1/vector_stores/vs_1/files/file%2F1"),
        ("POST", "/v1/threads"),
        ("PATCH", "/v1/assistants/a"),
        ("PUT", "/v1/uploads/1"),
        ("DELETE", "/v1/models/ft:sim"),
        ("GET", "/v1/chat/completions"),
    ] {
        let request = Request::builder().method(method).uri(target).body(whole("")).unwrap();
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
        let echo = answer.json();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        assert_eq!(
            (&echo["method"], &echo["path"], &echo["query"]),
            (&json!(method), &json!(path), &json!(query))
        );
        assert_eq!(echo["body_bytes"], 0);
    }
    gateway.until_idle().await;
}

#[tokio::test]
async fn answers_come_back_as_they_were_sent() {
    let gateway = Gateway::start(SIMULATED).await;
    let mut flow = gateway.flow(Request::get("/v1/files/x/content?sse=5").body(whole("")).unwrap()).await;
    let events = flow.events().await;
    let numbers: Vec<_> =
        events.iter().map(|event| serde_json::from_str::<Value>(event).unwrap()["index"].take()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!(flow.headers["content-type"].to_str().unwrap().split(';').next(), Some("text/event-stream"));
    let binary = gateway.get("/v1/files/x/content?bytes=100000").await;
    assert_eq!((binary.body.len(), binary.header("content-length")), (100_000, "100000"));
    assert!(binary.body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
    let records = gateway.until_records(2).await;
    assert!(
        records.iter().all(|r| r["operation"] == "passthrough" && r["ending"] == "complete"),
        "{records:?}"
    );
}

/// Answers that have no body, and whose body nobody asks for.
#[tokio::test]
async fn an_answer_without_a_body_is_complete() {
    for (method, answer) in [
        ("DELETE", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("DELETE", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
    ] {
        let upstream = Upstream::start(move |_| vec![Act::Send(answer.into())]).await;
        let gateway = Gateway::start(upstream.document("tenant = \"default\"")).await;
        let request = Request::builder().method(method).uri("/v1/files/1").body(whole("")).unwrap();
        let status = gateway.send(request).await.status;
        assert_eq!(status.to_string(), answer[9..12]);
        let record = gateway.record().await;
        assert_eq!((&record["ending"], &record["status"]), (&json!("complete"), &json!(status)), "{answer}");
    }
}

#[tokio::test]
async fn a_json_call_is_routed_by_its_model_and_keeps_its_bytes() {
    let upstream = Upstream::start(|_| vec![reply::json("200 OK", &json!({"data": []}))]).await;
    let gateway = Gateway::start(upstream.document("tenant = \"default\"")).await;
    let body = "{ \"prompt\" : \"a river\",\n \"model\":\"dall-e-3\", \"n\": 1.0e0 }";
    let answer =
        gateway.send(request("POST", "/v1/images/generations", "application/json", whole(body))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.seen()[0].body, body.as_bytes());
    assert_eq!(gateway.record().await["model"], "dall-e-3");
}

/// An answer without words for its failure must not look complete.
#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_off() {
    for (framing, end) in [("content-length: 100", Act::Reset), ("transfer-encoding: chunked", Act::Close)] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n{framing}\r\n\r\n5\r\nhello\r\n");
        let upstream = Upstream::start(move |_| vec![Act::Send(head.clone().into()), end.clone()]).await;
        let gateway = Gateway::start(upstream.document("tenant = \"default\"")).await;
        let mut raw = Raw::connect(gateway.address).await;
        raw.send("GET /v1/files/x/content HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
        let answer = raw.to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("\r\n0\r\n"), "{framing}: {answer}");
        assert_eq!(gateway.record().await["ending"], "reset", "{framing}");
    }
}

#[tokio::test]
async fn without_a_place_to_go_a_call_is_refused() {
    let two = "auth = \"open\"\n[upstream.a]\ndialect = \"simulated\"\n[upstream.b]\ndialect = \"simulated\"\n\
               [[route]]\nmodel = \"sim\"\nto = [\"a\"]\n";
    let gateway = Gateway::start(two).await;
    let answer = gateway.get("/v1/files").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("passthrough"), "{}", answer.text());
}

//! Bytes that no honest client sends. Each has an answer, no two parsers can disagree about it, and the server
//! answers the next client (invariant 13).

use weir_native_tests::{Act, Gateway, Raw, SIMULATED, Upstream, reply, status};

const OWN: &str = "host: 127.0.0.1\r\n";

/// A `POST` to the chat endpoint with these header lines and this body.
fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\n{headers}\r\n{body}")
}

fn get(headers: &str) -> String {
    format!("GET /v1/models HTTP/1.1\r\n{headers}\r\n")
}

/// A name, the bytes, and the statuses that are right. 0 is a close without a word.
fn table() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let body = r#"{"model":"sim","messages":[{"role":"user","content":"x"}]}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = format!("content-length: {}\r\n", body.len());
    let te = "transfer-encoding: chunked\r\n";
    let text = |name, text: String, statuses| (name, text.into_bytes(), statuses);
    let huge = "a".repeat(1 << 20);
    vec![
        // hyper would take the length away, or the second one, before anyone could see it; below it nothing passes.
        text("length, then chunked", post(&format!("{OWN}{length}{te}"), &chunked), &[400][..]),
        text("chunked, then length", post(&format!("{OWN}{te}{length}"), &chunked), &[400]),
        text("chunked, and length 0", post(&format!("{OWN}{te}content-length: 0\r\n"), &chunked), &[400]),
        text("the same length twice", post(&format!("{OWN}{length}{length}"), body), &[400]),
        text("two lengths", post(&format!("{OWN}{length}content-length: 3\r\n"), body), &[400]),
        text("a list of lengths", post(&format!("{OWN}content-length: 5, 5\r\n"), "12345"), &[400]),
        text("a signed length", post(&format!("{OWN}content-length: +5\r\n"), "12345"), &[400]),
        text("a negative length", post(&format!("{OWN}content-length: -1\r\n"), ""), &[400]),
        text(
            "a length beyond u64",
            post(&format!("{OWN}content-length: 99999999999999999999\r\n"), ""),
            &[400, 413],
        ),
        text("two hosts", get("host: 127.0.0.1\r\nhost: localhost\r\n"), &[400]),
        text("no host", get(""), &[400]),
        text(
            "an unknown coding",
            post(&format!("{OWN}transfer-encoding: xchunked\r\n"), &chunked),
            &[400, 501],
        ),
        text(
            "chunked not last",
            post(&format!("{OWN}transfer-encoding: chunked, identity\r\n"), &chunked),
            &[400, 501],
        ),
        text("a chunk size that is none", post(&format!("{OWN}{te}"), "zz\r\n{}\r\n0\r\n\r\n"), &[400]),
        text("a chunk size beyond u64", post(&format!("{OWN}{te}"), "fffffffffffffffff\r\n{}\r\n"), &[400]),
        text("a chunk longer than said", post(&format!("{OWN}{te}"), "1\r\n{}\r\n0\r\n\r\n"), &[400]),
        text("a folded header", get(&format!("{OWN}x-a: b\r\n c\r\n")), &[400]),
        text("a NUL in a header", get(&format!("{OWN}x-a: b\0c\r\n")), &[400]),
        text("a bare CR in a header", get(&format!("{OWN}x-a: b\rx-b: c\r\n")), &[400]),
        text("a space before the colon", get("host : 127.0.0.1\r\n"), &[400]),
        text("a header without a name", get(&format!("{OWN}: c\r\n")), &[400]),
        text("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".into(), &[400, 0]),
        text("rubbish", "hello there, how are you\r\n\r\n".into(), &[400]),
        text("a method that is none", format!("G@{{T /health HTTP/1.1\r\n{OWN}\r\n"), &[400]),
        text("a version that is none", format!("GET /health HTTP/9.7\r\n{OWN}\r\n"), &[400, 505]),
        text("a chunked body in HTTP/1.0", post(te, &chunked).replace("HTTP/1.1", "HTTP/1.0"), &[400]),
        text("a header of 1 MiB", get(&format!("{OWN}x-a: {huge}\r\n")), &[431]),
        text("a name of 1 MiB", get(&format!("{OWN}{huge}: b\r\n")), &[400, 431]),
        text("a path of 1 MiB", format!("GET /{huge} HTTP/1.1\r\n{OWN}\r\n"), &[414, 431]),
        text("a thousand headers", get(&format!("{OWN}{}", "x-a: b\r\n".repeat(1000))), &[431]),
        text(
            "a foreign address",
            format!("GET http://evil.example/v1/models HTTP/1.1\r\n{OWN}\r\n"),
            &[400, 403, 404],
        ),
        text("a tunnel", format!("CONNECT evil.example:443 HTTP/1.1\r\n{OWN}\r\n"), &[400, 403, 404, 405]),
        text("all options", format!("OPTIONS * HTTP/1.1\r\n{OWN}\r\n"), &[400, 404, 405]),
        text("a preface with rubbish behind it", format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{huge}"), &[0]),
        text("a path up and out", format!("GET /v1/files/../../x HTTP/1.1\r\n{OWN}\r\n"), &[404]),
        text("an encoded path up", format!("GET /v1/files/%2e%2e/%2e%2e/x HTTP/1.1\r\n{OWN}\r\n"), &[404]),
        (
            "a path that is not UTF-8",
            [b"GET /v1/files/\xff HTTP/1.1\r\n", OWN.as_bytes(), b"\r\n"].concat(),
            &[400, 404],
        ),
    ]
}

#[tokio::test]
async fn what_is_ambiguous_or_malformed_is_refused_and_the_next_client_is_served() {
    let gateway = Gateway::start(SIMULATED).await;
    let mut wrong = Vec::new();
    for (name, bytes, statuses) in table() {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(&bytes).await;
        // An HTTP/2 connection ends in frames, which have no status here.
        let line = raw.status_line().await;
        if !statuses.contains(&status(&line)) {
            wrong.push(format!("{name}: {line:?}"));
        }
        assert_eq!(gateway.get("/health").await.status, 200, "after {name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    gateway.until_idle().await;
}

/// A proxy in front that believes the length would take the rest for the next client's request.
#[tokio::test]
async fn nothing_behind_an_ambiguous_request_is_read_as_another_one() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let gateway = Gateway::start(upstream.document("[server]\nheader_timeout = \"500ms\"")).await;
    let smuggled = "GET /v1/files/smuggled HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let head = "POST /v1/files/outer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\n";
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    ] {
        let mut raw = Raw::connect(gateway.address).await;
        raw.send(format!("{head}{framing}\r\n0\r\n\r\n{smuggled}")).await;
        let answer = raw.to_end().await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{framing:?}: {answer}");
    }
    assert!(upstream.seen().iter().all(|seen| !seen.target.contains("smuggled")));
}

#[tokio::test]
async fn requests_in_one_breath_are_answered_in_their_order() {
    let gateway = Gateway::start(SIMULATED).await;
    let mut raw = Raw::connect(gateway.address).await;
    let last = format!("GET /v1/no-such HTTP/1.1\r\n{OWN}connection: close\r\n\r\n");
    raw.send(format!("GET /health HTTP/1.1\r\n{OWN}\r\nGET /ready HTTP/1.1\r\n{OWN}\r\n{last}")).await;
    let answers = raw.to_end().await;
    let place = |part: &str| answers.find(part).unwrap_or_else(|| panic!("{part} is not in {answers}"));
    assert!(place("\"ok\"") < place("\"ready\"") && place("\"ready\"") < place("Invalid URL"));
}

/// What a client sends early must neither hold back the answer before it nor have it pile up here.
#[tokio::test]
async fn a_stream_flows_though_the_next_request_has_begun() {
    let upstream =
        Upstream::start(|_| vec![reply::stream_head(), reply::content("one"), Act::UntilGone]).await;
    let gateway = Gateway::start(upstream.document("")).await;
    let body = r#"{"model":"m","stream":true,"messages":[]}"#;
    let mut raw = Raw::connect(gateway.address).await;
    raw.send(post(&format!("{OWN}content-length: {}\r\n", body.len()), &format!("{body}GET /health"))).await;
    raw.read_until("one").await;
}

/// Hop-by-hop headers, cookies and credentials of the client end here.
#[tokio::test]
async fn what_belongs_to_one_hop_is_not_sent_on() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let gateway = Gateway::start(upstream.document("")).await;
    let body = r#"{"model":"m","messages":[]}"#;
    let mut raw = Raw::connect(gateway.address).await;
    let headers = "authorization: Bearer canary\r\ncookie: canary=1\r\nconnection: x-canary, keep-alive\r\n\
                   x-canary: canary\r\nte: trailers\r\nproxy-authorization: canary\r\nupgrade: canary\r\n\
                   x-forwarded-for: canary\r\nexpect: 100-continue\r\nopenai-beta: kept\r\n";
    raw.send(post(&format!("{OWN}{headers}content-length: {}\r\n", body.len()), body)).await;
    raw.read_until("200 OK").await;
    let seen = &upstream.until_seen(1).await[0];
    assert!(!seen.text().contains("canary"), "{}", seen.text());
    assert_eq!(seen.header("openai-beta"), Some("kept"));
    assert_eq!(seen.body, body.as_bytes());
}

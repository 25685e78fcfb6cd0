//! Upstreams that break, lie or misbehave: each has a defined answer, and the gateway serves on
//! (invariants 11 and 13).

use std::net::TcpListener;

use bytes::Bytes;
use serde_json::Value;
use weir_native_tests::{Act, Gateway, Launch, Upstream, reply};

fn raw(text: &str) -> Act {
    Act::Send(Bytes::copy_from_slice(text.as_bytes()))
}

const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// What the upstream sends for a whole call, by the model's name.
fn whole_answer(model: &str, canary: &str) -> Vec<Act> {
    let page = "<html>canary</html>";
    match model {
        "page" => vec![reply::response("200 OK", "text/html", page)],
        "page-500" => vec![reply::response("500 Oh", "text/html", page)],
        "redirect" => vec![raw(&format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{canary}/v1/chat/completions\r\ncontent-length: 0\r\n\r\n"
        ))],
        "redirect-307" => vec![raw(&format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{canary}/\r\ncontent-length: 0\r\n\r\n"
        ))],
        "another-protocol" => vec![raw("SSH-2.0-OpenSSH_9.9\r\n"), Act::Close],
        "rubbish" => vec![raw("\0\u{1}\u{2}\r\n\r\n\r\n"), Act::Close],
        "nothing" => vec![Act::Close],
        "reset" => vec![Act::Reset],
        "half-a-head" => vec![raw("HTTP/1.1 200 OK\r\ncontent-ty"), Act::Close],
        "half-a-body" => vec![raw(&format!("{JSON_HEAD}content-length: 100\r\n\r\n{{\"id\"")), Act::Close],
        "half-a-chunk" => {
            vec![raw(&format!("{JSON_HEAD}transfer-encoding: chunked\r\n\r\nff\r\n{{\"id\"")), Act::Reset]
        }
        "bad-chunk" => vec![raw(&format!("{JSON_HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n"))],
        "two-lengths" => {
            vec![raw(&format!("{JSON_HEAD}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}1"))]
        }
        "carriage-return" => {
            vec![raw(&format!("{JSON_HEAD}x-a: b\rset-cookie: evil=1\r\ncontent-length: 2\r\n\r\n{{}}"))]
        }
        "nul" => vec![raw(&format!("{JSON_HEAD}x-a: b\0c\r\ncontent-length: 2\r\n\r\n{{}}"))],
        "huge-header" => {
            let huge = "a".repeat(1 << 20);
            vec![raw(&format!("{JSON_HEAD}x-a: {huge}\r\ncontent-length: 2\r\n\r\n{{}}"))]
        }
        "many-headers" => {
            let many = "x-a: b\r\n".repeat(5000);
            vec![raw(&format!("{JSON_HEAD}{many}content-length: 2\r\n\r\n{{}}"))]
        }
        "no-content" => vec![raw("HTTP/1.1 204 No Content\r\n\r\n")],
        "no-json" => vec![reply::response("200 OK", "application/json", "{\"id\":")],
        "another-object" => vec![reply::response("200 OK", "application/json", "[1,2]")],
        "error-in-200" => {
            vec![reply::response("200 OK", "application/json", r#"{"error":{"type":"server_error"}}"#)]
        }
        "a-stream" => reply::stream("unasked"),
        "switching" => {
            vec![raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")]
        }
        other => panic!("{other} has no answer"),
    }
}

const WHOLE_FAULTS: &[&str] = &[
    "page",
    "page-500",
    "redirect",
    "redirect-307",
    "another-protocol",
    "rubbish",
    "nothing",
    "reset",
    "half-a-head",
    "half-a-body",
    "half-a-chunk",
    "bad-chunk",
    "two-lengths",
    "carriage-return",
    "nul",
    "huge-header",
    "many-headers",
    "no-content",
    "no-json",
    "another-object",
    "error-in-200",
    "switching",
];

/// One attempt a call, so that one fault is one answer.
fn once(upstream: &Upstream) -> String {
    upstream.document("").replace("to = [\"up\"]", "to = [\"up\"]\nretry = { attempts = 1 }")
}

#[tokio::test]
async fn an_unusable_answer_is_a_502_in_the_callers_dialect() {
    let canary = Upstream::start(|_| vec![reply::completion("canary")]).await;
    let elsewhere = canary.address.to_string();
    let upstream =
        Upstream::start(move |seen| whole_answer(seen.json()["model"].as_str().unwrap(), &elsewhere)).await;
    let gateway = Gateway::start(once(&upstream)).await;
    for model in WHOLE_FAULTS {
        let answer = gateway.chat(model).await;
        assert_eq!(answer.status, 502, "{model}: {}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&"server_error".into(), &"upstream_error".into()),
            "{model}"
        );
        let said = format!("{:?} {}", answer.headers, answer.text());
        for word in ["canary", "evil", "html", "quota", "location", &upstream.address.to_string()] {
            assert!(!said.contains(word), "{model}: {word} is in {said}");
        }
        assert_eq!(answer.header("x-should-retry"), "false", "{model}");
    }
    assert_eq!(canary.connections(), 0, "a redirect was followed");
    let records = gateway.until_records(WHOLE_FAULTS.len()).await;
    assert!(records.iter().all(|record| record["ending"] == "failed"), "{records:?}");
    assert_eq!(upstream.seen().len(), WHOLE_FAULTS.len(), "attempts");
    gateway.until_idle().await;
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    let upstream = Upstream::start(|_| {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        vec![raw("HTTP/1.1 100 Continue\r\n\r\n"), raw(early), reply::completion("hi")]
    })
    .await;
    let gateway = Gateway::start(once(&upstream)).await;
    assert_eq!(gateway.chat("m").await.status, 200);
}

/// A response nobody asked for must not become the answer to the next call.
#[tokio::test]
async fn a_second_response_in_the_same_breath_is_given_to_nobody() {
    let upstream = Upstream::start(|seen| match seen.json()["model"].as_str() {
        Some("two") => {
            let (Act::Send(one), Act::Send(two)) = (reply::completion("one"), reply::completion("evil"))
            else {
                unreachable!()
            };
            vec![Act::Send([one, two].concat().into())]
        }
        _ => vec![reply::completion("own")],
    })
    .await;
    let gateway = Gateway::start(once(&upstream)).await;
    for _ in 0..5 {
        assert!(gateway.chat("two").await.text().contains("one"));
        let next = gateway.chat("m").await;
        assert!(next.text().contains("own"), "{}: {}", next.status, next.text());
    }
}

/// What the upstream sends after its first content, by the model's name, and how the record calls it.
fn stream_faults(model: &str) -> (Vec<Act>, &'static str) {
    let end = raw("0\r\n\r\n");
    let chunk = |text: &str| Act::Send(reply::chunk(text));
    match model {
        "reset" => (vec![Act::Reset], "reset"),
        "close" => (vec![Act::Close], "reset"),
        "bad-chunk" => (vec![raw("zz\r\n")], "reset"),
        "no-terminator" => (vec![end], "truncated"),
        "half-an-event" => (vec![chunk("data: {\"choices\""), end], "truncated"),
        "no-json" => (vec![chunk("data: {canary\n\n"), Act::UntilGone], "malformed"),
        "endless-event" => {
            let more = std::iter::repeat_n(chunk(&"a".repeat(64 * 1024)), 40);
            (std::iter::once(chunk("data: ")).chain(more).collect(), "event_too_large")
        }
        "error" => (vec![chunk("data: {\"error\":{\"message\":\"overloaded\"}}\n\n"), end], "upstream_error"),
        other => panic!("{other} has no fault"),
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_an_error_event_and_never_in_done() {
    let upstream = Upstream::start(|seen| {
        let mut acts = vec![reply::stream_head(), reply::content("one")];
        acts.extend(stream_faults(seen.json()["model"].as_str().unwrap()).0);
        acts
    })
    .await;
    let gateway = Gateway::start(once(&upstream) + "\n[server]\nmax_event = \"1MiB\"\n").await;
    let faults = [
        "reset",
        "close",
        "bad-chunk",
        "no-terminator",
        "half-an-event",
        "no-json",
        "endless-event",
        "error",
    ];
    for (count, model) in faults.iter().enumerate() {
        let mut flow = gateway.stream(model).await;
        assert_eq!(flow.status, 200);
        let events = flow.events().await;
        assert!(!flow.is_broken, "{model}: the client is told, not cut off");
        let [first, last] = events.as_slice() else { panic!("{model}: {events:?}") };
        assert!(first.contains("one"), "{model}: {first}");
        let error = serde_json::from_str::<Value>(last).unwrap()["error"].take();
        assert_eq!(error["type"], "server_error", "{model}: {last}");
        assert!(!last.contains("canary"), "{last}");
        let records = gateway.until_records(count + 1).await;
        assert_eq!(records[count]["ending"], stream_faults(model).1, "{model}");
    }
    gateway.until_idle().await;
}

#[tokio::test]
async fn an_upstream_that_is_killed_ends_its_stream_in_an_error_and_the_next_call_in_a_502() {
    let upstream = Launch::trial().start().await;
    let document = format!(
        "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         [[route]]\nmodel = \"*\"\nto = [\"up\"]\n",
        upstream.address
    );
    let gateway = Gateway::start(document).await;
    let mut flow = gateway.stream("sim-tokens-500").await;
    for _ in 0..3 {
        assert!(flow.event().await.is_some());
    }
    // SIGKILL, and its sockets with it.
    drop(upstream);
    let events = flow.events().await;
    assert!(events.last().unwrap().contains("upstream_error"), "{events:?}");
    let answer = gateway.chat("sim").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let records = gateway.until_records(2).await;
    assert_eq!((&records[0]["ending"], &records[1]["ending"]), (&"reset".into(), &"failed".into()));
}

#[tokio::test]
async fn a_refused_connection_is_tried_three_times_at_most() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::start(format!(
        "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"http://{address}/v1\"\n\
         [[route]]\nmodel = \"*\"\nto = [\"up\"]\n"
    ))
    .await;
    let answer = gateway.chat("m").await;
    assert_eq!(answer.status, 502);
    assert!(!answer.text().contains(&address.to_string()), "{}", answer.text());
    let record = gateway.record().await;
    let attempts = record["attempts"].as_str().unwrap();
    assert_eq!(attempts.matches("up:connect:").count(), 3, "{attempts}");
}

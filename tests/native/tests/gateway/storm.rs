//! Clients that come in crowds, ask the same, and leave when they like (invariants 5 and 13).

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use weir_native_tests::wait::within;
use weir_native_tests::{
    Act, Extra, Gateway, Raw, Upstream, chat_body, chat_bytes, reply, status, streamed_chat_body,
};

/// A generator whose numbers are the same in every run (`SplitMix64`).
struct Rolls(u64);

impl Rolls {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Streams in pieces, whole answers after a moment, and now and then a failure of each kind.
async fn moody() -> Upstream {
    Upstream::start(|seen| {
        let pause = |millis| Act::Pause(Duration::from_millis(millis));
        let body = seen.json();
        match (body["model"].as_str().unwrap_or_default(), body["stream"] == true) {
            ("m0", true) => vec![reply::stream_head(), reply::content("one"), pause(5), Act::Reset],
            ("m0", false) => vec![pause(2), reply::error("500 Oh", "no")],
            ("m1", _) => vec![pause(3), Act::Close],
            (_, false) => vec![pause(4), reply::completion("hi")],
            (_, true) => {
                let mut acts = vec![pause(2), reply::stream_head()];
                acts.extend((0..4).flat_map(|_| [reply::content("piece"), pause(3)]));
                acts.push(reply::farewell());
                acts
            }
        }
    })
    .await
}

/// One client, by the numbers it rolled.
async fn visit(gateway: &Gateway, number: u64) {
    let mut rolls = Rolls(number);
    let model = format!("m{}", rolls.below(6));
    let body = if rolls.below(2) == 0 { chat_body(&model) } else { streamed_chat_body(&model) };
    let headers = match rolls.below(4) {
        0 => format!("idempotency-key: {model}\r\n"),
        1 => "cache-control: no-cache\r\n".to_owned(),
        _ => String::new(),
    };
    let call = chat_bytes(&body, &headers);
    let mut client = Raw::connect(gateway.address).await;
    match rolls.below(6) {
        // In the middle of its request.
        0 => {
            let part = usize::try_from(rolls.below(call.len() as u64)).unwrap();
            client.send(&call[..part]).await;
        }
        // At once, or a moment later.
        1 => {
            client.send(call).await;
        }
        2 => {
            client.send(call).await;
            tokio::time::sleep(Duration::from_millis(rolls.below(12))).await;
        }
        // With the head, or what came with it.
        3 => {
            client.send(call).await;
            client.status_line().await;
        }
        // At the end.
        _ => {
            client.send(call.replacen("host: 127.0.0.1", "host: 127.0.0.1\r\nconnection: close", 1)).await;
            let answer = client.to_end().await;
            assert!([200, 409, 502, 503].contains(&status(&answer)), "{number}: {answer}");
        }
    }
    if rolls.below(2) == 0 {
        client.reset();
    }
}

#[tokio::test]
async fn after_a_storm_all_is_as_it_was() {
    let upstream = moody().await;
    let document = upstream.document_with(&Extra {
        route: "cache = { ttl = \"1s\", stale_while_revalidate = \"1s\" }\nretry = { backoff = \"1ms\" }",
        upstream: "concurrency = { limit = 6, queue = 8, wait = \"2s\" }",
        tables: "[server]\nworkers = 4\nconcurrency = { limit = 40, queue = 20, wait = \"2s\" }\n\
                 [limits.default]\nrequests = \"unlimited\"\n",
    });
    let gateway = Gateway::start(document).await;
    let storm = iter(0..1500).map(|number| visit(&gateway, number)).buffer_unordered(96);
    within(Duration::from_mins(1), "the end of the storm", storm.collect::<()>()).await;
    gateway.until_idle().await;
    let idle = |name: &'static str| {
        let gateway = &gateway;
        async move {
            gateway
                .until_metrics(&format!("{name} is 0"), |metrics| metrics.sum(name, &[]).abs() < 0.5)
                .await;
        }
    };
    for name in ["weir_in_flight", "weir_upstream_in_flight", "weir_concurrency", "weir_queued"] {
        idle(name).await;
    }
    let said = gateway.program.stderr.text();
    assert!(!said.contains("panicked"), "{said}");
    let fresh = gateway.chat("m5").await;
    assert_eq!(fresh.status, 200, "{}", fresh.text());
    let metrics = gateway.metrics().await;
    for name in ["weir_cache_total", "weir_shed_total"] {
        assert!(metrics.sum(name, &[]) > 10.0, "there was no storm: {name}");
    }
}

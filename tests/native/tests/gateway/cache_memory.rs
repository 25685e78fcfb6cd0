//! What is kept is bounded by what it takes, and not by how long it is (invariant 10).

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use weir_native_tests::{Act, Extra, Gateway, Upstream, reply};

const MIB: u64 = 1 << 20;

fn document(upstream: &Upstream, cache: &str) -> String {
    let tables = format!("[limits.default]\nrequests = \"unlimited\"\n[store]\ncache = \"{cache}\"\n");
    upstream.document_with(&Extra { route: "cache = true", tables: &tables, ..Extra::default() })
}

/// Asks for `count` different answers, some at a time.
async fn ask_for(gateway: &Gateway, what: &str, count: usize) {
    let asked = iter(0..count).map(|number| async move {
        let answer = gateway.chat(&format!("{what} {number}")).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "MISS"), "{number}");
    });
    asked.buffer_unordered(8).collect::<()>().await;
}

async fn kept_bytes(gateway: &Gateway) -> u64 {
    let metrics = gateway.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("weir_cache_kept_bytes ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn large_answers_take_no_more_memory_than_the_cache_has() {
    let upstream = Upstream::start(|_| vec![reply::completion(&"word ".repeat(200_000))]).await;
    let gateway = Gateway::start(document(&upstream, "4MiB")).await;
    let before = gateway.program.resident();
    ask_for(&gateway, "large", 48).await;
    let grown = gateway.program.resident().saturating_sub(before);
    assert!(kept_bytes(&gateway).await <= 4 * MIB);
    // Beside it stands what eight calls take on their way.
    assert!(grown < 32 * MIB, "{} MiB more", grown / MIB);
}

/// An answer must not hold on to the buffer that it was read into.
#[tokio::test]
async fn small_answers_take_no_more_memory_than_they_weigh() {
    let upstream = Upstream::start(|_| vec![reply::completion("short")]).await;
    let gateway = Gateway::start(document(&upstream, "64MiB")).await;
    ask_for(&gateway, "warm up", 300).await;
    let (before, weighed) = (gateway.program.resident(), kept_bytes(&gateway).await);
    ask_for(&gateway, "small", 1500).await;
    let grown = gateway.program.resident().saturating_sub(before);
    let weighed = kept_bytes(&gateway).await - weighed;
    assert!(grown < 2 * weighed + 3 * MIB, "{} KiB more for {} KiB", grown >> 10, weighed >> 10);
}

/// Nor must what is recorded and shared of a stream of small pieces, while it goes.
#[tokio::test]
async fn a_stream_of_small_pieces_takes_no_more_memory_than_it_is_long() {
    const PIECES: usize = 2000;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opened = std::sync::Arc::clone(&gate);
    let upstream = Upstream::start(move |_| {
        let mut acts = vec![reply::stream_head()];
        for _ in 0..PIECES {
            // So that each is read by itself.
            acts.extend([reply::content("piece"), Act::Pause(std::time::Duration::from_millis(1))]);
        }
        acts.extend([Act::Gate(std::sync::Arc::clone(&opened)), reply::farewell()]);
        acts
    })
    .await;
    let gateway = Gateway::start(document(&upstream, "64MiB")).await;
    let before = gateway.program.resident();
    let mut flow = gateway.stream("m").await;
    for _ in 0..PIECES {
        assert!(flow.event().await.is_some());
    }
    let grown = gateway.program.resident().saturating_sub(before);
    gate.add_permits(1);
    assert_eq!(flow.events().await.last().unwrap(), "[DONE]");
    let length = kept_bytes(&gateway).await;
    assert!(length > MIB / 4, "{length}");
    assert!(grown < 4 * length + 3 * MIB, "{} KiB more for {} KiB", grown >> 10, length >> 10);
}

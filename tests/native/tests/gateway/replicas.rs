//! Identical calls of several processes with one Redis: one upstream call, whoever dies meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::HeaderValue;
use tokio::sync::Semaphore;
use weir_native_tests::{
    Act, Answer, Extra, Flow, Gateway, Signal, Upstream, chat_body, chat_request, reply,
};
use weir_redis_tests::Server;

/// A lease lasts 3 s and is looked for each quarter of a second; the rest is for machines that do other
/// things as well. Renewed once more, a lease would end later than this.
const TAKE_OVER: Duration = Duration::from_secs(6);

fn document(upstream: &Upstream, server: &Server) -> String {
    let store = format!("[store]\nkind = \"redis\"\nurl = \"{}\"\ntimeout = \"10s\"\n", server.url());
    let route = "retry = { attempts = 1 }\ncache = true";
    upstream.document_with(&Extra { route, tables: &store, ..Extra::default() })
}

async fn several(count: usize, document: &str) -> Vec<Gateway> {
    join_all((0..count).map(|_| Gateway::start(document))).await
}

/// So many calls to each, at the same time.
async fn calls(gateways: &[Gateway], each: usize) -> Vec<Answer> {
    let all = gateways.iter().flat_map(|gateway| (0..each).map(move |_| gateway.chat("m")));
    join_all(all).await
}

async fn until_in_flight(gateways: &[Gateway], each: f64) {
    for gateway in gateways {
        let what = format!("{each} in flight");
        gateway.until_metrics(&what, |metrics| metrics.sum("weir_in_flight", &[]) >= each).await;
    }
}

fn said(answers: &[Answer]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.header("x-cache")).or_default() += 1;
    }
    counts
}

/// An upstream whose first call waits at the first gate, and every other at the second.
async fn gated(
    answer: impl Fn(usize) -> Vec<Act> + Send + Sync + 'static,
) -> (Upstream, [Arc<Semaphore>; 2]) {
    let gates = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    let (kept, count) = (gates.clone(), AtomicUsize::new(0));
    let upstream = Upstream::start(move |_| {
        let call = count.fetch_add(1, Ordering::SeqCst);
        let gate = Act::Gate(Arc::clone(&kept[call.min(1)]));
        [vec![gate], answer(call)].concat()
    })
    .await;
    (upstream, gates)
}

#[tokio::test]
async fn forty_calls_to_each_of_four_processes_are_one_upstream_call() {
    let (upstream, [gate, _]) = gated(|_| vec![reply::completion("hi")]).await;
    let server = Server::start();
    let gateways = several(4, &document(&upstream, &server)).await;
    let opening = async {
        until_in_flight(&gateways, 40.0).await;
        gate.add_permits(1);
    };
    let (answers, ()) = tokio::join!(calls(&gateways, 40), opening);
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
    }
    assert_eq!(said(&answers), BTreeMap::from([("MISS", 1), ("COALESCED", 159)]));
    assert_eq!(upstream.seen().len(), 1);
    let mut paid = 0;
    for gateway in &gateways {
        let records = gateway.until_records(40).await;
        paid += records.iter().filter(|record| record["output_tokens"] == 5).count();
        gateway.until_idle().await;
    }
    assert_eq!(paid, 1, "one call was paid for");
}

#[tokio::test]
async fn one_takes_over_from_a_process_that_is_killed() {
    let (upstream, [_, gate]) = gated(|_| vec![reply::completion("hi")]).await;
    let server = Server::start();
    let mut gateways = several(4, &document(&upstream, &server)).await;
    let leader = gateways.remove(0);
    let killing = async {
        let call = leader.try_send(chat_request(&chat_body("m")));
        let dying = async {
            upstream.until_seen(1).await;
            until_in_flight(&gateways, 5.0).await;
            leader.signal(Signal::Kill);
            let killed = Instant::now();
            upstream.until_seen(2).await;
            gate.add_permits(100);
            killed.elapsed()
        };
        let (call, took) = tokio::join!(call, dying);
        assert!(call.is_err(), "it is dead");
        took
    };
    let waiting = async {
        upstream.until_seen(1).await;
        calls(&gateways, 5).await
    };
    let (took, answers) = tokio::join!(killing, waiting);
    assert!(took < TAKE_OVER, "{took:?}");
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
    }
    assert_eq!(said(&answers), BTreeMap::from([("MISS", 1), ("COALESCED", 14)]));
    assert_eq!(upstream.seen().len(), 2);
}

/// Longer than a lease: its leader renews it.
#[tokio::test]
async fn a_slow_call_is_not_taken_for_a_dead_one() {
    let slow = |_| vec![Act::Pause(Duration::from_millis(4500)), reply::completion("hi")];
    let (upstream, [gate, _]) = gated(slow).await;
    gate.add_permits(1);
    let server = Server::start();
    let gateways = several(2, &document(&upstream, &server)).await;
    let answers = calls(&gateways, 2).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(upstream.seen().len(), 1);
}

/// All who waited for it ask at the same time: each of their calls is under way before any is answered.
#[tokio::test]
async fn nobody_waits_for_one_failure_after_another() {
    let (upstream, [first, others]) =
        gated(|_| vec![reply::error("500 Internal Server Error", "broken")]).await;
    let server = Server::start();
    let gateways = several(4, &document(&upstream, &server)).await;
    let opening = async {
        until_in_flight(&gateways, 1.0).await;
        first.add_permits(1);
        upstream.until_seen(4).await;
        others.add_permits(3);
    };
    let (answers, ()) = tokio::join!(calls(&gateways, 1), opening);
    assert!(answers.iter().all(|answer| answer.status == 502));
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn a_stream_is_read_from_the_store_by_the_others() {
    let (upstream, [gate, _]) = gated(|_| reply::stream("hi")).await;
    let server = Server::start();
    let gateways = several(3, &document(&upstream, &server)).await;
    let flows = join_all(gateways.iter().flat_map(|gateway| [gateway.stream("m"), gateway.stream("m")]));
    let opening = async {
        until_in_flight(&gateways, 2.0).await;
        gate.add_permits(1);
    };
    let (flows, ()) = tokio::join!(flows, opening);
    let mut events = Vec::new();
    for mut flow in flows {
        events.push(flow.events().await);
        assert!(!flow.is_broken);
    }
    assert!(events[0][0].contains("hi") && events[0].last().unwrap() == "[DONE]", "{events:?}");
    assert!(events.iter().all(|seen| *seen == events[0]), "{events:?}");
    assert_eq!(upstream.seen().len(), 1);
}

/// A stream that pauses behind its first event until the gate is opened.
async fn paused() -> (Upstream, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let kept = Arc::clone(&gate);
    let upstream = Upstream::start(move |_| {
        let gate = Act::Gate(Arc::clone(&kept));
        vec![reply::stream_head(), reply::content("one"), gate, reply::content("two"), reply::farewell()]
    })
    .await;
    (upstream, gate)
}

/// The streams of the others, each of which has heard the first event while the answer has not gone on.
async fn listening(gateways: &[Gateway]) -> Vec<Flow> {
    let flows = gateways.iter().flat_map(|gateway| [gateway.stream("m"), gateway.stream("m")]);
    let mut flows = join_all(flows).await;
    for flow in &mut flows {
        assert_eq!((flow.status, &flow.headers["x-cache"]), (200, &HeaderValue::from_static("COALESCED")));
        assert!(flow.event().await.unwrap().contains("one"));
    }
    flows
}

#[tokio::test]
async fn a_stream_is_heard_in_other_processes_while_it_comes() {
    let (upstream, gate) = paused().await;
    let server = Server::start();
    let gateways = several(3, &document(&upstream, &server)).await;
    let mut leader = gateways[0].stream("m").await;
    assert!(leader.event().await.unwrap().contains("one"));
    let mut flows = listening(&gateways[1..]).await;
    gate.add_permits(1);
    let rest = leader.events().await;
    assert_eq!(rest.last().map(String::as_str), Some("[DONE]"));
    for flow in &mut flows {
        assert_eq!(flow.events().await, rest);
        assert!(!flow.is_broken);
    }
    assert_eq!(upstream.seen().len(), 1);
    for gateway in &gateways {
        gateway.until_idle().await;
    }
    let after = gateways[2].stream("m").await;
    assert_eq!(after.headers["x-cache"], "HIT");
}

#[tokio::test]
async fn a_stream_whose_process_is_killed_is_cut_in_the_others() {
    let (upstream, gate) = paused().await;
    let server = Server::start();
    let gateways = several(3, &document(&upstream, &server)).await;
    let mut leader = gateways[0].stream("m").await;
    assert!(leader.event().await.unwrap().contains("one"));
    let flows = listening(&gateways[1..]).await;
    gateways[0].signal(Signal::Kill);
    for mut flow in flows {
        let rest = flow.events().await;
        assert!(flow.is_broken && rest.is_empty(), "{rest:?}");
    }
    gate.add_permits(100);
    let mut after = gateways[1].stream("m").await;
    assert_eq!(after.headers["x-cache"], "MISS", "what was cut is not kept");
    assert_eq!(after.events().await.last().map(String::as_str), Some("[DONE]"));
}

//! Identical calls that share one upstream call, across the server's threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::iter;
use tokio::sync::Semaphore;
use weir_native_tests::wait::{holds, until, within};
use weir_native_tests::{
    Act, Extra, Flow, Gateway, Launch, Raw, Signal, Upstream, chat_body, chat_bytes, chat_request, reply,
    streamed_chat_body,
};

const SOON: Duration = Duration::from_secs(10);

/// More threads than cores: calls meet across them.
const TABLES: &str = "[server]\nworkers = 4\n[limits.default]\nrequests = \"unlimited\"\n";

fn shared(upstream: &Upstream) -> String {
    upstream.document_with(&Extra { route: "cache = true", tables: TABLES, ..Extra::default() })
}

/// A stream of two events, with a gate before the answer and one between the events.
async fn gated() -> (Upstream, [Arc<Semaphore>; 2]) {
    let gates = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    let kept = gates.clone();
    let upstream = Upstream::start(move |_| {
        let [first, second] = kept.clone().map(Act::Gate);
        let (one, two) = (reply::content("one"), reply::content("two"));
        vec![first, reply::stream_head(), one, second, two, reply::farewell()]
    })
    .await;
    (upstream, gates)
}

async fn until_in_flight(gateway: &Gateway, count: f64) {
    gateway
        .until_metrics(&format!("{count} in flight"), |metrics| metrics.sum("weir_in_flight", &[]) >= count)
        .await;
}

/// The rest of a stream, which must be whole.
async fn rest(mut flow: Flow) -> Vec<String> {
    let events = flow.events().await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{events:?}");
    events
}

#[tokio::test]
async fn two_hundred_calls_at_the_same_time_are_one_upstream_call() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream =
        Upstream::start(move |_| vec![Act::Gate(Arc::clone(&opened)), reply::completion("hi")]).await;
    let gateway = Gateway::start(shared(&upstream)).await;
    let calls = join_all((0..200).map(|_| gateway.chat("m")));
    let opening = async {
        until_in_flight(&gateway, 200.0).await;
        gate.add_permits(200);
    };
    let (answers, ()) = tokio::join!(calls, opening);
    let mut statuses = BTreeMap::new();
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
        *statuses.entry(answer.header("x-cache")).or_insert(0) += 1;
    }
    assert_eq!(statuses["MISS"], 1, "{statuses:?}");
    assert_eq!(upstream.seen().len(), 1);
    let records = gateway.until_records(200).await;
    let used = records.iter().filter(|record| record["output_tokens"] == 5).count();
    assert_eq!((records.len(), used), (200, 1), "one call was paid for");
    gateway.until_idle().await;
}

#[tokio::test]
async fn two_hundred_streams_at_the_same_time_are_one_upstream_call() {
    let (upstream, [first, second]) = gated().await;
    first.add_permits(200);
    let gateway = Gateway::start(shared(&upstream)).await;
    let mut flows = join_all((0..200).map(|_| gateway.stream("m"))).await;
    for flow in &mut flows {
        assert!(flow.event().await.unwrap().contains("one"));
    }
    second.add_permits(200);
    for events in join_all(flows.into_iter().map(rest)).await {
        assert!(events[0].contains("two"), "{events:?}");
    }
    assert_eq!(upstream.seen().len(), 1);
    gateway.until_idle().await;
}

/// A call is asked for, and then its connection closes.
#[tokio::test]
async fn the_others_have_their_answer_when_the_first_leaves_before_the_head() {
    let (upstream, [first, second]) = gated().await;
    let gateway = Gateway::start(shared(&upstream)).await;
    let mut leader = Raw::connect(gateway.address).await;
    leader.send(chat_bytes(&streamed_chat_body("m"), "")).await;
    upstream.until_seen(1).await;
    let flows = join_all((0..8).map(|_| gateway.stream("m")));
    let leaving = async {
        until_in_flight(&gateway, 9.0).await;
        leader.reset();
        // Whether it has heard of it by now or not, the others must be served.
        gateway.metrics().await;
        first.add_permits(1);
        second.add_permits(1);
    };
    let (flows, ()) = tokio::join!(flows, leaving);
    for events in join_all(flows.into_iter().map(rest)).await {
        assert!(events[0].contains("one") && events[1].contains("two"), "{events:?}");
    }
    assert_eq!((upstream.seen().len(), upstream.gone()), (1, 0));
    gateway.until_idle().await;
}

#[tokio::test]
async fn the_others_have_the_rest_when_the_first_leaves_in_the_middle() {
    let (upstream, [first, second]) = gated().await;
    first.add_permits(1);
    let gateway = Gateway::start(shared(&upstream)).await;
    let mut leader = Raw::connect(gateway.address).await;
    leader.send(chat_bytes(&streamed_chat_body("m"), "")).await;
    leader.read_until("one").await;
    let mut flows = join_all((0..8).map(|_| gateway.stream("m"))).await;
    for flow in &mut flows {
        assert_eq!(flow.headers["x-cache"], "COALESCED");
        assert!(flow.event().await.unwrap().contains("one"));
    }
    leader.reset();
    gateway.metrics().await;
    second.add_permits(1);
    for events in join_all(flows.into_iter().map(rest)).await {
        assert!(events[0].contains("two"), "{events:?}");
    }
    assert_eq!((upstream.seen().len(), upstream.gone()), (1, 0));
    gateway.until_idle().await;
}

#[tokio::test]
async fn the_call_is_cancelled_when_the_last_one_leaves() {
    let upstream =
        Upstream::start(|_| vec![reply::stream_head(), reply::content("one"), Act::UntilGone]).await;
    let gateway = Gateway::start(shared(&upstream)).await;
    let mut flows = join_all((0..3).map(|_| gateway.stream("m"))).await;
    while let Some(mut flow) = flows.pop() {
        assert!(flow.event().await.unwrap().contains("one"));
        assert_eq!(upstream.gone(), 0);
        drop(flow);
    }
    until("the call is cancelled", async || holds(upstream.gone() == 1)).await;
    gateway.until_idle().await;
    assert_eq!(upstream.seen().len(), 1);
    assert!(gateway.records().iter().all(|record| record["ending"] == "client_gone"));
}

#[tokio::test]
async fn a_call_that_nobody_else_asked_for_is_cancelled_before_its_head() {
    let upstream = Upstream::start(|_| vec![Act::UntilGone]).await;
    let gateway = Gateway::start(shared(&upstream)).await;
    let mut alone = Raw::connect(gateway.address).await;
    alone.send(chat_bytes(&streamed_chat_body("m"), "")).await;
    upstream.until_seen(1).await;
    drop(alone);
    until("the call is cancelled", async || holds(upstream.gone() == 1)).await;
    assert_eq!(gateway.record().await["ending"], "client_gone");
    gateway.until_idle().await;
}

/// 3 MiB: less than is held for those who come later.
#[tokio::test]
async fn one_who_does_not_read_holds_up_nobody() {
    let piece = "word ".repeat(13_000);
    let upstream = Upstream::start(move |_| {
        let mut acts = vec![reply::stream_head()];
        acts.extend((0..48).map(|_| reply::content(&piece)));
        acts.push(reply::farewell());
        acts
    })
    .await;
    let gateway = Gateway::start(shared(&upstream)).await;
    let mut idle = Raw::connect(gateway.address).await;
    idle.send(chat_bytes(&streamed_chat_body("m"), "")).await;
    idle.status_line().await;
    let flows = join_all((0..4).map(|_| async { rest(gateway.stream("m").await).await.len() }));
    let events = within(SOON, "the others' answers", flows).await;
    assert_eq!(events, [50; 4]);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_is_killed_ends_the_stream_of_each_in_an_error() {
    let upstream = Launch::trial().start().await;
    let document = format!(
        "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         [[route]]\nmodel = \"*\"\nto = [\"up\"]\ncache = true\n{TABLES}",
        upstream.address
    );
    let gateway = Gateway::start(document).await;
    let mut flows = join_all((0..20).map(|_| gateway.stream("sim-tokens-500"))).await;
    for flow in &mut flows {
        assert!(flow.event().await.is_some());
    }
    // SIGKILL, and its sockets with it.
    drop(upstream);
    for events in join_all(flows.iter_mut().map(Flow::events)).await {
        assert!(events.last().unwrap().contains("upstream_error"), "{events:?}");
        assert!(!events.iter().any(|event| event == "[DONE]"));
    }
    assert_eq!(flows.iter().filter(|flow| flow.is_broken).count(), 0, "each is told, none is cut off");
    gateway.until_idle().await;
    let answer = gateway.chat("sim-tokens-500").await;
    assert_eq!(answer.status, 502, "nothing of it is kept: {}", answer.text());
}

#[tokio::test]
async fn a_shared_call_is_finished_before_the_end_of_the_process_although_its_first_client_has_left() {
    let (upstream, [first, second]) = gated().await;
    first.add_permits(1);
    let mut gateway = Gateway::start(shared(&upstream)).await;
    let leader = gateway.stream("m").await;
    let mut flows = join_all((0..8).map(|_| gateway.stream("m"))).await;
    for flow in &mut flows {
        assert!(flow.event().await.unwrap().contains("one"));
    }
    drop(leader);
    gateway.signal(Signal::Terminate);
    until("it has begun to stop", async || {
        holds(gateway.program.stderr.text().contains("stopping: no new connections"))
    })
    .await;
    assert_eq!(gateway.program.ended(), None);
    second.add_permits(1);
    for events in join_all(flows.into_iter().map(rest)).await {
        assert!(events[0].contains("two"), "{events:?}");
    }
    assert_eq!(gateway.end(SOON).await.code(), Some(0));
    assert_eq!((gateway.records().len(), upstream.seen().len()), (9, 1));
}

/// Whoever comes as the answer ends finds it on its way or kept, and at no moment neither.
#[tokio::test]
async fn a_crowd_that_comes_and_goes_is_one_upstream_call() {
    const ROUNDS: usize = 60;
    let upstream = Upstream::start(|seen| {
        let pause = Act::Pause(Duration::from_millis(1));
        if seen.json()["stream"] == true {
            let mut acts = reply::stream("hi");
            acts.insert(1, pause);
            return acts;
        }
        vec![pause, reply::completion("hi")]
    })
    .await;
    let gateway = Gateway::start(shared(&upstream)).await;
    for round in 0..ROUNDS {
        let model = format!("m{round}");
        let body = if round % 2 == 0 { chat_body(&model) } else { streamed_chat_body(&model) };
        let crowd = iter(0..32).map(|_| gateway.send(chat_request(&body))).buffer_unordered(16);
        for answer in crowd.collect::<Vec<_>>().await {
            assert_eq!(answer.status, 200);
        }
    }
    assert_eq!(upstream.seen().len(), ROUNDS);
}

#[tokio::test]
async fn a_call_that_fails_is_explained_to_whoever_asked_first() {
    let upstream = Upstream::start(|_| vec![reply::error("500 Oh", "no")]).await;
    let gateway = Gateway::start(shared(&upstream)).await;
    let answer = gateway.explained_chat("m").await;
    let explanation = answer.explanation();
    assert_eq!(answer.status, 502);
    assert_eq!(explanation["attempts"].as_array().map(Vec::len), Some(3), "{explanation}");
}

//! State that isolates share.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use serde_json::json;
use weir_native_tests::{Extra, Raw, Upstream, hash, reply, status, wait};

use crate::{ask, logged, start};

const ADMIN: &str = "sk-admin";

async fn upstream() -> Upstream {
    Upstream::start(|_| vec![reply::completion("so many rivers")]).await
}

fn document(upstream: &Upstream, tables: &str) -> String {
    upstream.document_with(&Extra { tables, ..Extra::default() })
}

#[tokio::test]
async fn of_many_at_once_exactly_as_many_pass_as_the_limit_says() {
    let upstream = upstream().await;
    let config = document(&upstream, "[limits.default]\nrequests = \"100/d\"\n");
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config } }));
    let answers = join_all((0..500).map(|_| ask(gateway.address, ""))).await;
    let with = |wanted: u16| answers.iter().filter(|answer| status(answer) == wanted).count();
    assert_eq!((with(200), with(429)), (100, 400), "{}", gateway.log.text());
    assert_eq!(upstream.seen().len(), 100);
}

/// Objects that fail, objects that are silent, objects that answer too late.
const FAILING: &str = "export class Desk { async fetch() { throw new Error('out of order'); } }";
const SILENT: &str =
    "export class Desk { async fetch() { await scheduler.wait(60000); return new Response(); } }";

#[tokio::test]
async fn without_its_objects_a_call_goes_on_or_not_as_its_limit_says() {
    let upstream = upstream().await;
    for (desks, policy, expected) in
        [(FAILING, "closed", 503), (FAILING, "open", 200), (SILENT, "closed", 503), (SILENT, "open", 200)]
    {
        let limits = format!("[limits.default]\nrequests = \"9/d\"\non_store_loss = \"{policy}\"\n");
        let config = document(&upstream, &format!("{limits}[store]\ntimeout = \"200ms\"\n"));
        let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config }, "desks": desks }));
        let answer = ask(gateway.address, "").await;
        assert_eq!(status(&answer), expected, "{policy}, {desks}: {answer}");
        assert!(answer.contains("x-weir-degraded: store"), "{policy}, {desks}: {answer}");
    }
}

/// The first question is answered behind the timer, all others at once.
const LATE_ONCE: &str = "export class Desk {
    constructor(state, env) { this.id = state.id; this.name = state.id.name; this.env = env; this.asked = 0; }
    async fetch(request) {
        const question = await request.arrayBuffer();
        const real = this.env.REAL.get(this.env.REAL.idFromName(this.name ?? 'one'));
        const answer = await real.fetch('https://desk.invalid/', { method: 'POST', body: question });
        const said = await answer.arrayBuffer();
        if (this.asked++ === 0) await scheduler.wait(1500);
        return new Response(said);
    }
}";

#[tokio::test]
async fn what_is_reserved_too_late_is_given_back() {
    let upstream = upstream().await;
    let limits = "[limits.default]\nrequests = \"unlimited\"\nconcurrent = 1\non_store_loss = \"closed\"\n";
    let config = document(&upstream, &format!("{limits}[store]\ntimeout = \"500ms\"\n"));
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config }, "desks": LATE_ONCE }));
    assert_eq!(status(&ask(gateway.address, "").await), 503, "the object is late");
    // Its hold would last for half a minute.
    wait::until("a call that has the place", async || {
        let answer = ask(gateway.address, "").await;
        wait::holds(status(&answer) == 200)
    })
    .await;
}

/// The second question fails: a call's end.
const FAILS_ONCE: &str = "export class Desk {
    constructor(state, env) { this.name = state.id.name; this.env = env; this.asked = 0; }
    async fetch(request) {
        const question = await request.arrayBuffer();
        if (this.asked++ === 1) throw new Error('out of order');
        const real = this.env.REAL.get(this.env.REAL.idFromName(this.name ?? 'one'));
        return real.fetch('https://desk.invalid/', { method: 'POST', body: question });
    }
}";

#[tokio::test]
async fn an_object_that_fails_once_at_closing_keeps_no_place() {
    let upstream = upstream().await;
    let limits = "[limits.default]\nrequests = \"unlimited\"\nconcurrent = 1\non_store_loss = \"closed\"\n";
    let config = document(&upstream, limits);
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config }, "desks": FAILS_ONCE }));
    assert_eq!(status(&ask(gateway.address, "").await), 200);
    let ended = Instant::now();
    wait::until("a call that has the place", async || {
        let answer = ask(gateway.address, "").await;
        wait::holds(status(&answer) == 200)
    })
    .await;
    assert!(ended.elapsed() < Duration::from_secs(25), "it has waited for the lease to run out");
}

/// The log has the name of each object that is asked.
const TELLING: &str = "export class Desk {
    constructor(state, env) { this.name = state.id.name; this.env = env; }
    async fetch(request) {
        console.log(`asked: ${this.name}`);
        const question = await request.arrayBuffer();
        const real = this.env.REAL.get(this.env.REAL.idFromName(this.name));
        return real.fetch('https://desk.invalid/', { method: 'POST', body: question });
    }
}";

#[tokio::test]
async fn a_call_asks_whoever_counts_it_and_once_a_second_its_upstream() {
    const CALLS: usize = 60;
    let upstream = upstream().await;
    let config = document(&upstream, "[limits.default]\nrequests = \"1000/d\"\n");
    let gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config }, "desks": TELLING }));
    let start = Instant::now();
    for _ in 0..CALLS {
        assert_eq!(status(&ask(gateway.address, "").await), 200);
    }
    logged(&gateway, &["asked: upstream:"]).await;
    // Where a second ends within a call, it is asked before and told behind.
    let most = 2 + 2 * usize::try_from(start.elapsed().as_secs()).unwrap();
    let lines = gateway.log.now();
    let asked = |whom: &str| lines.iter().filter(|line| line.contains(&format!("asked: {whom}"))).count();
    assert_eq!(asked("addresses:"), CALLS);
    assert!((1..=most).contains(&asked("upstream:")), "{} of {most}", asked("upstream:"));
    assert!(most < CALLS, "the machine is too slow for this to tell anything");
}

/// Whether something below `folder` was written at this time or later.
fn is_written_since(folder: &Path, time: SystemTime) -> bool {
    fs::read_dir(folder).unwrap().filter_map(Result::ok).any(|entry| {
        let Ok(data) = entry.metadata() else { return false };
        if data.is_dir() { is_written_since(&entry.path(), time) } else { data.modified().unwrap() >= time }
    })
}

#[tokio::test]
async fn what_is_counted_outlives_the_process() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let config = document(&upstream, "[limits.default]\nrequests = \"3/d\"\n");
    let given = json!({ "bindings": { "WEIR_CONFIG": config }, "persist": folder.path() });
    let gateway = start(&given);
    assert_eq!(status(&ask(gateway.address, "").await), 200);
    assert_eq!(status(&ask(gateway.address, "").await), 200);
    // The alarm itself is written at once; the counts a second behind.
    let due = SystemTime::now() + Duration::from_millis(700);
    wait::until("a batch that is written", async || wait::holds(is_written_since(folder.path(), due))).await;
    gateway.end();
    let gateway = start(&given);
    assert_eq!(status(&ask(gateway.address, "").await), 200, "one is left");
    assert_eq!(status(&ask(gateway.address, "").await), 429, "and no more");
}

#[tokio::test]
async fn an_order_is_written_before_it_is_confirmed() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let config = document(&upstream, &format!("[admin]\nhash = \"{}\"\n", hash(ADMIN)));
    let given = json!({ "bindings": { "WEIR_CONFIG": config }, "persist": folder.path() });
    let gateway = start(&given);
    let mut raw = Raw::connect(gateway.address).await;
    let body = "{\"state\":\"open\"}";
    raw.send(format!(
        "POST /admin/v1/breakers/up HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {ADMIN}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let answer = raw.to_end().await;
    assert_eq!(status(&answer), 200, "{answer}");
    // No second passes in between.
    gateway.end();
    let gateway = start(&given);
    let answer = ask(gateway.address, "").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn the_log_tells_what_was_not_settled() {
    let upstream = upstream().await;
    let gateway = start(&json!({
        "bindings": { "WEIR_CONFIG": document(&upstream, "[limits.default]\non_store_loss = \"open\"\n") },
        "desks": FAILING,
    }));
    assert_eq!(status(&ask(gateway.address, "").await), 200);
    logged(&gateway, &["not settled everywhere"]).await;
    logged(&gateway, &["\"message\":\"request\"", "\"ending\":\"complete\""]).await;
}

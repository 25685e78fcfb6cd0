//! The ledger: one record for each admitted request, and what it says is true (invariants 4 and 5).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_native_tests::{Gateway, SIMULATED};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Whole,
    Streamed,
    Cut,
    Refused,
    Left,
}

/// Makes one call and gives the request's id.
async fn call(gateway: &Gateway, kind: Kind) -> String {
    let id = |headers: &http::HeaderMap| headers["x-request-id"].to_str().unwrap().to_owned();
    match kind {
        Kind::Whole => id(&gateway.chat("sim").await.headers),
        Kind::Refused => {
            let answer = gateway.chat("sim-status-500").await;
            assert_eq!(answer.status, 502);
            id(&answer.headers)
        }
        Kind::Streamed => {
            let mut flow = gateway.stream("sim-pace-0ms").await;
            assert_eq!(flow.events().await.last().unwrap(), "[DONE]");
            id(&flow.headers)
        }
        Kind::Cut => {
            let mut flow = gateway.stream("sim-pace-0ms-cut-4").await;
            assert!(flow.events().await.last().unwrap().contains("error"));
            id(&flow.headers)
        }
        Kind::Left => {
            let mut flow = gateway.stream("sim-stall-3").await;
            assert!(flow.event().await.is_some());
            id(&flow.headers)
        }
    }
}

#[tokio::test]
async fn a_hundred_requests_of_all_kinds_leave_a_hundred_records() {
    // A breaker that opens would answer some in its own way.
    let patient = "dialect = \"simulated\"\nbreaker = { consecutive = 1000, minimum = 1000 }";
    let gateway = Gateway::start(SIMULATED.replace("dialect = \"simulated\"", patient)).await;
    let kinds = [Kind::Whole, Kind::Streamed, Kind::Cut, Kind::Refused, Kind::Left];
    let calls = (0..100).map(|at| call(&gateway, kinds[at % kinds.len()]));
    let answered: BTreeSet<String> = futures_util::future::join_all(calls).await.into_iter().collect();
    gateway.until_records(100).await;
    gateway.until_idle().await;
    let records = gateway.records();
    assert_eq!(records.len(), 100);
    let written: BTreeSet<String> =
        records.iter().map(|r| r["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(written, answered);
    let mut endings: BTreeMap<&str, u32> = BTreeMap::new();
    for record in &records {
        *endings.entry(record["ending"].as_str().unwrap()).or_default() += 1;
    }
    let expected = [("client_gone", 20), ("complete", 40), ("failed", 20), ("truncated", 20)];
    assert_eq!(endings, BTreeMap::from(expected));
    let metrics = gateway.metrics().await;
    assert!((metrics.sum("weir_requests_total", &[]) - 100.0).abs() < 0.5, "{}", metrics.0);
    assert!((metrics.sum("weir_streams_ended_total", &[]) - 60.0).abs() < 0.5, "{}", metrics.0);
}

#[tokio::test]
async fn the_record_has_the_usage_that_the_upstream_reported() {
    let gateway = Gateway::start(SIMULATED).await;
    let whole = gateway.chat("sim-tokens-17").await.json();
    // The client did not ask for usage: it is metered, and not shown.
    let events = gateway.stream("sim-tokens-17-pace-0ms").await.events().await;
    assert!(events.iter().all(|event| !event.contains("\"usage\"")), "{events:?}");
    let records = gateway.until_records(2).await;
    for record in &records {
        assert_eq!(record["usage"], "reported", "{record}");
        assert_eq!(record["input_tokens"], whole["usage"]["prompt_tokens"], "{record}");
        assert_eq!(record["output_tokens"], 17, "{record}");
    }
    assert_eq!(whole["usage"]["completion_tokens"], 17);
}

#[tokio::test]
async fn what_nobody_reports_is_counted() {
    let gateway = Gateway::start(SIMULATED).await;
    gateway.stream("sim-tokens-17-pace-0ms-no-usage").await.events().await;
    let record = gateway.record().await;
    assert_eq!(record["usage"], "counted", "{record}");
    // Long words count for more than one.
    assert!((17..=34).contains(&record["output_tokens"].as_u64().unwrap()), "{record}");
    assert!(record["input_tokens"].as_u64().unwrap() > 0, "{record}");
}

#[tokio::test]
async fn a_record_says_who_what_where_and_how_long() {
    let gateway = Gateway::start(format!("{SIMULATED}\n[alias]\n\"gpt-5\" = \"sim-latency-100ms\"\n")).await;
    gateway.chat("gpt-5").await;
    let record = gateway.record().await;
    for (field, value) in [
        ("operation", Value::from("chat")),
        ("model", "gpt-5".into()),
        ("route", "sim*".into()),
        ("upstream", "simulated".into()),
        ("upstream_model", "sim-latency-100ms".into()),
        ("stream", false.into()),
        ("status", 200.into()),
        ("fallbacks", 0.into()),
    ] {
        assert_eq!(record[field], value, "{field}: {record}");
    }
    assert!(record["took_ms"].as_u64().unwrap() >= 100, "{record}");
    assert!(record["attempts"].as_str().unwrap().starts_with("simulated:200:"), "{record}");
}

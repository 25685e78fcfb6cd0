//! Too much at the same time, and a store that is lost.
#![cfg(test)]

use std::time::Duration;

use http::{HeaderValue, Request};
use weir::identity::caller::KeyHash;
use weir_portability::samples::WHOLE_CHAT;
use weir_portability::{
    Act, Answer, Flow, Reply, Shell, Visit, all_to_the_end, config, exchange, post, stir,
};

fn toml(server: &str, upstream: &str, limits: &str) -> String {
    let key = |name: &str| KeyHash::of(&format!("sk-{name}")).to_text();
    format!(
        r#"
        [server]
        {server}
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        {upstream}
        [upstream.b]
        dialect = "openai"
        base_url = "https://b.example/v1"
        [[route]]
        model = "m"
        to = ["a"]
        [[route]]
        model = "spare"
        to = ["a"]
        fallback = ["b"]
        [limits.default]
        {limits}
        [key.normal]
        hash = "{}"
        [key.high]
        hash = "{}"
        priority = "high"
        "#,
        key("normal"),
        key("high"),
    )
}

fn slow(seconds: u64) -> Act {
    Answer::json(WHOLE_CHAT.answer).after(Duration::from_secs(seconds)).into()
}

fn shell() -> Shell {
    let shell = Shell::sharing();
    shell.script("a", [slow(2)]);
    shell.script("b", [slow(1)]);
    shell
}

fn request(shell: &Shell, caller: &str, model: &str) -> Request<Flow> {
    let body = WHOLE_CHAT.request.replacen("\"m\"", &format!("\"{model}\""), 1);
    let mut request = post(shell.clock(), WHOLE_CHAT.path, body);
    let key = HeaderValue::try_from(format!("Bearer sk-{caller}")).unwrap();
    request.headers_mut().insert("authorization", key);
    request.headers_mut().insert("x-weir-explain", HeaderValue::from_static("1"));
    request
}

fn visits(shell: &Shell, toml: &str, callers: &[&str]) -> Vec<Visit> {
    let config = config(toml);
    callers.iter().map(|caller| Visit::new(shell, &config, request(shell, caller, "m"))).collect()
}

fn statuses(visits: &[Visit]) -> Vec<u16> {
    visits.iter().map(|visit| visit.reply().status).collect()
}

/// Invariant 5, for the slots of a limiter.
#[test]
fn beyond_its_bound_calls_wait_for_their_turn_and_beyond_its_queue_they_are_turned_away_at_once() {
    let bound = r#"concurrency = { limit = 2, queue = 1, wait = "10s" }"#;
    for (server, upstream) in [(bound, ""), ("", bound)] {
        let (shell, toml) = (shell(), toml(server, upstream, ""));
        let mut visits = visits(&shell, &toml, &["normal"; 4]);
        stir(&mut visits);
        assert_eq!(statuses(&visits), [0, 0, 0, 503], "the fourth is told at once");
        let refused = visits[3].reply();
        assert_eq!(refused.end_at, weir::time::Instant::default());
        assert!(refused.text().contains(r#""code":"overloaded""#), "{}", refused.text());
        assert!(refused.headers.contains_key("retry-after-ms"));
        assert_eq!(shell.sent().len(), 2);
        all_to_the_end(&shell, &mut visits);
        assert_eq!(statuses(&visits), [200, 200, 200, 503]);
        assert_eq!(shell.clock().elapsed(), Duration::from_secs(4), "the third went when one was done");
        let explained = visits[2].reply().header("x-weir-explain").to_owned();
        assert!(explained.contains(r#""ms":2000"#) && explained.contains("queued"), "{explained}");
        let events = shell.events().join("\n");
        assert!(events.contains("Queued") && events.contains("Shed"), "{events}");
    }
}

#[test]
fn whoever_is_more_important_goes_first() {
    let toml = toml("", r#"concurrency = { limit = 1, queue = 2, wait = "10s" }"#, "");
    let shell = shell();
    let mut visits = visits(&shell, &toml, &["normal", "normal", "normal", "high"]);
    stir(&mut visits);
    assert_eq!(statuses(&visits), [0, 0, 503, 0], "the youngest of the others makes room");
    all_to_the_end(&shell, &mut visits);
    assert_eq!(statuses(&visits), [200, 200, 503, 200]);
    assert!(visits[3].reply().end_at < visits[1].reply().end_at);
}

#[test]
fn nobody_waits_longer_than_it_is_worth() {
    let toml = toml("", r#"concurrency = { limit = 1, queue = 5, wait = "1s" }"#, "");
    let shell = shell();
    let mut visits = visits(&shell, &toml, &["normal"; 2]);
    all_to_the_end(&shell, &mut visits);
    assert_eq!(statuses(&visits), [200, 503]);
    let waited = visits[1].reply().end_at.since(weir::time::Instant::default());
    assert_eq!(waited, Duration::from_secs(1));
}

#[test]
fn an_upstream_that_is_full_is_passed_over_for_the_fallback() {
    let toml = toml("", r"concurrency = { limit = 1, queue = 0 }", "");
    let (shell, config) = (shell(), config(&toml));
    let mut visits: Vec<Visit> =
        (0..2).map(|_| Visit::new(&shell, &config, request(&shell, "normal", "spare"))).collect();
    all_to_the_end(&shell, &mut visits);
    assert_eq!((statuses(&visits), shell.asked()), (vec![200, 200], vec!["a".to_owned(), "b".to_owned()]));
    assert!(visits[1].reply().header("x-weir-explain").contains("overloaded"));
}

#[test]
fn who_waits_may_leave() {
    let toml = toml("", r#"concurrency = { limit = 1, queue = 5, wait = "10s" }"#, "");
    let shell = shell();
    let mut visits = visits(&shell, &toml, &["normal"; 3]);
    stir(&mut visits);
    visits[1].leave();
    all_to_the_end(&shell, &mut visits);
    assert_eq!((visits[2].reply().status, shell.sent().len()), (200, 2));
    assert_eq!(shell.clock().elapsed(), Duration::from_secs(4));
}

fn lost(limits: &str) -> (Shell, String) {
    let (shell, toml) = (Shell::default(), toml("", "", limits));
    shell.script("a", [Answer::json(WHOLE_CHAT.answer)]);
    shell.lose_store(true);
    (shell, toml)
}

fn call(shell: &Shell, toml: &str) -> Reply {
    exchange(shell, &config(toml), request(shell, "normal", "m"))
}

/// Invariant 1, for what is declared of a lost store.
#[test]
fn while_the_store_is_lost_each_limit_does_what_it_says() {
    let (shell, toml) = lost("requests = \"20/min\"\non_store_loss = \"local\"");
    let admitted = (0..30).filter(|_| call(&shell, &toml).status == 200).count();
    assert_eq!(admitted, 5, "a quarter of the limit");
    let refused = call(&shell, &toml);
    assert_eq!((refused.status, refused.header("x-weir-degraded")), (429, "store"));

    let (shell, toml) = lost("requests = \"20/min\"\non_store_loss = \"open\"");
    assert!((0..30).all(|_| call(&shell, &toml).status == 200));

    let (shell, toml) = lost("requests = \"20/min\"\non_store_loss = \"closed\"");
    let refused = call(&shell, &toml);
    assert_eq!((refused.status, refused.header("retry-after-ms")), (503, "1000"));
    assert!(refused.text().contains("store_unavailable"), "{}", refused.text());
    assert_eq!(shell.records().len(), 0);
}

#[test]
fn a_store_that_is_found_again_counts_again() {
    let (shell, toml) = lost("requests = \"20/min\"\non_store_loss = \"local\"");
    assert_eq!(call(&shell, &toml).header("x-weir-degraded"), "store");
    let ready = || exchange(&shell, &config(&toml), weir_portability::get(shell.clock(), "/ready"));
    assert!(ready().text().contains(r#""store":"lost""#), "{}", ready().text());
    assert_eq!(ready().status, 200, "it still serves");
    shell.lose_store(false);
    assert!(ready().text().contains(r#""store":"ok""#));
    let reply = call(&shell, &toml);
    assert!(!reply.headers.contains_key("x-weir-degraded"));
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), "19");
    assert_eq!(shell.records().len(), 2, "no record is lost");
}

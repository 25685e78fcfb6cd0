//! What a call holds, its place and its key, for as long as it says that it is under way.
#![cfg(test)]

use std::time::Duration;

use http::HeaderValue;
use weir::limits::account::HELD;
use weir::time::Instant;
use weir_portability::samples::WHOLE_CHAT;
use weir_portability::{Act, Answer, Kind, Shell, Visit, all_to_the_end, config, post, stir};

const TOML: &str = r#"
    auth = "open"
    [upstream.a]
    dialect = "openai"
    base_url = "https://a.example/v1"
    timeout = { total = "2m" }
    breaker = { consecutive = 1000, failure_rate = "100%" }
    [[route]]
    model = "m"
    to = ["a"]
    retry = { attempts = 1 }
    [limits.default]
    concurrent = 1
    on_store_loss = "open"
"#;

const BOTH: [Kind; 2] = [Kind::Process, Kind::Instance];

fn seconds(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn act(after: u64) -> Act {
    Answer::json(WHOLE_CHAT.answer).after(Duration::from_secs(after)).into()
}

fn several(kind: Kind, acts: impl IntoIterator<Item = Act>) -> Vec<Shell> {
    let shells = Shell::several(2, kind);
    shells[0].script("a", acts);
    shells
}

fn chat(shell: &Shell) -> Visit {
    Visit::new(shell, &config(TOML), post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request))
}

fn keyed(shell: &Shell) -> Visit {
    let mut request = post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request);
    request.headers_mut().insert("idempotency-key", HeaderValue::from_static("order-7"));
    let unlimited = TOML.replace("concurrent = 1", "concurrent = 100");
    Visit::new(shell, &config(&unlimited), request)
}

/// Time goes by, and whoever waits for it goes on.
fn go(shell: &Shell, visits: &mut [Visit], to: Instant) {
    stir(visits);
    while shell.clock().due().is_some_and(|due| due <= to) {
        shell.clock().advance();
        stir(visits);
    }
    shell.clock().go(to);
    stir(visits);
}

/// The status of a call that comes now, and what it is told to wait.
fn now(shell: &Shell) -> (u16, u64) {
    let mut visits = vec![chat(shell)];
    all_to_the_end(shell, &mut visits);
    let reply = visits[0].reply();
    (reply.status, reply.header("retry-after-ms").parse().unwrap_or_default())
}

#[test]
fn a_call_that_lasts_longer_than_its_lease_holds_its_place_to_the_end() {
    for kind in BOTH {
        let shells = several(kind, [act(95), act(0)]);
        let mut visits = vec![chat(&shells[0])];
        for second in [9, 29, 31, 59, 94] {
            go(&shells[0], &mut visits, seconds(second));
            assert_eq!(shells[0].held_on() as u64, second / 10, "{kind:?}: every ten seconds");
            assert_eq!(now(&shells[1]).0, 429, "{kind:?}, second {second}");
        }
        go(&shells[0], &mut visits, seconds(96));
        assert_eq!(visits[0].reply().status, 200);
        assert_eq!(now(&shells[1]).0, 200, "{kind:?}: it is over");
    }
}

#[test]
fn what_a_dead_replica_held_is_free_half_a_minute_later_and_who_asks_is_told_when() {
    for kind in BOTH {
        let shells = several(kind, [Act::Silence, act(0)]);
        let mut visits = vec![chat(&shells[0])];
        go(&shells[0], &mut visits, seconds(15));
        // It has renewed once, and dies with all that it was doing: no destructor of it reaches the store.
        std::mem::forget(visits);
        let (status, wait) = now(&shells[1]);
        assert_eq!((status, wait), (429, 500), "{kind:?}: it may be under way, for all that is known");
        shells[0].clock().go(seconds(25));
        let (status, wait) = now(&shells[1]);
        assert_eq!(status, 429);
        assert!((14_800..=15_000).contains(&wait), "{kind:?}: it has said nothing for long: {wait}");
        shells[0].clock().go(seconds(10).after(HELD));
        assert_eq!(now(&shells[1]).0, 200, "{kind:?}");
    }
}

#[test]
fn a_renewal_that_nobody_heard_is_made_again_before_the_lease_has_run_out() {
    let shells = several(Kind::Process, [act(60), act(0)]);
    let mut visits = vec![chat(&shells[0])];
    go(&shells[0], &mut visits, seconds(9));
    shells[0].lose_store(true);
    go(&shells[0], &mut visits, seconds(25));
    shells[0].lose_store(false);
    go(&shells[0], &mut visits, seconds(45));
    assert_eq!(now(&shells[1]).0, 429);
}

#[test]
fn an_end_that_the_store_was_not_told_is_told_when_it_is_there_again() {
    for kind in BOTH {
        let shells = several(kind, [act(5), act(0)]);
        let mut visits = vec![chat(&shells[0])];
        go(&shells[0], &mut visits, seconds(4));
        shells[0].lose_store(true);
        go(&shells[0], &mut visits, seconds(6));
        assert_eq!(visits[0].reply().status, 200);
        assert_eq!(now(&shells[1]).0, 429, "{kind:?}: it has not heard so");
        shells[0].lose_store(false);
        assert_eq!(now(&shells[1]).0, 200, "{kind:?}");
    }
}

#[test]
fn a_place_that_was_taken_while_the_store_was_lost_is_renewed_as_well() {
    let shell = Shell::default();
    shell.script("a", [act(95), act(0)]);
    shell.lose_store(true);
    let local = TOML.replace("on_store_loss = \"open\"", "on_store_loss = \"local\"");
    let local = config(&local);
    let ask =
        |shell: &Shell| Visit::new(shell, &local, post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request));
    let mut visits = vec![ask(&shell)];
    go(&shell, &mut visits, seconds(60));
    // The process itself knows of its own calls; it is the store's count that is looked at.
    assert_eq!(shell.held_on(), 6);
    go(&shell, &mut visits, seconds(96));
    assert_eq!(visits[0].reply().status, 200);
}

#[test]
fn a_retry_takes_over_half_a_minute_behind_the_death_of_the_first() {
    for kind in BOTH {
        let shells = several(kind, [Act::Silence, act(1)]);
        let mut visits = vec![keyed(&shells[0])];
        go(&shells[0], &mut visits, seconds(15));
        std::mem::forget(visits);
        let mut retry = vec![keyed(&shells[1])];
        go(&shells[1], &mut retry, seconds(39));
        assert_eq!(shells[0].sent().len(), 1, "{kind:?}: it may be under way");
        all_to_the_end(&shells[1], &mut retry);
        let reply = retry[0].reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, WHOLE_CHAT.answer), "{kind:?}");
        assert!(reply.end_at <= seconds(43), "{kind:?}: {:?}", reply.end_at);
        assert_eq!(shells[0].sent().len(), 2, "{kind:?}: the upstream is asked twice");
    }
}

#[test]
fn a_key_is_held_for_as_long_as_its_call_lasts() {
    for kind in BOTH {
        let shells = several(kind, [act(95)]);
        let mut visits = vec![keyed(&shells[0])];
        go(&shells[0], &mut visits, seconds(5));
        visits.push(keyed(&shells[1]));
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(shells[0].sent().len(), 1, "{kind:?}");
        let [first, second] = [0, 1].map(|visit| visits[visit].reply().text());
        assert_eq!((first.as_str(), second.as_str()), (WHOLE_CHAT.answer, WHOLE_CHAT.answer), "{kind:?}");
    }
}

/// Cost: nothing is asked of the store that was not asked before.
#[test]
fn a_short_call_is_opened_and_closed_and_nothing_else() {
    for kind in BOTH {
        let shells = several(kind, [act(9)]);
        let mut visits = vec![keyed(&shells[0])];
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!((visits[0].reply().status, shells[0].held_on()), (200, 0), "{kind:?}");
    }
}

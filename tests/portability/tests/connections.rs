//! What becomes of a call whose connection fails: what says something of the upstream counts once, and what says
//! nothing of it never counts.
#![cfg(test)]

use std::time::Duration;

use serde_json::Value;
use weir::identity::access::Peer;
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::dispatch::SendFault;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Act, Answer, End, Reply, Shell, Step, Visit, config, exchange, post};

const ALONE: &str = r#"
auth = "open"
passthrough = "a"
[upstream.a]
tenant = "default"
dialect = "openai"
base_url = "https://a.example/v1"
timeout = { first_byte = "2s", idle = "60s" }
[[route]]
model = "*"
to = ["a"]
retry = { attempts = 1 }
"#;

fn ask(shell: &Shell, acts: impl IntoIterator<Item = Act>) -> Reply {
    shell.script("a", acts);
    exchange(shell, &config(ALONE), post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request))
}

fn answer() -> Answer {
    Answer::json(WHOLE_CHAT.answer)
}

fn fault(fault: SendFault) -> [Act; 1] {
    [Act::Fault(fault)]
}

fn code(reply: &Reply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body()).unwrap();
    (reply.status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

fn counted(shell: &Shell, name: &str) -> usize {
    shell.events().iter().filter(|event| event.starts_with(name)).count()
}

#[test]
fn what_breaks_in_one_moment_is_one_failure() {
    let shell = Shell::default();
    for _ in 0..8 {
        assert_eq!(ask(&shell, fault(SendFault::Broken)).status, 502);
    }
    for _ in 0..8 {
        assert_eq!(ask(&shell, fault(SendFault::Connect(ConnectFault::Refused))).status, 502);
    }
    for _ in 0..8 {
        let cut = Answer::events(samples::chat().sent()[..80].to_owned()).ending(End::Broken);
        shell.script("a", [cut]);
        let chat = samples::chat();
        exchange(&shell, &config(ALONE), post(shell.clock(), chat.path, chat.request.clone()));
    }
    assert_eq!(ask(&shell, [answer().into()]).status, 200, "24 calls, and one restart");
}

#[test]
fn what_breaks_again_and_again_opens_the_breaker() {
    let shell = Shell::default();
    for _ in 0..5 {
        assert_eq!(ask(&shell, fault(SendFault::Broken)).status, 502);
        shell.clock().pass(Duration::from_secs(1));
    }
    assert_eq!(code(&ask(&shell, [])), (503, "circuit_open".into()));
}

#[test]
fn an_upstream_that_only_refuses_is_left_alone_at_once() {
    let shell = Shell::default();
    for _ in 0..5 {
        assert_eq!(ask(&shell, fault(SendFault::Connect(ConnectFault::Refused))).status, 502);
    }
    assert_eq!(code(&ask(&shell, [])), (503, "circuit_open".into()));
}

/// More calls than the retry budget has for a moment in which no time goes by.
#[test]
fn what_was_sent_back_unread_goes_out_again_for_free() {
    let shell = Shell::default();
    for _ in 0..40 {
        let unread = || Act::Fault(SendFault::Unprocessed);
        assert_eq!(ask(&shell, [unread(), unread(), unread(), answer().into()]).status, 200);
    }
    assert_eq!((counted(&shell, "Unprocessed"), counted(&shell, "Retried")), (120, 0));
    assert!(shell.records().iter().all(|record| record.attempts.len() == 1));
}

#[test]
fn what_may_have_made_something_goes_out_again_as_well_if_it_was_not_read() {
    let shell = Shell::default();
    shell.script("a", [Act::Fault(SendFault::Unprocessed), Answer::json("{}").into()]);
    let reply = exchange(&shell, &config(ALONE), post(shell.clock(), "/v1/batches", r#"{"a":1}"#));
    assert_eq!((reply.status, shell.sent().len()), (200, 2));
}

#[test]
fn an_upstream_that_sends_everything_back_is_asked_four_times_and_not_blamed() {
    let shell = Shell::default();
    for _ in 0..20 {
        let before = shell.sent().len();
        let acts = (0..4).map(|_| Act::Fault(SendFault::Unprocessed));
        assert_eq!(code(&ask(&shell, acts)), (502, "upstream_error".into()));
        assert_eq!(shell.sent().len() - before, 4);
    }
    assert_eq!(ask(&shell, [answer().into()]).status, 200);
    assert_eq!(shell.records()[0].causes().as_deref(), Some("a: sent back unread"));
}

#[test]
fn what_the_gateway_is_short_of_is_told_as_its_own_and_never_counts() {
    for (short, code_of_it) in [
        (SendFault::Connect(ConnectFault::NoDescriptors), "gateway_exhausted"),
        (SendFault::Connect(ConnectFault::NoMemory), "gateway_exhausted"),
        (SendFault::Connect(ConnectFault::NoPorts), "gateway_exhausted"),
        (SendFault::Busy, "upstream_connections_busy"),
    ] {
        let shell = Shell::default();
        for _ in 0..20 {
            let reply = ask(&shell, fault(short));
            assert_eq!(code(&reply), (503, code_of_it.into()), "{short:?}");
            assert_eq!(reply.header("retry-after"), "1");
        }
        assert_eq!((counted(&shell, "Answered"), counted(&shell, "Unconnected")), (0, 20), "{short:?}");
        assert_eq!(ask(&shell, [answer().into()]).status, 200, "{short:?}");
    }
}

#[test]
fn a_call_that_finds_no_room_in_time_is_no_timeout_of_the_upstream() {
    let shell = Shell::default();
    let streamed = |act: Act| {
        shell.script("a", [act]);
        let chat = samples::chat();
        exchange(&shell, &config(ALONE), post(shell.clock(), chat.path, chat.request.clone()))
    };
    for _ in 0..20 {
        let reply = streamed(Act::Queued(Duration::from_secs(3), answer()));
        assert_eq!(code(&reply), (503, "upstream_connections_busy".into()));
    }
    let wait = Duration::from_millis(1500);
    let events = Answer::events(samples::chat().sent()).after(wait);
    assert_eq!(streamed(Act::Queued(wait, events)).status, 200, "its own two seconds begin behind the queue");
    let late = Answer::events(samples::chat().sent()).after(Duration::from_millis(2500));
    assert_eq!(code(&streamed(Act::Queued(wait, late))), (504, "request_timeout".into()));
}

/// Seven streams of one chunk, of so many callers, left after so many seconds of silence.
fn left_after(seconds: u64, callers: u8) -> Shell {
    let shell = Shell::default();
    let chat = samples::chat();
    let begun: String = chat.events.iter().take(3).map(|event| event.sent.clone()).collect();
    let visits: Vec<_> = (0..7_u8)
        .map(|number| {
            shell.script("a", [Answer::events(begun.clone()).ending(End::Silent)]);
            let mut request = post(shell.clock(), chat.path, chat.request.clone());
            request.extensions_mut().insert(Peer([10, 0, 0, number % callers].into()));
            let mut visit = Visit::new(&shell, &config(ALONE), request);
            while visit.poll_client() == Step::Moved || visit.reply().chunks.is_empty() {}
            visit
        })
        .collect();
    shell.clock().pass(Duration::from_secs(seconds));
    for mut visit in visits {
        visit.leave();
        visit.settle();
    }
    shell
}

#[test]
fn a_stream_that_is_left_after_ten_seconds_of_silence_has_failed_where_several_callers_met_it() {
    assert_eq!(code(&ask(&left_after(10, 2), [])), (503, "circuit_open".into()));
    assert_eq!(ask(&left_after(10, 1), [answer().into()]).status, 200, "one caller's work may be long");
}

#[test]
fn a_stream_that_is_left_before_says_nothing() {
    let shell = left_after(9, 2);
    assert_eq!(ask(&shell, [answer().into()]).status, 200);
    // Nor is it a success that would begin the count of failures anew.
    let shell = Shell::default();
    let chat = samples::chat();
    for number in 0..5 {
        assert_eq!(ask(&shell, [Answer::error(500).into()]).status, 502, "{number}");
        shell.script("a", [Answer::events(chat.sent()[..80].to_owned()).ending(End::Silent)]);
        if number < 4 {
            let request = post(shell.clock(), chat.path, chat.request.clone());
            let mut visit = Visit::new(&shell, &config(ALONE), request);
            while visit.poll_client() == Step::Moved {}
            visit.leave();
            visit.settle();
        }
    }
    assert_eq!(code(&ask(&shell, [])), (503, "circuit_open".into()));
}

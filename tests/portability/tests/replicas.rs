//! Calls that several replicas want: one makes them, the others read its answer from the store.
#![cfg(test)]

use std::time::Duration;

use http::HeaderValue;
use weir::ledger::cache_status::Status;
use weir::ledger::record::Ending;
use weir::time::Instant;
use weir_portability::samples::{self, Sample, WHOLE_CHAT};
use weir_portability::{Act, Answer, Beat, Kind, Shell, Step, Visit, all_to_the_end, config, post, stir};

const TOML: &str = r#"
    auth = "open"
    [upstream.a]
    dialect = "openai"
    base_url = "https://a.example/v1"
    timeout = { total = "30s" }
    breaker = { consecutive = 1000, failure_rate = "100%" }
    [[route]]
    model = "m"
    to = ["a"]
    retry = { attempts = 1 }
    cache = { ttl = "1m", max_entry = "16KiB" }
    [limits.default]
    tokens = "100000/min"
    requests = "1000/d"
"#;

const BOTH: [Kind; 2] = [Kind::Process, Kind::Instance];

/// Longer than a lease.
const SLOW: Duration = Duration::from_secs(10);

/// A lease, and the longest pause before somebody looks.
const TAKE_OVER: Duration = Duration::from_millis(3_250);

/// The longest pause.
const LOOK: Duration = Duration::from_millis(250);

fn slow(body: impl Into<String>) -> Act {
    Answer::json(body.into()).after(SLOW).into()
}

/// A stream with a pause before each of its events.
fn trickle(sample: &Sample) -> Act {
    let beats = sample
        .events
        .iter()
        .flat_map(|event| [Beat::Pause(Duration::from_secs(1)), Beat::Bytes(event.sent.clone().into())]);
    Answer::events("").beats(beats).into()
}

fn several(count: u64, kind: Kind, acts: impl IntoIterator<Item = Act>) -> Vec<Shell> {
    let shells = Shell::several(count, kind);
    shells[0].script("a", acts);
    shells
}

fn chat(shell: &Shell) -> Visit {
    Visit::new(shell, &config(TOML), post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request))
}

fn chat_with(shell: &Shell, name: &'static str, value: &'static str) -> Visit {
    let mut request = post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request);
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    Visit::new(shell, &config(TOML), request)
}

fn stream(shell: &Shell, sample: &Sample) -> Visit {
    Visit::new(shell, &config(TOML), post(shell.clock(), sample.path, sample.request.clone()))
}

/// How a shell is asked.
type Asking<'a> = &'a dyn Fn(&Shell) -> Visit;

/// One on each, and the first of them first.
fn one_on_each(shells: &[Shell]) -> Vec<Visit> {
    let mut visits = Vec::new();
    for shell in shells {
        visits.push(chat(shell));
        stir(&mut visits);
    }
    visits
}

fn since_the_beginning(at: Instant) -> Duration {
    at.since(Instant::default())
}

#[test]
fn identical_calls_of_several_replicas_are_one_upstream_call() {
    for kind in BOTH {
        let shells = several(4, kind, [slow(WHOLE_CHAT.answer)]);
        let mut visits: Vec<Visit> = (0..20).map(|call| chat(&shells[call % 4])).collect();
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(shells[0].sent().len(), 1, "{kind:?}");
        let said =
            |status: &str| visits.iter().filter(|visit| visit.reply().header("x-cache") == status).count();
        assert_eq!((said("MISS"), said("COALESCED")), (1, 19), "{kind:?}");
        for visit in &visits {
            assert_eq!((visit.reply().status, visit.reply().text().as_str()), (200, WHOLE_CHAT.answer));
            assert!(since_the_beginning(visit.reply().end_at) <= SLOW + LOOK, "{kind:?}: {visit:?}");
        }
        let records: Vec<_> = shells.iter().flat_map(Shell::records).collect();
        assert!(records.iter().all(|record| (record.status, record.ending) == (200, Ending::Complete)));
        let shared = records.iter().filter(|record| record.cache == Some(Status::Coalesced));
        assert_eq!(shared.count(), 19, "{kind:?}");
        let paid = records.iter().filter(|record| record.usage.output.0 > 0);
        assert_eq!((records.len(), paid.count()), (20, 1), "{kind:?}: tokens are used once");
        assert_eq!(
            shells.iter().map(Shell::renewed).sum::<usize>(),
            9,
            "{kind:?}: each second of ten but the last"
        );
        let mut after = vec![chat(&shells[3])];
        all_to_the_end(&shells[0], &mut after);
        assert_eq!(after[0].reply().header("x-cache"), "HIT");
        assert_eq!(after[0].reply().header("x-ratelimit-remaining-requests"), "979", "each is a request");
        assert!(shells.iter().all(|shell| (shell.in_flight(), shell.in_the_air()) == (0, 0)));
    }
}

#[test]
fn a_stream_answers_who_waits_elsewhere() {
    for sample in samples::all() {
        for kind in BOTH {
            let shells = several(2, kind, [trickle(&sample)]);
            let mut visits = vec![stream(&shells[0], &sample)];
            stir(&mut visits);
            visits.push(stream(&shells[1], &sample));
            all_to_the_end(&shells[0], &mut visits);
            assert_eq!(shells[0].sent().len(), 1, "{}, {kind:?}", sample.label);
            for visit in &visits {
                assert_eq!(visit.reply().text(), sample.seen(), "{}, {kind:?}", sample.label);
                assert!(!visit.reply().is_aborted);
            }
        }
    }
}

/// What is shared is what is kept, whatever the form it was asked for in.
#[test]
fn who_waits_is_answered_in_the_form_that_it_wants() {
    let sample = samples::chat();
    let whole = sample.request.replacen(r#""stream":true"#, r#""stream":false"#, 1);
    assert_ne!(whole, sample.request);
    let streamed = |shell: &Shell| stream(shell, &sample);
    let in_one =
        |shell: &Shell| Visit::new(shell, &config(TOML), post(shell.clock(), sample.path, whole.clone()));
    let scenes: [(&str, Act, [Asking<'_>; 2]); 2] = [
        ("application/json", trickle(&sample), [&streamed, &in_one]),
        ("text/event-stream; charset=utf-8", slow(WHOLE_CHAT.answer), [&in_one, &streamed]),
    ];
    for (form, act, [first, second]) in scenes {
        for kind in BOTH {
            let shells = several(2, kind, [act.clone()]);
            let mut visits = vec![first(&shells[0])];
            stir(&mut visits);
            visits.push(second(&shells[1]));
            all_to_the_end(&shells[0], &mut visits);
            assert_eq!(shells[0].sent().len(), 1, "{form}, {kind:?}");
            let reply = visits[1].reply();
            assert_eq!((reply.status, reply.header("content-type")), (200, form), "{kind:?}");
            assert_eq!(reply.header("x-cache"), "COALESCED", "{form}, {kind:?}");
        }
    }
}

/// As with `kill -9`: neither its client nor its books are heard of again.
#[test]
fn one_takes_over_from_a_leader_who_dies() {
    for kind in BOTH {
        let shells = several(4, kind, [Act::Silence, slow(WHOLE_CHAT.answer)]);
        let mut visits = one_on_each(&shells);
        drop(visits.remove(0));
        all_to_the_end(&shells[0], &mut visits);
        let sent = shells[0].sent();
        assert_eq!(sent.len(), 2, "{kind:?}");
        assert!(since_the_beginning(sent[1].at) <= TAKE_OVER, "{kind:?}: {:?}", sent[1].at);
        for visit in &visits {
            assert_eq!((visit.reply().status, visit.reply().text().as_str()), (200, WHOLE_CHAT.answer));
            assert!(since_the_beginning(visit.reply().end_at) <= TAKE_OVER + SLOW + LOOK, "{kind:?}");
        }
    }
}

/// At any poll of the leader's client: the next one makes the call, once.
#[test]
fn one_takes_over_from_a_leader_whose_client_leaves() {
    for kind in BOTH {
        for polls in 1..100 {
            let shells = several(3, kind, [slow(WHOLE_CHAT.answer)]);
            let mut visits = vec![chat(&shells[0])];
            let mut is_over = false;
            for _ in 0..polls {
                let step = visits[0].poll_client();
                is_over |= step == Step::Over;
                if step == Step::Stalled {
                    shells[0].clock().advance();
                }
            }
            visits.extend([chat(&shells[1]), chat(&shells[2])]);
            stir(&mut visits[1..]);
            visits[0].leave();
            let left = shells[0].clock().elapsed();
            all_to_the_end(&shells[0], &mut visits);
            for visit in &visits[1..] {
                assert_eq!(visit.reply().text(), WHOLE_CHAT.answer, "{kind:?}, after {polls} polls");
                let took = since_the_beginning(visit.reply().end_at).saturating_sub(left);
                assert!(took <= SLOW + LOOK * 2, "{kind:?}, after {polls} polls: {took:?}");
            }
            let sent = shells[0].sent().len();
            assert!((1..=2).contains(&sent), "{kind:?}, after {polls} polls: {sent} calls");
            assert!(shells.iter().all(|shell| (shell.in_flight(), shell.in_the_air()) == (0, 0)));
            if is_over {
                break;
            }
            assert!(polls < 99, "it never ends");
        }
    }
}

/// Those who waited for a call that failed make their own at once; who comes later leads the next.
#[test]
fn failures_are_not_waited_for_one_after_another() {
    for kind in BOTH {
        let failing = || Act::from(Answer::error(500).after(SLOW));
        let shells = several(6, kind, [failing()]);
        let mut visits = one_on_each(&shells);
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(shells[0].sent().len(), 6, "{kind:?}");
        for visit in &visits {
            assert_eq!(visit.reply().status, 502, "{kind:?}");
            assert!(since_the_beginning(visit.reply().end_at) <= SLOW * 2 + LOOK, "{kind:?}");
        }
        shells[0].script("a", [slow(WHOLE_CHAT.answer)]);
        let mut later = one_on_each(&shells);
        all_to_the_end(&shells[0], &mut later);
        assert_eq!(shells[0].sent().len(), 7, "{kind:?}");
    }
}

/// What is too long to be kept cannot be read from the store either.
#[test]
fn an_answer_that_is_not_kept_is_not_waited_for_again() {
    for kind in BOTH {
        let long = WHOLE_CHAT.answer.replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(20_000)), 1);
        let shells = several(5, kind, [slow(long.clone())]);
        let mut visits = one_on_each(&shells);
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(shells[0].sent().len(), 5, "{kind:?}");
        for visit in &visits {
            assert_eq!((visit.reply().status, visit.reply().header("x-cache")), (200, "MISS"), "{kind:?}");
            assert!(visit.reply().text() == long, "{kind:?}");
            assert!(since_the_beginning(visit.reply().end_at) <= SLOW * 2 + LOOK, "{kind:?}");
        }
    }
}

/// Whoever waits may leave at any poll, and holds nothing.
#[test]
fn who_waits_and_leaves_holds_nothing() {
    for kind in BOTH {
        for polls in 1..30 {
            let shells = several(2, kind, [slow(WHOLE_CHAT.answer)]);
            let mut visits = one_on_each(&shells[..1]);
            visits.push(chat(&shells[1]));
            for _ in 0..polls {
                if visits[1].poll_client() == Step::Stalled {
                    shells[1].clock().advance();
                }
            }
            assert_eq!(visits[1].reply().status, 0);
            visits[1].leave();
            all_to_the_end(&shells[0], &mut visits);
            assert_eq!((shells[0].sent().len(), shells[1].records().len()), (1, 0));
            let mut after = vec![chat(&shells[1])];
            all_to_the_end(&shells[0], &mut after);
            // Whoever leaves before the store has answered is charged the request; whoever leaves while it waits is not.
            let left = after[0].reply().header("x-ratelimit-remaining-requests");
            let expected = if polls < 4 { &["997", "998"][..] } else { &["998"] };
            assert!(expected.contains(&left), "{left} after {polls} polls");
        }
    }
}

#[test]
fn who_waits_does_so_until_its_own_deadline() {
    for kind in BOTH {
        let shells = several(2, kind, [Act::Silence]);
        let document = TOML.replace(r#"total = "30s""#, r#"first_byte = "1h", total = "1h""#);
        let patient = config(&document);
        let request = || post(shells[0].clock(), WHOLE_CHAT.path, WHOLE_CHAT.request);
        let mut visits = vec![Visit::new(&shells[0], &patient, request()), chat(&shells[1])];
        while visits[1].reply().status == 0 {
            stir(&mut visits);
            shells[0].clock().advance();
        }
        assert_eq!(visits[1].reply().status, 504, "{kind:?}");
        assert!(visits[1].reply().text().contains("request_timeout"), "{}", visits[1].reply().text());
        assert_eq!(since_the_beginning(visits[1].reply().head_at), Duration::from_secs(30), "{kind:?}");
        assert_eq!(shells[0].sent().len(), 1, "{kind:?}");
    }
}

#[test]
fn who_loses_the_store_goes_on_by_itself() {
    for kind in BOTH {
        let shells = several(2, kind, [slow(WHOLE_CHAT.answer)]);
        let mut visits = one_on_each(&shells);
        shells[1].lose_store(true);
        all_to_the_end(&shells[0], &mut visits);
        let reply = visits[1].reply();
        assert_eq!((reply.status, reply.header("x-weir-degraded")), (200, "store"), "{kind:?}");
        assert!(since_the_beginning(reply.end_at) <= SLOW + LOOK, "{kind:?}");
        assert_eq!(shells[0].sent().len(), 2, "{kind:?}");
    }
}

/// A leader that cannot reach the store for a while is taken for dead no sooner than its lease ends.
#[test]
fn a_leader_that_misses_a_renewal_still_leads() {
    for kind in BOTH {
        let shells = several(2, kind, [slow(WHOLE_CHAT.answer)]);
        let mut visits = one_on_each(&shells);
        for (until, is_lost) in [(1500, false), (2500, true), (3500, false)] {
            while shells[0].clock().elapsed() < Duration::from_millis(until) {
                shells[0].lose_store(is_lost);
                stir(&mut visits);
                shells[0].clock().advance();
            }
        }
        shells[0].lose_store(false);
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!((shells[0].sent().len(), shells[0].renewed()), (1, 8), "{kind:?}");
    }
}

/// What the client says of the cache it says of waiting as well.
#[test]
fn who_wants_no_kept_answer_does_not_wait_for_one() {
    for (value, status, calls) in [
        ("no-cache", 200, 2),
        ("no-store", 200, 2),
        ("max-age=0", 200, 2),
        ("only-if-cached", 504, 1),
        ("max-age=60", 200, 1),
    ] {
        for kind in BOTH {
            let shells = several(2, kind, [slow(WHOLE_CHAT.answer)]);
            let mut visits = one_on_each(&shells[..1]);
            visits.push(chat_with(&shells[1], "cache-control", value));
            all_to_the_end(&shells[0], &mut visits);
            assert_eq!(
                (visits[1].reply().status, shells[0].sent().len()),
                (status, calls),
                "{value}, {kind:?}"
            );
            if calls == 2 {
                assert_eq!(since_the_beginning(visits[1].reply().end_at), SLOW, "{value}, {kind:?}");
            }
        }
    }
}

/// One key and another, one request: the first answers both, and each key has its answer.
#[test]
fn calls_with_keys_share_across_replicas() {
    for kind in BOTH {
        let shells = several(2, kind, [slow(WHOLE_CHAT.answer)]);
        let mut visits = vec![chat_with(&shells[0], "idempotency-key", "a")];
        stir(&mut visits);
        visits.push(chat_with(&shells[1], "idempotency-key", "b"));
        visits.push(chat_with(&shells[1], "idempotency-key", "a"));
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(shells[0].sent().len(), 1, "{kind:?}");
        let mut again = vec![chat_with(&shells[0], "idempotency-key", "b")];
        all_to_the_end(&shells[0], &mut again);
        assert_eq!(again[0].reply().header("idempotent-replayed"), "true", "{kind:?}");
        assert!(visits.iter().all(|visit| visit.reply().text() == WHOLE_CHAT.answer), "{kind:?}");
    }
}

/// A shell that settles behind the answer says nothing meanwhile: it is taken for dead, and a second call is
/// made.
#[test]
fn a_leader_that_settles_late_is_taken_for_dead_and_answers_all_the_same() {
    let shells = several(2, Kind::Instance, [slow(WHOLE_CHAT.answer)]);
    let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
    while visits.iter().any(|visit| visit.reply().status == 0) {
        if visits.iter_mut().all(|visit| visit.poll_client() != Step::Moved) {
            shells[0].clock().advance();
        }
    }
    all_to_the_end(&shells[0], &mut visits);
    let sent = shells[0].sent();
    assert_eq!(sent.len(), 2);
    assert!(since_the_beginning(sent[1].at) <= TAKE_OVER, "{:?}", sent[1].at);
    assert!(visits.iter().all(|visit| visit.reply().text() == WHOLE_CHAT.answer));
    assert_eq!((shells[0].renewed(), shells[1].renewed()), (0, 0));
}

#[test]
fn who_is_alone_leases_nothing() {
    for shell in [Shell::sharing(), Shell::default()] {
        shell.script("a", [slow(WHOLE_CHAT.answer)]);
        let mut visits = vec![chat(&shell)];
        all_to_the_end(&shell, &mut visits);
        assert_eq!((visits[0].reply().status, shell.renewed()), (200, 0));
    }
}

//! Streams of other replicas, listened to through the store as they come.
#![cfg(test)]

use std::time::Duration;

use http::HeaderValue;
use weir::ledger::cache_status::Status;
use weir::ledger::record::Ending;
use weir::time::Instant;
use weir_portability::samples::{self, Sample};
use weir_portability::{
    Act, Answer, Beat, End, Kind, Shell, State, Step, Visit, all_to_the_end, config, post, stir,
};

const TOML: &str = r#"
    auth = "open"
    [upstream.a]
    dialect = "openai"
    base_url = "https://a.example/v1"
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

/// Until a leader has heard that somebody waits, and who waits has heard that it says what comes, and as it
/// comes: a second, a quarter of one, a twentieth each to carry and to look.
const DELAY: Duration = Duration::from_millis(1_500);

const BEAT: Duration = Duration::from_secs(1);

/// A stream with a pause before each of its events.
fn trickle(sample: &Sample) -> Answer {
    let beats = sample.events.iter();
    let beats = beats.flat_map(|event| [Beat::Pause(BEAT), Beat::Bytes(event.sent.clone().into())]);
    Answer::events("").beats(beats)
}

/// Events that say nothing, so many before the others.
fn long(count: usize) -> Answer {
    let sample = samples::chat();
    let event = sample.events.iter().find(|event| event.is_content).unwrap().sent.clone();
    let beats = (0..count).flat_map(|_| [Beat::Pause(BEAT), Beat::Bytes(event.clone().into())]);
    let end = sample.events.iter().map(|event| Beat::Bytes(event.sent.clone().into()));
    Answer::events("").beats(beats.chain(end))
}

fn several(count: u64, act: impl Into<Act>) -> Vec<Shell> {
    let shells = Shell::several(count, Kind::Process);
    shells[0].script("a", [act.into()]);
    shells
}

fn stream(shell: &Shell, sample: &Sample) -> Visit {
    Visit::new(shell, &config(TOML), post(shell.clock(), sample.path, sample.request.clone()))
}

fn chat(shell: &Shell) -> Visit {
    stream(shell, &samples::chat())
}

/// Until a visit has heard something.
fn listen(shell: &Shell, visits: &mut [Visit], which: usize) {
    while visits[which].reply().chunks.is_empty() {
        stir(visits);
        assert!(shell.clock().advance(), "it hears nothing: {visits:?}");
    }
    stir(visits);
}

fn elapsed(at: Instant) -> Duration {
    at.since(Instant::default())
}

#[test]
fn a_stream_is_heard_elsewhere_while_it_comes() {
    for sample in samples::all() {
        let shells = several(3, trickle(&sample));
        let mut visits = vec![stream(&shells[0], &sample)];
        stir(&mut visits);
        visits.extend([1, 1, 2].map(|shell| stream(&shells[shell], &sample)));
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(shells[0].sent().len(), 1, "{}", sample.label);
        for visit in &visits {
            let reply = visit.reply();
            assert_eq!((reply.status, reply.text()), (200, sample.seen()), "{}", sample.label);
            assert!(!reply.is_aborted, "{}", sample.label);
            assert_eq!(reply.header("content-type"), visits[0].reply().header("content-type"));
            let late = elapsed(reply.end_at).saturating_sub(elapsed(visits[0].reply().end_at));
            assert!(late <= DELAY, "{}: {late:?}", sample.label);
        }
        for visit in &visits[1..] {
            assert_eq!(visit.reply().header("x-cache"), "COALESCED", "{}", sample.label);
            assert!(
                visit.reply().first_at < Some(visits[0].reply().end_at),
                "{}: it did not wait",
                sample.label
            );
        }
        let records: Vec<_> = shells.iter().flat_map(Shell::records).collect();
        assert!(records.iter().all(|record| (record.status, record.ending) == (200, Ending::Complete)));
        let shared = records.iter().filter(|record| record.cache == Some(Status::Coalesced));
        let paid = records.iter().filter(|record| record.usage.output.0 > 0);
        assert_eq!((shared.count(), paid.count()), (3, 1), "{}", sample.label);
        let mut after = vec![stream(&shells[2], &sample)];
        all_to_the_end(&shells[0], &mut after);
        assert_eq!(after[0].reply().header("x-cache"), "HIT", "{}", sample.label);
        assert_eq!(after[0].reply().header("x-ratelimit-remaining-requests"), "995", "each is a request");
        assert!(shells.iter().all(|shell| (shell.in_flight(), shell.in_the_air()) == (0, 0)));
    }
}

#[test]
fn who_comes_late_hears_it_from_the_beginning() {
    let shells = several(2, trickle(&samples::chat()));
    let mut visits = vec![chat(&shells[0])];
    listen(&shells[0], &mut visits, 0);
    visits.push(chat(&shells[1]));
    all_to_the_end(&shells[0], &mut visits);
    assert_eq!(shells[0].sent().len(), 1);
    assert_eq!(visits[1].reply().text(), samples::chat().seen());
}

/// Where nobody elsewhere asks, nothing is said to the store but that the call is under way.
#[test]
fn what_nobody_hears_is_not_carried() {
    let shells = several(2, long(10));
    let mut visits = vec![chat(&shells[0])];
    all_to_the_end(&shells[0], &mut visits);
    assert_eq!((shells[0].carried(), shells[0].renewed()), (0, 9));
}

/// Invariant 11: a prefix, and an abort; never an end that looks like one.
#[test]
fn a_leader_who_dies_in_the_middle_leaves_a_stream_that_is_cut() {
    let shells = several(2, long(10));
    let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
    listen(&shells[0], &mut visits, 1);
    drop(visits.remove(0));
    let died = shells[0].clock().elapsed();
    all_to_the_end(&shells[0], &mut visits);
    let reply = visits[0].reply();
    assert!(reply.is_aborted && !reply.text().contains("[DONE]"), "{}", reply.text());
    assert!(elapsed(reply.end_at) <= died + Duration::from_millis(3_100), "{:?}", reply.end_at);
    assert_eq!(shells[1].records()[0].ending, Ending::Truncated);
    shells[0].script("a", [trickle(&samples::chat())]);
    let mut after = vec![chat(&shells[1])];
    all_to_the_end(&shells[0], &mut after);
    assert_eq!(after[0].reply().text(), samples::chat().seen(), "what was cut is not kept");
}

#[test]
fn a_stream_that_breaks_off_breaks_off_elsewhere_too() {
    let cut: String = samples::chat().events[..3].iter().map(|event| event.sent.as_str()).collect();
    let beats = [Beat::Pause(BEAT), Beat::Bytes(cut.into()), Beat::Pause(BEAT * 3)];
    let shells = several(2, Answer::events("").beats(beats).ending(End::Broken));
    let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
    all_to_the_end(&shells[0], &mut visits);
    assert_eq!(shells[0].sent().len(), 1);
    let text = visits[1].reply().text();
    assert!(text.contains("upstream_error") && !text.contains("[DONE]"), "{text}");
    assert_eq!(visits[0].reply().body(), visits[1].reply().body());
    assert_eq!(shells[1].records()[0].ending, Ending::Truncated);
}

/// Beyond `max_entry` nothing is carried: who has begun is cut off, who has not waits in vain and asks for
/// itself.
#[test]
fn what_is_too_long_to_be_kept_is_not_carried_to_its_end() {
    let shells = several(3, long(200));
    let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
    listen(&shells[0], &mut visits, 1);
    while !visits[1].reply().is_aborted {
        stir(&mut visits);
        assert!(!visits[0].is_over() && shells[0].clock().advance(), "it is not cut off");
    }
    let heard = visits[1].reply().body().len();
    assert!((8 << 10..=16 << 10).contains(&heard), "{heard} bytes");
    assert_eq!(visits[0].reply().status, 200);
    assert!(!visits[0].reply().is_aborted, "the leader goes on");
    visits.push(chat(&shells[2]));
    all_to_the_end(&shells[0], &mut visits);
    let whole = visits[0].reply().body();
    assert!(visits[2].reply().body() == whole && whole.len() > 16 << 10);
    assert_eq!(shells[0].sent().len(), 2);
}

/// Who listens elsewhere keeps the call going; once nobody does, it is cancelled.
#[test]
fn a_call_goes_on_while_somebody_elsewhere_listens() {
    for stays in [true, false] {
        let shells = several(2, long(30));
        let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
        listen(&shells[0], &mut visits, 1);
        visits[0].leave();
        if !stays {
            visits[1].leave();
        }
        let left = shells[0].clock().elapsed();
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(shells[0].sent().len(), 1);
        let state = shells[0].sent()[0].progress.state();
        assert_eq!(state, if stays { State::Ended } else { State::Cancelled });
        if stays {
            assert!(visits[1].reply().text().ends_with("data: [DONE]\n\n"), "{}", visits[1].reply().text());
        } else {
            let over = shells[0].clock().elapsed();
            assert!(over <= left + Duration::from_secs(5), "{left:?} to {over:?}");
        }
        assert!(shells.iter().all(|shell| (shell.in_flight(), shell.in_the_air()) == (0, 0)));
    }
}

/// At any poll of who listens elsewhere: nothing is left of it, and the stream is whole for the others.
#[test]
fn who_listens_elsewhere_may_leave_at_any_poll() {
    let sample = samples::chat();
    for polls in 1..200 {
        let shells = several(3, trickle(&sample));
        let mut visits = vec![chat(&shells[0])];
        stir(&mut visits);
        visits.extend([chat(&shells[1]), chat(&shells[2])]);
        let mut is_over = false;
        for _ in 0..polls {
            match visits[1].poll_client() {
                Step::Moved => {}
                Step::Stalled => {
                    stir(&mut visits);
                    shells[0].clock().advance();
                }
                Step::Over => is_over = true,
            }
        }
        visits[1].leave();
        all_to_the_end(&shells[0], &mut visits);
        for visit in [&visits[0], &visits[2]] {
            assert_eq!(visit.reply().text(), sample.seen(), "after {polls} polls");
        }
        assert_eq!(shells[0].sent().len(), 1, "after {polls} polls");
        assert!(shells.iter().all(|shell| (shell.in_flight(), shell.in_the_air()) == (0, 0)));
        assert!(shells[1].records().len() <= 1, "after {polls} polls");
        if is_over {
            return;
        }
    }
    panic!("it never ends");
}

/// A leader that loses the store goes on for its own clients; what it says no more is not waited for for
/// ever.
#[test]
fn a_leader_that_loses_the_store_cuts_off_who_listens_elsewhere_and_nobody_else() {
    let shells = several(2, long(20));
    let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
    listen(&shells[0], &mut visits, 1);
    shells[0].lose_store(true);
    all_to_the_end(&shells[0], &mut visits);
    assert!(visits[0].reply().text().ends_with("data: [DONE]\n\n"));
    assert!(visits[1].reply().is_aborted && !visits[1].reply().text().contains("[DONE]"));
}

/// More than a process holds for those who come later, and somebody who takes a minute to read it.
#[test]
fn a_slow_reader_elsewhere_hears_all_of_it() {
    let big = config(&TOML.replace("16KiB", "16MiB"));
    let filler = samples::chat().events[1].sent.replacen(
        "data: {",
        &format!("data: {{\"x\":\"{}\",", "x".repeat(256 << 10)),
        1,
    );
    let filling = (0..24).flat_map(|_| [Beat::Pause(BEAT), Beat::Bytes(filler.clone().into())]);
    let end = samples::chat().events.into_iter().map(|event| Beat::Bytes(event.sent.into()));
    let shells = several(2, Answer::events("").beats(filling.chain(end)));
    let visit = |shell: &Shell| {
        let sample = samples::chat();
        Visit::new(shell, &big, post(shell.clock(), sample.path, sample.request))
    };
    let mut visits = vec![visit(&shells[0]), visit(&shells[1])];
    listen(&shells[0], &mut visits, 1);
    while shells[0].clock().elapsed() < Duration::from_mins(1) {
        stir(&mut visits[..1]);
        while visits[1].poll_settlement() == Step::Moved {}
        assert!(shells[0].clock().advance(), "nobody says that it listens");
    }
    assert!(!visits[0].reply().chunks.is_empty() && visits[0].is_over());
    all_to_the_end(&shells[0], &mut visits);
    assert!(!visits[1].reply().is_aborted);
    assert!(visits[0].reply().body() == visits[1].reply().body());
}

#[test]
fn who_listens_and_loses_the_store_for_good_is_cut_off() {
    let shells = several(2, long(20));
    let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
    listen(&shells[0], &mut visits, 1);
    let lost = shells[0].clock().elapsed();
    shells[1].lose_store(true);
    while !visits[1].reply().is_aborted {
        stir(&mut visits);
        let now = shells[0].clock().elapsed();
        assert!(now <= lost + Duration::from_secs(4), "{lost:?} to {now:?}");
        shells[0].clock().advance();
    }
    all_to_the_end(&shells[0], &mut visits);
}

/// It wants an answer of its own to be given again, so it waits for the whole.
#[test]
fn a_call_with_a_key_waits_for_the_end_and_is_answered_again() {
    let sample = samples::chat();
    let keyed = |shell: &Shell| {
        let mut request = post(shell.clock(), sample.path, sample.request.clone());
        request.headers_mut().insert("idempotency-key", HeaderValue::from_static("k"));
        Visit::new(shell, &config(TOML), request)
    };
    let shells = several(2, trickle(&sample));
    let mut visits = vec![chat(&shells[0])];
    stir(&mut visits);
    visits.push(keyed(&shells[1]));
    all_to_the_end(&shells[0], &mut visits);
    assert_eq!((shells[0].carried(), shells[0].sent().len()), (0, 1));
    assert_eq!(visits[1].reply().text(), sample.seen());
    let mut again = vec![keyed(&shells[0])];
    all_to_the_end(&shells[0], &mut again);
    assert_eq!(again[0].reply().header("idempotent-replayed"), "true");
}

#[test]
fn who_listens_and_loses_the_store_for_a_moment_hears_on() {
    let shells = several(2, long(20));
    for (lost, is_aborted) in [(Duration::from_secs(2), false), (Duration::from_secs(4), true)] {
        let mut visits = vec![chat(&shells[0]), chat(&shells[1])];
        listen(&shells[0], &mut visits, 1);
        shells[1].lose_store(true);
        let until = shells[0].clock().elapsed() + lost;
        while shells[0].clock().elapsed() < until {
            stir(&mut visits);
            shells[0].clock().advance();
        }
        shells[1].lose_store(false);
        all_to_the_end(&shells[0], &mut visits);
        assert_eq!(visits[1].reply().is_aborted, is_aborted, "{lost:?}");
        assert_eq!(visits[1].reply().body() == visits[0].reply().body(), !is_aborted, "{lost:?}");
        shells[0].clock().pass(Duration::from_mins(2));
    }
}

//! Calls that are shared, and calls that must not be made twice.
#![cfg(test)]

use std::time::Duration;

use http::{HeaderValue, Request};
use weir::ledger::cache_status::Status;
use weir::ledger::record::Ending;
use weir_portability::samples::{self, Sample, WHOLE_CHAT};
use weir_portability::{
    Act, Answer, Beat, End, Flow, Shell, Step, Visit, all_to_the_end, config, exchange, post, stir,
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
    cache = true
    [[route]]
    model = "uncached"
    to = ["a"]
    retry = { attempts = 1 }
    [limits.default]
    tokens = "100000/min"
    requests = "1000/d"
"#;

fn slow(body: &str) -> Act {
    Answer::json(body.to_owned()).after(Duration::from_secs(5)).into()
}

/// A stream with a pause before each of its events.
fn trickle(sample: &Sample) -> Act {
    let beats = sample
        .events
        .iter()
        .flat_map(|event| [Beat::Pause(Duration::from_secs(1)), Beat::Bytes(event.sent.clone().into())]);
    Answer::events("").beats(beats).into()
}

fn shell(acts: impl IntoIterator<Item = Act>) -> Shell {
    let shell = Shell::sharing();
    shell.script("a", acts);
    shell
}

fn visit(shell: &Shell, request: Request<Flow>) -> Visit {
    Visit::new(shell, &config(TOML), request)
}

fn chat(shell: &Shell) -> Visit {
    visit(shell, post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request))
}

fn stream(shell: &Shell, sample: &Sample) -> Visit {
    visit(shell, post(shell.clock(), sample.path, sample.request.clone()))
}

fn keyed(shell: &Shell, key: &'static str, model: &str) -> Visit {
    let body = WHOLE_CHAT.request.replacen("\"m\"", &format!("\"{model}\""), 1);
    let mut request = post(shell.clock(), WHOLE_CHAT.path, body);
    request.headers_mut().insert("idempotency-key", HeaderValue::from_static(key));
    visit(shell, request)
}

#[test]
fn identical_calls_share_one_upstream_call_and_each_has_its_own_books() {
    let shell = shell([slow(WHOLE_CHAT.answer)]);
    let mut visits: Vec<Visit> = (0..5).map(|_| chat(&shell)).collect();
    all_to_the_end(&shell, &mut visits);
    assert_eq!((shell.sent().len(), shell.in_the_air()), (1, 0));
    let said: Vec<&str> = visits.iter().map(|visit| visit.reply().header("x-cache")).collect();
    assert_eq!(said, ["MISS", "COALESCED", "COALESCED", "COALESCED", "COALESCED"]);
    for visit in &visits {
        assert_eq!((visit.reply().status, visit.reply().text().as_str()), (200, WHOLE_CHAT.answer));
    }
    let records = shell.records();
    assert_eq!(records.len(), 5);
    assert!(records.iter().all(|record| (record.status, record.ending) == (200, Ending::Complete)));
    let paid = records.iter().filter(|record| record.usage.output.0 > 0).count();
    assert_eq!(paid, 1, "tokens are used once");
    let after = exchange(&shell, &config(TOML), post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request));
    assert_eq!(after.header("x-cache"), "HIT");
    assert_eq!(after.header("x-ratelimit-remaining-requests"), "994", "each of them is a request");
}

/// Who comes late reads the answer from its beginning.
#[test]
fn a_stream_is_shared_from_its_beginning_by_whoever_comes_while_it_lasts() {
    for sample in samples::all() {
        let shell = shell([trickle(&sample)]);
        let mut visits = vec![stream(&shell, &sample)];
        while visits[0].reply().chunks.is_empty() {
            stir(&mut visits);
            shell.clock().advance();
        }
        visits.push(stream(&shell, &sample));
        visits.push(stream(&shell, &sample));
        all_to_the_end(&shell, &mut visits);
        assert_eq!(shell.sent().len(), 1, "{}", sample.label);
        for visit in &visits {
            assert_eq!(visit.reply().text(), sample.seen(), "{}", sample.label);
            assert!(!visit.reply().is_aborted);
        }
        assert_eq!(visits[2].reply().header("x-cache"), "COALESCED");
        assert!(visits[1].reply().first_at < Some(visits[0].reply().end_at), "it did not wait for the end");
    }
}

/// Leaving at every poll of the one who asked first: whoever else listens has all of it, from the same call.
#[test]
fn whoever_asked_first_may_leave_at_any_poll() {
    let sample = samples::chat();
    for act in [trickle(&sample), slow("")] {
        let is_stream = matches!(&act, Act::Answer(answer) if format!("{answer:?}").contains("event-stream"));
        for polls in 0..200 {
            let act = if is_stream { act.clone() } else { slow(WHOLE_CHAT.answer) };
            let shell = shell([act]);
            let new = || if is_stream { stream(&shell, &sample) } else { chat(&shell) };
            let mut visits = vec![new()];
            stir(&mut visits);
            visits.push(new());
            stir(&mut visits);
            let mut is_over = false;
            for _ in 0..polls {
                match visits[0].poll_client() {
                    Step::Moved => {}
                    Step::Stalled => {
                        stir(&mut visits);
                        if !visits[0].is_over() {
                            shell.clock().advance();
                        }
                    }
                    Step::Over => is_over = true,
                }
            }
            visits[0].leave();
            all_to_the_end(&shell, &mut visits);
            let expected = if is_stream { sample.seen() } else { WHOLE_CHAT.answer.to_owned() };
            assert_eq!(visits[1].reply().text(), expected, "after {polls} polls");
            assert_eq!((shell.sent().len(), shell.in_the_air(), shell.in_flight()), (1, 0, 0));
            let records = shell.records();
            assert_eq!(records.len(), 2);
            let paid = records.iter().filter(|record| record.usage.output.0 > 0).count();
            assert_eq!(paid, 1, "after {polls} polls");
            if is_over {
                break;
            }
            assert!(polls < 199, "it never ends");
        }
    }
}

#[test]
fn a_call_that_nobody_listens_to_is_cancelled() {
    let sample = samples::chat();
    for act in [trickle(&sample), slow(WHOLE_CHAT.answer)] {
        let shell = shell([act]);
        let mut visits = vec![stream(&shell, &sample), stream(&shell, &sample)];
        stir(&mut visits);
        visits.iter_mut().for_each(Visit::leave);
        stir(&mut visits);
        assert!(visits.iter().all(Visit::is_over), "nothing is waited for");
        assert_eq!((shell.in_flight(), shell.in_the_air()), (0, 0));
        let records = shell.records();
        assert_eq!(records.len(), 2);
        assert!(records.iter().all(|record| record.ending == Ending::ClientGone));
    }
}

#[test]
fn an_error_is_shared_by_those_who_waited_and_nobody_else() {
    let failing = Answer::error(500).after(Duration::from_secs(5));
    let shell = shell([failing.into(), slow(WHOLE_CHAT.answer)]);
    let mut visits: Vec<Visit> = (0..3).map(|_| chat(&shell)).collect();
    all_to_the_end(&shell, &mut visits);
    assert!(visits.iter().all(|visit| visit.reply().status == 502));
    assert_eq!(shell.sent().len(), 1);
    let mut later = vec![chat(&shell)];
    all_to_the_end(&shell, &mut later);
    assert_eq!((later[0].reply().status, later[0].reply().header("x-cache")), (200, "MISS"));
}

/// Invariant 11: each of those who share has a legal prefix that ends in one error.
#[test]
fn a_stream_that_breaks_off_breaks_off_for_all() {
    let sample = samples::chat();
    let cut: String = sample.events[..3].iter().map(|event| event.sent.as_str()).collect();
    let beats = [Beat::Bytes(cut.into()), Beat::Pause(Duration::from_secs(3))];
    let shell = shell([Answer::events("").beats(beats).ending(End::Broken).into()]);
    let mut visits = vec![stream(&shell, &sample), stream(&shell, &sample)];
    all_to_the_end(&shell, &mut visits);
    for visit in &visits {
        let text = visit.reply().text();
        assert!(text.contains("upstream_error") && !text.contains("[DONE]"), "{text}");
    }
    assert_eq!(visits[0].reply().body(), visits[1].reply().body());
    assert!(shell.records().iter().all(|record| record.ending == Ending::Reset));
}

#[test]
fn who_wants_something_else_does_not_share() {
    let shell = shell([slow(WHOLE_CHAT.answer)]);
    let no_cache = {
        let mut request = post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request);
        request.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache"));
        visit(&shell, request)
    };
    let other = WHOLE_CHAT.request.replacen('{', r#"{"seed":1,"#, 1);
    let other = visit(&shell, post(shell.clock(), WHOLE_CHAT.path, other));
    let mut visits = vec![chat(&shell), no_cache, other];
    all_to_the_end(&shell, &mut visits);
    assert_eq!(shell.sent().len(), 3);
}

#[test]
fn a_call_with_a_key_is_made_once_while_it_runs_and_afterwards() {
    for model in ["m", "uncached"] {
        let shell = shell([slow(WHOLE_CHAT.answer)]);
        let mut visits = vec![keyed(&shell, "k", model), keyed(&shell, "k", model)];
        all_to_the_end(&shell, &mut visits);
        assert_eq!(shell.sent().len(), 1, "{model}");
        shell.clock().pass(Duration::from_hours(23));
        let mut again = vec![keyed(&shell, "k", model), keyed(&shell, "other", model)];
        all_to_the_end(&shell, &mut again);
        let reply = again[0].reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, WHOLE_CHAT.answer));
        assert_eq!(reply.header("idempotent-replayed"), "true");
        assert!(!again[1].reply().headers.contains_key("idempotent-replayed"));
        assert_eq!(shell.sent().len(), 2, "{model}: another key is another call");
        assert!(!shell.sent()[0].headers.contains_key("idempotency-key"), "tenants' keys may be the same");
        shell.clock().pass(Duration::from_hours(2));
        let mut late = vec![keyed(&shell, "k", model)];
        all_to_the_end(&shell, &mut late);
        assert_eq!(shell.sent().len(), 3, "{model}: a day is over");
    }
}

/// The client that lost its connection asks again: that is what the key is for.
#[test]
fn a_call_with_a_key_is_finished_when_its_client_leaves() {
    let shell = shell([slow(WHOLE_CHAT.answer)]);
    let mut visits = vec![keyed(&shell, "k", "uncached")];
    stir(&mut visits);
    visits[0].leave();
    all_to_the_end(&shell, &mut visits);
    assert_eq!(shell.records()[0].ending, Ending::ClientGone);
    assert!(shell.records()[0].usage.output.0 > 0);
    let mut again = vec![keyed(&shell, "k", "uncached")];
    all_to_the_end(&shell, &mut again);
    assert_eq!(again[0].reply().text(), WHOLE_CHAT.answer);
    assert_eq!(shell.sent().len(), 1);
}

/// Also where it listens to another's call, and the other leaves as well; at any poll.
#[test]
fn a_shared_call_is_finished_for_whoever_has_a_key_and_leaves() {
    for polls in 0..6 {
        let shell = shell([slow(WHOLE_CHAT.answer)]);
        let mut visits = vec![chat(&shell)];
        stir(&mut visits);
        visits.push(keyed(&shell, "k", "m"));
        for _ in 0..polls {
            visits[1].poll_client();
        }
        let has_begun = polls > 4;
        visits[0].leave();
        visits[1].leave();
        all_to_the_end(&shell, &mut visits);
        let mut again = vec![keyed(&shell, "k", "m")];
        all_to_the_end(&shell, &mut again);
        assert_eq!(again[0].reply().text(), WHOLE_CHAT.answer);
        let replayed = again[0].reply().headers.contains_key("idempotent-replayed");
        assert!(replayed || !has_begun, "after {polls} polls");
        assert_eq!((shell.in_flight(), shell.in_the_air()), (0, 0));
    }
}

#[test]
fn a_key_is_for_one_request() {
    for shell in [Shell::default(), Shell::sharing()] {
        shell.script("a", [slow(WHOLE_CHAT.answer)]);
        let ask = |model: &str, key: &str| {
            let body = WHOLE_CHAT.request.replacen("\"m\"", &format!("\"{model}\""), 1);
            let mut request = post(shell.clock(), WHOLE_CHAT.path, body);
            request.headers_mut().insert("idempotency-key", HeaderValue::try_from(key).unwrap());
            exchange(&shell, &config(TOML), request)
        };
        assert_eq!(ask("m", "k").status, 200);
        let conflict = ask("uncached", "k");
        assert_eq!((conflict.status, conflict.header("x-should-retry")), (409, "false"));
        assert!(conflict.text().contains("idempotency_conflict"), "{}", conflict.text());
        let long = "k".repeat(256);
        for bad in ["", &long] {
            let refused = ask("m", bad);
            assert_eq!(refused.status, 400);
            assert!(refused.text().contains("Idempotency-Key"), "{}", refused.text());
        }
        assert_eq!(shell.sent().len(), 1);
    }
}

#[test]
fn a_failed_call_with_a_key_may_be_made_again() {
    let shell = shell([Answer::error(500).into(), slow(WHOLE_CHAT.answer)]);
    let mut visits = vec![keyed(&shell, "k", "uncached")];
    all_to_the_end(&shell, &mut visits);
    assert_eq!(visits[0].reply().status, 502);
    let mut again = vec![keyed(&shell, "k", "uncached")];
    all_to_the_end(&shell, &mut again);
    assert_eq!((again[0].reply().status, shell.sent().len()), (200, 2));
}

/// Where requests cannot wake each other, the second waits for the store to have the answer.
#[test]
fn a_running_call_with_a_key_is_waited_for_where_nothing_is_shared() {
    let shell = Shell::default();
    shell.script("a", [slow(WHOLE_CHAT.answer)]);
    let mut visits = vec![keyed(&shell, "k", "uncached"), keyed(&shell, "k", "uncached")];
    all_to_the_end(&shell, &mut visits);
    assert_eq!(shell.sent().len(), 1);
    assert_eq!(visits[1].reply().text(), WHOLE_CHAT.answer);
    assert_eq!(visits[1].reply().header("idempotent-replayed"), "true");
    assert_eq!(shell.records()[1].cache, Some(Status::Hit));
}

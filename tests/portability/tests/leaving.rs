//! A client that leaves at any poll: the books are closed exactly once (invariant 4), nothing stays in flight
//! (invariant 5), and the upstream is let go at once, or read to its end where the route says so.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use weir::Config;
use weir::ledger::record::Ending;
use weir::ledger::usage::{Source, Tokens};
use weir_portability::samples;
use weir_portability::{Act, Answer, Beat, End, Flow, Shell, State, Step, Visit, config, exchange, post};

fn two(on_disconnect: &str) -> Arc<Config> {
    config(&format!(
        r#"
        auth = "open"
        passthrough = "a"
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        timeout = {{ first_byte = "2s", idle = "2s" }}
        [upstream.b]
        dialect = "openai"
        base_url = "https://b.example/v1"
        [[route]]
        model = "*"
        to = ["a"]
        on_disconnect = "{on_disconnect}"
        [[route]]
        model = "with-fallback"
        to = ["a"]
        fallback = ["b"]
        on_disconnect = "{on_disconnect}"
        "#
    ))
}

/// When the shell polls the settlement.
#[derive(Clone, Copy, Debug)]
enum Settling {
    Beside,
    After,
}

/// A request and what its upstreams do.
struct Scene {
    label: &'static str,
    request: fn(&Shell) -> Request<Flow>,
    scripts: fn() -> Vec<(&'static str, Vec<Act>)>,
}

fn stream_in_events() -> Act {
    let pause = Duration::from_millis(20);
    let events = samples::chat().events;
    let beats = events.into_iter().flat_map(|event| [Beat::Pause(pause), Beat::Bytes(event.sent.into())]);
    Answer::events("").after(pause).beats(beats).into()
}

fn whole_in_pieces() -> Act {
    let (first, second) = samples::WHOLE_CHAT.answer.split_at(40);
    let beats = [Beat::Bytes(first.into()), Beat::Yield, Beat::Bytes(second.into()), Beat::Yield];
    Answer::json("").after(Duration::from_millis(20)).beats(beats).into()
}

fn chat_stream(shell: &Shell) -> Request<Flow> {
    post(shell.clock(), samples::chat().path, samples::chat().request)
}

fn chat_whole(shell: &Shell) -> Request<Flow> {
    post(shell.clock(), samples::WHOLE_CHAT.path, samples::WHOLE_CHAT.request)
}

fn chat_with_fallback(shell: &Shell) -> Request<Flow> {
    post(shell.clock(), samples::chat().path, samples::chat().request.replace("\"m\"", "\"with-fallback\""))
}

const SCENES: [Scene; 7] = [
    Scene { label: "a whole answer", request: chat_whole, scripts: || vec![("a", vec![whole_in_pieces()])] },
    Scene { label: "a stream", request: chat_stream, scripts: || vec![("a", vec![stream_in_events()])] },
    Scene {
        label: "a stream whose connection stays open",
        request: chat_stream,
        scripts: || vec![("a", vec![Answer::events(samples::chat().sent()).ending(End::Silent).into()])],
    },
    Scene {
        label: "retries with waits",
        request: chat_stream,
        scripts: || {
            let busy = Answer::error(429).header("retry-after", "1");
            vec![(
                "a",
                vec![busy.clone().into(), busy.after(Duration::from_secs(1)).into(), stream_in_events()],
            )]
        },
    },
    Scene {
        label: "a failure, a reset, an answer",
        request: chat_stream,
        scripts: || {
            let reset = Answer::events(samples::chat().events[0].sent.clone()).ending(End::Broken);
            let failure = Answer::error(503).after(Duration::from_secs(2));
            vec![("a", vec![failure.into(), reset.into(), stream_in_events()])]
        },
    },
    Scene {
        label: "a fallback",
        request: chat_with_fallback,
        scripts: || {
            let reset = Answer::events(samples::chat().events[0].sent.clone()).ending(End::Broken);
            vec![("a", vec![reset.into()]), ("b", vec![stream_in_events()])]
        },
    },
    Scene {
        label: "a form that is passed on",
        request: |shell| {
            let mut request = post(shell.clock(), "/v1/files", "--x\r\n\r\nbytes\r\n--x--");
            let kind = http::HeaderValue::from_static("multipart/form-data; boundary=x");
            request.headers_mut().insert("content-type", kind);
            request
        },
        scripts: || vec![("a", vec![whole_in_pieces()])],
    },
];

/// Polls `polls` times, then leaves; `None` when the visit was over before.
fn leave_after(
    polls: usize,
    scene: &Scene,
    config: &Arc<Config>,
    settling: Settling,
) -> Option<(Shell, Visit)> {
    let shell = Shell::default();
    for (upstream, acts) in (scene.scripts)() {
        shell.script(upstream, acts);
    }
    let mut visit = Visit::new(&shell, config, (scene.request)(&shell));
    for _ in 0..polls {
        match visit.poll_client() {
            Step::Moved => {}
            Step::Stalled => visit.wait(),
            Step::Over => return None,
        }
        if let Settling::Beside = settling {
            visit.poll_settlement();
        }
    }
    visit.leave();
    Some((shell, visit))
}

fn assert_books(shell: &Shell, at: &str) {
    assert_eq!(shell.records().len(), shell.opened(), "{at}: one record for each admitted request");
    assert_eq!(shell.in_flight(), 0, "{at}");
    let count = |name: &str| shell.events().iter().filter(|event| event.starts_with(name)).count();
    assert_eq!(count("Started"), count("Over"), "{at}");
    assert!(shell.sent().iter().all(|sent| sent.progress.state() != State::Open), "{at}");
}

#[test]
fn whenever_a_client_leaves_the_books_balance() {
    for on_disconnect in ["cancel", "finish"] {
        let config = two(on_disconnect);
        for (scene, settling) in SCENES.iter().flat_map(|s| [(s, Settling::Beside), (s, Settling::After)]) {
            let mut polls = 0;
            while let Some((shell, mut visit)) = leave_after(polls, scene, &config, settling) {
                let at = format!("{on_disconnect}, {}, {settling:?}, {polls} polls", scene.label);
                visit.settle();
                assert_books(&shell, &at);
                polls += 1;
            }
            assert!(polls > 5, "{}: {polls} polls are no scene", scene.label);
        }
    }
}

#[test]
fn an_upstream_is_let_go_the_moment_its_client_leaves() {
    let config = two("cancel");
    for scene in &SCENES {
        let mut polls = 0;
        while let Some((shell, visit)) = leave_after(polls, scene, &config, Settling::After) {
            let at = format!("{}, {polls} polls", scene.label);
            let has_all = visit.reply().text() == samples::chat().seen();
            let open = shell.sent().iter().filter(|sent| sent.progress.state() == State::Open).count();
            // Behind its terminator a connection may be read on, to be used again.
            assert!(open == 0 || has_all, "{at}");
            assert!(shell.in_flight() == 0 || has_all, "{at}");
            polls += 1;
        }
    }
}

#[test]
fn a_client_that_leaves_without_its_answer_is_booked_as_gone() {
    for (on_disconnect, scene) in
        ["cancel", "finish"].iter().flat_map(|it| SCENES.iter().map(move |s| (it, s)))
    {
        let config = two(on_disconnect);
        let mut polls = 0;
        while let Some((shell, mut visit)) = leave_after(polls, scene, &config, Settling::After) {
            let at = format!("{on_disconnect}, {}, {polls} polls", scene.label);
            visit.settle();
            let (record, reply) = (shell.records().pop(), visit.reply());
            if let Some(record) = record {
                let is_whole = record.operation == "passthrough" || !record.streamed;
                let has_all =
                    if is_whole { reply.status != 0 } else { reply.text() == samples::chat().seen() };
                assert!(has_all || record.ending == Ending::ClientGone, "{at}: {record:?}");
            }
            polls += 1;
        }
    }
}

/// Official SDKs stop reading at `[DONE]` and close: they have been served.
#[test]
fn a_client_that_leaves_with_its_terminator_in_hand_has_the_whole_answer() {
    for on_disconnect in ["cancel", "finish"] {
        let config = two(on_disconnect);
        for scene in &SCENES[1..6] {
            let mut polls = 0;
            while let Some((shell, mut visit)) = leave_after(polls, scene, &config, Settling::After) {
                visit.settle();
                if visit.reply().text() == samples::chat().seen() {
                    let record = shell.records().remove(0);
                    let label = format!("{on_disconnect}, {}", scene.label);
                    assert_eq!(
                        (record.ending, record.usage.source),
                        (Ending::Complete, Source::Reported),
                        "{label}"
                    );
                }
                polls += 1;
            }
        }
    }
}

#[test]
fn a_route_that_wants_it_reads_the_answer_to_its_end_for_its_usage() {
    let config = two("finish");
    for scene in &SCENES[1..6] {
        let mut polls = 0;
        let mut finished = 0;
        while let Some((shell, mut visit)) = leave_after(polls, scene, &config, Settling::After) {
            polls += 1;
            let has_all = visit.reply().text() == samples::chat().seen();
            visit.settle();
            if visit.reply().status == 0 || has_all {
                continue;
            }
            let at = format!("{}, {polls} polls", scene.label);
            let record = shell.records().remove(0);
            assert_eq!(record.ending, Ending::ClientGone, "{at}");
            assert_eq!((record.usage.source, record.usage.input), (Source::Reported, Tokens(9)), "{at}");
            assert_eq!(record.response_model, "m-1", "{at}");
            assert_eq!(shell.clock().elapsed(), record.took, "{at}");
            finished += 1;
        }
        assert!(finished > 0, "{}", scene.label);
    }
}

#[test]
fn a_client_that_leaves_pays_for_what_it_was_given() {
    let config = two("cancel");
    let mut polls = 0;
    while let Some((shell, mut visit)) = leave_after(polls, &SCENES[1], &config, Settling::After) {
        visit.settle();
        if visit.reply().text().contains("🦀") {
            let usage = shell.records()[0].usage;
            assert_ne!(usage.source, Source::Nothing, "{polls} polls");
            assert!(usage.input > Tokens(0) && usage.output > Tokens(0), "{usage:?}");
        }
        polls += 1;
    }
}

#[test]
fn a_settlement_that_nobody_runs_holds_nothing_up() {
    let config = two("cancel");
    let shell = Shell::default();
    shell.script("a", [stream_in_events()]);
    let mut visit = Visit::new(&shell, &config, chat_stream(&shell));
    visit.read_on();
    drop(visit);
    assert_eq!((shell.in_flight(), shell.records().len()), (0, 0));
}

#[test]
fn a_connection_that_does_not_end_is_not_waited_for_longer_than_a_second() {
    let config = two("cancel");
    let shell = Shell::default();
    shell.script("a", [Answer::events(samples::chat().sent()).ending(End::Silent)]);
    let reply = exchange(&shell, &config, chat_stream(&shell));
    assert_eq!(reply.text(), samples::chat().seen());
    assert_eq!(reply.end_at.since(reply.head_at), Duration::ZERO, "the client waits for nothing");
    assert_eq!(shell.clock().elapsed(), Duration::from_secs(1));
    assert_books(&shell, "open connection");
}

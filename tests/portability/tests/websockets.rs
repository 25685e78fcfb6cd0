//! A websocket ends in time, with a word to whoever is still there, and gives back what it holds.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use weir::Config;
use weir::ledger::record::{Ending, Record};
use weir_portability::{Shell, Socket, Step, Visit, config, get};

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);

/// A close frame with 1000, of an upstream and of a client.
const BYE: &[u8] = b"\x88\x02\x03\xe8";
const MASKED_BYE: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";

/// A text frame of an upstream.
const TEXT: &[u8] = b"\x81\x05hello";

fn document() -> Arc<Config> {
    config(
        r#"
        auth = "open"
        passthrough = "a"
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        [[route]]
        model = "*"
        to = ["a"]
        "#,
    )
}

fn visit(shell: &Shell) -> Visit {
    let mut request = get(shell.clock(), "/v1/realtime?model=m");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Visit::new(shell, &document(), request)
}

struct Opened {
    shell: Shell,
    visit: Visit,
    client: Socket,
    upstream: Socket,
}

impl Opened {
    fn new() -> Self {
        let shell = Shell::default();
        let (client, upstream) = shell.relay_websockets();
        let mut visit = visit(&shell);
        visit.read_on();
        assert_eq!(visit.reply().status, 101);
        let mut opened = Self { shell, visit, client, upstream };
        opened.stir();
        opened
    }

    /// Lets happen what can without time.
    fn stir(&mut self) {
        while self.visit.poll_settlement() == Step::Moved {}
    }

    /// Lets so much time pass.
    fn pass(&mut self, span: Duration) {
        let then = self.shell.clock().now().after(span);
        while self.shell.clock().due().is_some_and(|due| due <= then) {
            self.shell.clock().advance();
            self.stir();
        }
        self.shell.clock().go(then);
        self.stir();
    }

    /// To the end of the session, which takes this long from here.
    fn end(&mut self) -> (Record, Duration) {
        let began = self.shell.clock().now();
        self.visit.settle();
        assert_eq!(self.shell.in_flight(), 0);
        assert!(self.client.is_closed() && self.upstream.is_closed());
        (self.shell.records()[0].clone(), self.shell.clock().now().since(began))
    }
}

fn masked_code(heard: &[u8]) -> u16 {
    assert_eq!((heard[0], heard[1] & 0x80), (0x88, 0x80), "{heard:?}");
    u16::from_be_bytes([heard[6] ^ heard[2], heard[7] ^ heard[3]])
}

fn code(heard: &[u8]) -> u16 {
    assert_eq!((heard[0], heard[1] & 0x80), (0x88, 0), "{heard:?}");
    u16::from_be_bytes([heard[2], heard[3]])
}

#[test]
fn both_sides_close_and_it_is_over_at_once() {
    let mut opened = Opened::new();
    opened.client.say(MASKED_BYE);
    opened.stir();
    assert_eq!(opened.upstream.heard(), MASKED_BYE);
    opened.upstream.say(BYE);
    opened.upstream.end();
    opened.client.end();
    let (record, took) = opened.end();
    assert_eq!((record.ending, took), (Ending::Complete, Duration::ZERO));
    assert_eq!(record.websocket.unwrap().code, Some(1000));
    assert_eq!(opened.client.heard(), BYE);
}

#[test]
fn a_close_that_the_other_side_does_not_answer_is_answered_for_it() {
    let mut opened = Opened::new();
    opened.client.say(MASKED_BYE);
    // Five seconds for the upstream, and one for the client to close.
    let (record, took) = opened.end();
    assert_eq!((record.ending, took), (Ending::Complete, 6 * SECOND));
    assert_eq!(opened.client.heard(), BYE);
    let mut opened = Opened::new();
    opened.upstream.say(b"\x88\x02\x0f\xa1");
    let (_, took) = opened.end();
    assert_eq!(took, 6 * SECOND);
    assert_eq!(masked_code(&opened.upstream.heard()), 4001);
}

#[test]
fn silence_counts_from_the_last_byte_of_either_side() {
    let mut opened = Opened::new();
    for side in [opened.client.clone(), opened.upstream.clone(), opened.client.clone()] {
        opened.pass(9 * MINUTE);
        // A ping.
        side.say(b"\x89\0");
        opened.stir();
    }
    let (record, took) = opened.end();
    assert_eq!((record.ending, took), (Ending::Idle, 10 * MINUTE + SECOND));
    assert_eq!((code(&opened.client.heard()[2..]), masked_code(&opened.upstream.heard()[4..])), (1001, 1001));
}

#[test]
fn a_session_that_is_never_silent_ends_all_the_same() {
    let mut opened = Opened::new();
    for _ in 0..11 {
        opened.pass(5 * MINUTE);
        opened.upstream.say(TEXT);
        opened.stir();
    }
    let (record, took) = opened.end();
    assert_eq!((record.ending, took), (Ending::Expired, 5 * MINUTE + SECOND));
    let session = record.websocket.unwrap();
    assert_eq!((session.sent, session.received, session.code), (0, 11 * 7, Some(1001)));
}

#[test]
fn a_frame_that_has_begun_is_not_cut_in_two() {
    for comes in [true, false] {
        let mut opened = Opened::new();
        opened.upstream.say(&TEXT[..4]);
        opened.stir();
        opened.pass(10 * MINUTE + SECOND);
        assert_eq!(opened.client.heard(), &TEXT[..4]);
        if comes {
            opened.upstream.say(&[&TEXT[4..], TEXT].concat());
            opened.stir();
            assert_eq!(opened.client.heard()[..7], *TEXT);
            assert_eq!(code(&opened.client.heard()[7..]), 1001);
        }
        let (record, _) = opened.end();
        assert_eq!(record.ending, Ending::Idle);
        assert_eq!(opened.client.heard().len() > 4, comes, "no close frame stands inside of another");
        assert_eq!(masked_code(&opened.upstream.heard()), 1001);
    }
}

#[test]
fn whoever_is_left_is_told_that_the_other_has_gone() {
    type Part = fn(&Opened);
    let cases: [(&str, Part, Ending, [Option<u16>; 2]); 4] = [
        ("the client ends", |opened| opened.client.end(), Ending::ClientGone, [None, Some(1001)]),
        ("the upstream ends", |opened| opened.upstream.end(), Ending::Reset, [Some(1011), None]),
        (
            "the client takes nothing",
            |opened| {
                opened.client.refuse();
                opened.upstream.say(TEXT);
            },
            Ending::ClientGone,
            [None, Some(1001)],
        ),
        (
            "the upstream takes nothing",
            |opened| {
                opened.upstream.refuse();
                opened.client.say(b"\x81\x80\0\0\0\0");
            },
            Ending::Reset,
            [Some(1011), None],
        ),
    ];
    for (label, part, ending, told) in cases {
        let mut opened = Opened::new();
        part(&opened);
        let (record, took) = opened.end();
        assert_eq!(record.ending, ending, "{label}");
        assert!(took <= 3 * SECOND, "{label}: {took:?}");
        let (to_client, to_upstream) = (opened.client.heard(), opened.upstream.heard());
        let codes = [
            (!to_client.is_empty()).then(|| code(&to_client)),
            (!to_upstream.is_empty()).then(|| masked_code(&to_upstream)),
        ];
        assert_eq!(codes, told, "{label}");
    }
}

/// Whatever is dropped whenever, the next session finds its place free, or the reservation expires.
#[test]
fn a_session_that_is_dropped_at_any_poll_leaves_no_call_behind() {
    for polls in 0..40 {
        let shell = Shell::default();
        let (client, upstream) = shell.relay_websockets();
        let mut visit = visit(&shell);
        let mut left = polls;
        while left > 0 && visit.poll_client() == Step::Moved {
            left -= 1;
        }
        visit.leave();
        client.say(b"\x81\x80\0\0\0\0");
        upstream.say(TEXT);
        while left > 0 && visit.poll_settlement() == Step::Moved {
            left -= 1;
        }
        drop(visit);
        assert_eq!(shell.in_flight(), 0, "after {polls} polls");
    }
}

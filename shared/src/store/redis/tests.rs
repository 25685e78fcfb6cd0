//! What can be told without a Redis; the rest is in `tests/redis`.

use std::time::Duration;

use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use super::script::ALL;
use super::*;
use crate::cache::fingerprint::Framed;
use crate::cache::{Entry, Freshness, Place, Window};
use crate::dialect::endpoint::{Form, Operation};
use crate::limits::account::Left;
use crate::limits::rate::Allowance;
use crate::store::protocol::{Ask, Recall};

fn codec() -> Codec {
    Codec::new("default", Clock::Server)
}

fn moment() -> Moment {
    Moment { now: Instant::from_micros(7), nonce: 0xfe }
}

/// Bytes before what an entry is.
const HEAD: usize = 88;

fn kept(entry: &Entry) -> Bytes {
    let mut written = Vec::new();
    entry::write(entry, &mut written);
    written.into()
}

fn entry() -> Entry {
    Entry {
        operation: Operation::Responses,
        form: Form::Events,
        content_type: "text/plain; charset=utf-8".into(),
        model: "a\nb".into(),
        body: Bytes::from_static(b"\0\xff\r\n"),
    }
}

fn bytes(text: &str) -> Value {
    Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

/// `EVALSHA` with a wrong name would cost a second round trip at each command.
#[test]
fn scripts_are_known_by_their_sha1() {
    let wrong: Vec<String> = ALL
        .iter()
        .map(|script| (script, format!("{:x}", Sha1::digest(script.source))))
        .filter(|(script, sha1)| script.sha1 != sha1)
        .map(|(script, sha1)| format!("{}: {sha1}", script.name))
        .collect();
    assert!(wrong.is_empty(), "write into script.rs:\n{}", wrong.join("\n"));
}

#[test]
fn a_script_goes_without_comments_and_indentation_and_loses_nothing_else() {
    for script in ALL {
        let is_bare = |line: &str| !line.is_empty() && !line.starts_with("--") && !line.starts_with(' ');
        assert!(script.source.lines().all(is_bare), "{}", script.name);
    }
    let written = include_str!("sums.lua").lines().map(str::trim_start);
    let kept: String = written.filter(|line| !line.starts_with("--")).flat_map(|line| [line, "\n"]).collect();
    let sums = ALL.iter().find(|script| script.name == "sums").unwrap();
    assert!(!kept.is_empty() && sums.source.ends_with(&kept), "{}", sums.source);
}

#[test]
fn words_are_what_a_script_can_read() {
    let long = "x".repeat(40);
    let mut packed = Packed::default();
    let words: [(Word<'_>, &[u8]); 10] = [
        (Word::Text(""), b"\xa0"),
        (Word::Text("ab"), b"\xa2ab"),
        (Word::Text(&long), &[b"\xdb\0\0\0\x28", long.as_bytes()].concat()),
        (Word::Count(0), b"\0"),
        (Word::Count(128), b"\xce\0\0\0\x80"),
        (Word::Count(u64::MAX), b"\xcf\0\x1f\xff\xff\xff\xff\xff\xff"),
        (Word::Span(Duration::from_millis(5)), b"\xce\0\0\x13\x88"),
        (Word::Span(Duration::MAX), b"\xcf\0\x1f\xff\xff\xff\xff\xff\xff"),
        (Word::Id(0xab), b"\xb000000000000000ab"),
        (Word::None, b"\xff"),
    ];
    let mut expected = b"\xdd\0\0\0\x0a".to_vec();
    for (word, bytes) in words {
        packed.push(word);
        expected.extend_from_slice(bytes);
    }
    assert_eq!(packed.as_bytes(), &expected[5..]);
    // A script has no room for more than so many of them.
    for _ in words.len()..=1000 {
        assert_eq!(packed.as_bytes()[0], 0xa0);
        packed.push(Word::Count(0));
    }
    assert_eq!(packed.as_bytes()[..6], [0xdd, 0, 0, 3, 0xe9, 0xa0]);
}

/// What the script says where it has done no more than give a fresh answer.
#[test]
fn a_hit_is_read_from_three_words() {
    let (second, entry) = (Duration::from_secs(1), entry());
    let window = Window { fresh: second * 9, revalidate: second * 9, if_error: second * 9, ttl: second };
    let key = Framed::new("test").finish();
    let recall = Recall { key, window, place: Place::Edge };
    let ask = Ask { recall: Some(&recall), ..Ask::default() };
    let command = codec().open(ask, moment());
    let read = |parts: &[Value]| {
        let head = [bytes("00000000000000fe"), Value::Int(0), bytes("hit")];
        let reply = head.into_iter().chain(parts.iter().cloned()).collect();
        codec().opened(ask, &command, moment(), Value::Array(reply)).map(|told| (told.answer, told.faults))
    };
    let numbers = |numbers: [i64; 7]| Value::Bytes(numbers.map(i64::to_be_bytes).concat().into());
    let answer = Value::Bytes(kept(&entry));
    for (age, is_stale) in [(999_999, false), (1_000_000, true)] {
        let (opened, faults) = read(&[numbers([age, 10, 9, 100, -1, 0, 0]), answer.clone()]).unwrap();
        assert!(opened.is_kept && faults == 0, "{opened:?}");
        let requests = Allowance { limit: 10, remaining: 9, reset: Duration::from_millis(100) };
        assert_eq!(opened.left, Left { requests: Some(requests), tokens: None });
        let recalled = opened.recalled.unwrap();
        assert_eq!((&*recalled.entry, recalled.freshness), (&entry, Freshness::Fresh));
        assert_eq!((recalled.age.as_micros(), recalled.is_stale), (u128::try_from(age).unwrap(), is_stale));
    }
    let (opened, faults) = read(&[numbers([0; 7]), bytes("another version's")]).unwrap();
    assert_eq!((opened.recalled, faults), (None, 1));
    for (label, parts) in [
        ("an age before it", vec![numbers([-1, 0, 0, 0, 0, 0, 0]), answer.clone()]),
        ("less than nothing is left", vec![numbers([0, 10, -1, 0, -1, 0, 0]), answer.clone()]),
        ("half a number", vec![bytes("1234"), answer.clone()]),
        ("too few numbers", vec![bytes("12345678"), answer.clone()]),
        ("no answer", vec![numbers([0; 7])]),
        ("too long", vec![numbers([0; 7]), answer.clone(), answer.clone()]),
    ] {
        assert!(read(&parts).is_err(), "{label}");
    }
}

/// What clients choose is in no key, whatever they choose; what is in it, no client chooses.
#[test]
fn keys_have_one_form() {
    let names = ["a", "a/m", "a/\r\n\0 :{}", "a/}{x}", "a/ключ"].map(String::from);
    let command = codec().open(Ask { breakers: &names, ..Ask::default() }, moment());
    let mut seen = std::collections::BTreeSet::new();
    for key in command.keys.iter() {
        let key = std::str::from_utf8(key).unwrap();
        let rest = key.strip_prefix("weir:{default}:").unwrap();
        assert!(rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b':'), "{key}");
        // Their upstream's, which is one of them, comes with each of its models.
        seen.insert(key);
    }
    assert_eq!(seen.len(), names.len() + 1);
}

#[test]
fn a_reply_that_is_not_one_to_the_command_is_garbled() {
    let codec = codec();
    let command = codec.lease_probe("a", 1, moment());
    let reply = |parts: Vec<Value>| codec.granted(&command, Value::Array(parts)).map(|told| told.answer);
    let name = bytes("00000000000000fe");
    assert_eq!(reply(vec![name.clone(), Value::Int(0), Value::Int(1)]), Ok(true));
    for (label, parts) in [
        ("another's", vec![bytes("00000000000000ff"), Value::Int(0), Value::Int(1)]),
        ("too short", vec![name.clone(), Value::Int(0)]),
        ("too long", vec![name.clone(), Value::Int(0), Value::Int(1), Value::Int(1)]),
        ("no answer", vec![name.clone(), Value::Int(0), Value::Int(2)]),
        ("another type", vec![name.clone(), Value::Int(0), Value::Nil]),
        ("nothing", vec![]),
    ] {
        assert_eq!(reply(parts), Err(Garbled), "{label}");
    }
    assert_eq!(codec.granted(&command, Value::Nil).map(|told| told.answer), Err(Garbled));
}

#[test]
fn an_entry_is_read_as_it_was_written_and_not_otherwise() {
    let entry = entry();
    let written = kept(&entry);
    assert_eq!(entry::read(&written), Some(entry));
    for length in [0, HEAD, HEAD + 4, HEAD + 20] {
        assert_eq!(entry::read(&written.slice(..length)), None, "cut to {length}");
    }
    for wrong in ["", "2\nchat\nwhole\n\n", "1\nchat\nhalf\n\n", "1\nsing\nwhole\n\n", "1\nchat\nwhole\n"] {
        let length = u32::try_from(wrong.len()).unwrap().to_be_bytes();
        let kept = [&[b' '; HEAD][..], &length, wrong.as_bytes()].concat();
        assert_eq!(entry::read(&kept.into()), None, "{wrong:?}");
    }
}

/// As a client has it that cannot tell a list in a list.
#[test]
fn names_come_in_one_flat_list() {
    let codec = codec();
    let command = codec.names(moment());
    let named = |parts: &[Value]| {
        let head = [bytes("00000000000000fe"), Value::Int(0)];
        let reply = head.into_iter().chain(parts.iter().cloned()).collect();
        codec.named(&["c".into()], &command, Value::Array(reply)).map(|told| told.answer)
    };
    let names = [Value::Int(2), bytes("b"), bytes("a"), Value::Int(1), bytes("b")];
    assert_eq!(named(&names), Ok(["a", "b", "c"].map(String::from).to_vec()));
    assert_eq!(named(&names[..4]), Err(Garbled));
    assert_eq!(named(&[Value::Int(i64::MAX), bytes("a")]), Err(Garbled));
    assert_eq!(named(&[Value::Array(vec![bytes("a")]), Value::Array(vec![])]), Err(Garbled));
}

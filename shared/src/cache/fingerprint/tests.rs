mod model;

use proptest::prelude::*;
use serde_json::value::RawValue;

use self::model::{Dice, Model, model, object};
use super::*;

fn print(text: &str) -> Fingerprint {
    of_object(text, &[]).unwrap_or_else(|| panic!("not an object: {text}"))
}

#[test]
fn spellings_of_one_object_have_one_fingerprint() {
    let long = "x".repeat(2000);
    for (what, one, other) in [
        (
            "white space",
            r#"{"a":[1,{}],"b":null}"#.into(),
            "\t{ \"a\" : [ 1 ,\r{\n} ] , \"b\" : null }\n".into(),
        ),
        ("order", r#"{"a":1,"b":2,"c":3}"#.into(), r#"{"c":3,"a":1,"b":2}"#.into()),
        ("order inside", r#"{"a":[{"b":1,"c":2}]}"#.into(), r#"{"a":[{"c":2,"b":1}]}"#.into()),
        ("letter", r#"{"a":"A"}"#.into(), r#"{"a":"\u0041"}"#.into()),
        ("letter of a key", r#"{"ab":1,"b":2}"#.into(), r#"{"b":2,"\u0061b":1}"#.into()),
        ("slash", r#"{"a":"/"}"#.into(), r#"{"a":"\/"}"#.into()),
        (
            "short escapes",
            r#"{"a":"\"\\\b\f\n\r\t"}"#.into(),
            r#"{"a":"\u0022\u005c\u0008\u000c\u000A\u000d\u0009"}"#.into(),
        ),
        ("control character", r#"{"a":"\u001b"}"#.into(), r#"{"a":"\u001B"}"#.into()),
        ("pair", r#"{"a":"😀"}"#.into(), r#"{"a":"\uD83d\ude00"}"#.into()),
        ("half a pair", r#"{"a":"\ud83dA"}"#.into(), r#"{"a":"\uD83D\u0041"}"#.into()),
        (
            "long string",
            format!(r#"{{"a":"{long}","b":1}}"#),
            format!(r#"{{"b":1,"a":"\u0078{}"}}"#, &long[1..]),
        ),
        (
            "long object",
            format!(r#"{{"a":{{"b":1,"{long}":2}}}}"#),
            format!(r#"{{"a":{{"{long}":2,"b":1}}}}"#),
        ),
    ] {
        let (one, other): (String, String) = (one, other);
        assert_eq!(print(&one), print(&other), "{what}");
    }
}

#[test]
fn values_of_one_key_keep_their_order_among_many() {
    let mixed: Vec<String> = (0..200).map(|index| format!("\"{}\":{index}", index * 7 % 3)).collect();
    let key = |member: &str| member.split(':').next().map(str::to_owned);
    let mut sorted = mixed.clone();
    sorted.sort_by_key(|member| key(member));
    assert_eq!(print(&format!("{{{}}}", mixed.join(","))), print(&format!("{{{}}}", sorted.join(","))));
    sorted.swap(0, 1);
    assert_ne!(print(&format!("{{{}}}", mixed.join(","))), print(&format!("{{{}}}", sorted.join(","))));
}

#[test]
fn different_objects_have_different_fingerprints() {
    let long = "x".repeat(2000);
    for (what, one, other) in [
        ("type", r#"{"a":"1"}"#, r#"{"a":1}"#),
        ("null and nothing", r#"{"a":null}"#, "{}"),
        ("null and its name", r#"{"a":null}"#, r#"{"a":"null"}"#),
        ("object and list", r#"{"a":{"b":"c"}}"#, r#"{"a":["b","c"]}"#),
        ("empty object and list", r#"{"a":{}}"#, r#"{"a":[]}"#),
        ("nesting", r#"{"a":[[]]}"#, r#"{"a":[]}"#),
        ("split", r#"{"a":[[1],[2]]}"#, r#"{"a":[[1,2]]}"#),
        ("order of items", r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
        ("spelling of a number", r#"{"a":0.7}"#, r#"{"a":0.70}"#),
        ("exponent", r#"{"a":1e2}"#, r#"{"a":1E2}"#),
        ("minus nought", r#"{"a":0}"#, r#"{"a":-0}"#),
        ("key and value", r#"{"a":"b"}"#, r#"{"b":"a"}"#),
        ("border of the key", r#"{"a":"bc"}"#, r#"{"ab":"c"}"#),
        ("case", r#"{"a":"x"}"#, r#"{"a":"X"}"#),
        ("composition", r#"{"a":"é"}"#, "{\"a\":\"e\u{301}\"}"),
        ("string that ends early", r#"{"a":"b\",\"c\":\"d"}"#, r#"{"a":"b","c":"d"}"#),
        ("backslash", r#"{"a":"\n"}"#, r#"{"a":"\\n"}"#),
        ("half a pair and its spelling", r#"{"a":"\ud83d"}"#, r#"{"a":"\\ud83d"}"#),
        ("half a pair and its stand-in", r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
        ("halves", r#"{"a":"\ud83d"}"#, r#"{"a":"\ude00"}"#),
        ("halves the wrong way round", r#"{"a":"\ude00\ud83d"}"#, r#"{"a":"\ud83d\ude00"}"#),
        ("twice", r#"{"a":{"b":1,"b":1}}"#, r#"{"a":{"b":1}}"#),
        ("order of a key's values", r#"{"a":{"b":1,"b":2}}"#, r#"{"a":{"b":2,"b":1}}"#),
        ("long and not", &format!(r#"{{"a":"{long}"}}"#), &format!(r#"{{"a":"{long}x"}}"#)),
        ("long string and list of it", &format!(r#"{{"a":"{long}"}}"#), &format!(r#"{{"a":["{long}"]}}"#)),
    ] {
        assert_ne!(print(one), print(other), "{what}");
    }
}

#[test]
fn only_top_level_fields_are_left_out() {
    let without = ["stream", "user", "a\"b\\n", ""];
    let left = |text: &str| of_object(text, &without).unwrap();
    for (what, text, expected) in [
        ("first", r#"{"stream":true,"a":1}"#, r#"{"a":1}"#),
        ("last, and long", &format!(r#"{{"a":1,"user":"{}"}}"#, "u".repeat(3000)), r#"{"a":1}"#),
        ("all", r#"{"stream":{"a":[1]},"user":null}"#, "{}"),
        ("twice", r#"{"stream":1,"stream":2,"a":1}"#, r#"{"a":1}"#),
        ("escaped", r#"{"str\u0065am":true,"a":1}"#, r#"{"a":1}"#),
        ("hard to spell", r#"{"a\u0022b\\n":true,"":0,"a":1}"#, r#"{"a":1}"#),
    ] {
        assert_eq!(left(text), print(expected), "{what}");
    }
    for (what, text) in [
        ("inside", r#"{"a":{"stream":true}}"#),
        ("in a list", r#"{"a":[{"stream":true}]}"#),
        ("a value", r#"{"a":"stream"}"#),
        ("longer", r#"{"streams":true}"#),
        ("other case", r#"{"Stream":true}"#),
        ("a line break and no n", r#"{"a\"b\n":true}"#),
    ] {
        assert_eq!(left(text), print(text), "{what}");
        assert_ne!(left(text), print("{}"), "{what}");
        // Left out in both, it could not be missed.
        let other = text.replace("true", "false").replace("stream\"}", "streams\"}");
        assert_ne!(left(text), left(&other), "{what}");
    }
}

#[test]
fn an_object_of_too_many_members_has_no_fingerprint() {
    let text = |count: usize| format!(r#"{{"a":{{{}"":0}}}}"#, r#""":0,"#.repeat(count - 1));
    assert!(of_object(&text(65_535), &[]).is_some());
    assert!(of_object(&text(65_537), &[]).is_none());
}

#[test]
fn what_is_no_object_has_no_fingerprint() {
    for text in [
        "",
        " ",
        "null",
        "1",
        "[]",
        "\"{}\"",
        "{",
        "}",
        "{}}",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":tru}",
        "{\"a\":truex}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.1}",
        "{\"a\":+1}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":NaN}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\0\"}",
        "{'a':1}",
        "{\"a\":1/**/}",
        "{\"a\":\u{a0}1}",
    ] {
        assert_eq!(of_object(text, &[]), None, "{text}");
        assert_eq!(of_object(text, &["a"]), None, "{text} without a");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{{\"a\":{}0{}}}", open.repeat(levels - 1), close.repeat(levels - 1))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(of_object(&nested(open, close, 128), &[]).is_some(), "{open}");
        assert_eq!(of_object(&nested(open, close, 129), &[]), None, "{open}");
        assert_eq!(of_object(&nested(open, close, 1 << 20), &[]), None, "{open}");
    }
}

/// Replicas of different versions read each other's keys: whoever changes one of these changes the domain
/// too.
#[test]
fn the_format_stays_as_it_is() {
    let chat = |text: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}],"temperature":0.70}}"#)
    };
    for (what, found, expected) in [
        (
            "framed, empty",
            Framed::new("").finish(),
            "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc",
        ),
        (
            "framed",
            Framed::new("weir.test.1").field("tenant", b"a").field("", b"").finish(),
            "f921a43cc7b4d06fe5d12c0f5e548a2410cf2474e878c597d926b30aa2f865ca",
        ),
        ("empty", print("{}"), "c0b0771dd0d89d1b7067ca8373c1fabfaaae75adfdefd1a567fe925124419762"),
        (
            "chat",
            print(&chat("Gr\\u00fc\\u00dfe\\n\\ud83d")),
            "d2eb77ff779aee9357dc2ccca9c12931c7523276a926f5905ff5a4af693bc6ea",
        ),
        (
            "longest string unsealed",
            print(&chat(&"x".repeat(1022))),
            "6de17fc810cb7e99d1289f934a9dc9d96bf23ff4d774e3638a7972330f1d742f",
        ),
        (
            "shortest string sealed",
            print(&chat(&"x".repeat(1023))),
            "51a7f2b6850e0f49b6d8327997e3c5e51743c1619883db54d018c0836119ce5b",
        ),
        (
            "sealed object",
            print(&chat(&"x".repeat(1000))),
            "c94b9a138d4a12dd72fa81fb3bc0c5dcf23787007c441f4778fdd070c15471ab",
        ),
        (
            "sealed list",
            print(&format!(r#"{{"input":[{}0]}}"#, "1, ".repeat(600))),
            "311089501b6e29ce3f9b51fd2d18cf6d08921fb696816186d9f74c3f0a8fd836",
        ),
    ] {
        assert_eq!(found.to_hex(), expected, "{what}");
    }
}

#[test]
fn a_fingerprint_is_shown_as_its_digits() {
    let found = print("{}");
    assert_eq!(format!("{found:?}"), format!("Fingerprint({})", found.to_hex()));
    assert_eq!(found.to_hex().len(), 64);
    assert!(found.to_hex().starts_with(&format!("{:02x}{:02x}", found.as_bytes()[0], found.as_bytes()[1])));
}

#[test]
fn a_field_ends_where_its_frame_does() {
    let lists: [&[(&str, &str)]; 9] = [
        &[],
        &[("", "")],
        &[("a", "bc")],
        &[("ab", "c")],
        &[("", "abc")],
        &[("a", "b"), ("c", "")],
        &[("a", "b"), ("", "c")],
        &[("", "c"), ("a", "b")],
        &[("a", "b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\u{1}c")],
    ];
    let mut found: Vec<Fingerprint> =
        ["", "a", "d"].into_iter().flat_map(|domain| lists.map(|list| framed(domain, list))).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 27);
}

fn framed(domain: &str, fields: &[(&str, &str)]) -> Fingerprint {
    let start = Framed::new(domain);
    fields.iter().fold(start, |framed, (name, value)| framed.field(name, value.as_bytes())).finish()
}

proptest! {
    /// Invariant 8, for the fields beside the request: whose it is, and where it goes.
    #[test]
    fn lists_of_fields_are_equal_when_their_fingerprints_are(
        one in proptest::collection::vec(("[ab]{0,2}", "[ab\0]{0,2}"), 0..3),
        other in proptest::collection::vec(("[ab]{0,2}", "[ab\0]{0,2}"), 0..3),
    ) {
        let print = |fields: &[(String, String)]| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            framed("weir.test.1", &fields)
        };
        prop_assert_eq!(print(&one) == print(&other), one == other);
    }

    /// Invariant 8: one request has one fingerprint, however it is spelled.
    #[test]
    fn an_object_has_one_fingerprint_in_all_its_spellings(object in object(), one: u64, other: u64) {
        let (one, other) = (object.render(&mut Dice::new(one)), object.render(&mut Dice::new(other)));
        prop_assert_eq!(print(&one), print(&other), "{} and {}", one, other);
        prop_assert_eq!(print(&one), print(&object.render(&mut Dice::plain())), "{}", one);
    }

    /// Invariant 8: what the reference takes for two requests has two fingerprints, and only that.
    #[test]
    fn fingerprints_are_equal_when_the_objects_are(
        object in object(), place: u64, new in model(), one: u64, other: u64,
    ) {
        let changed = object.changed(place, &new);
        let (one, other) = (object.render(&mut Dice::new(one)), changed.render(&mut Dice::new(other)));
        let equal = object.normal() == changed.normal();
        prop_assert_eq!(print(&one) == print(&other), equal, "{} and {}", one, other);
    }

    /// Invariant 8, byte by byte. Capital digits are left out, for they spell the same escape.
    #[test]
    fn a_byte_that_changes_changes_the_fingerprint(object in object(), at: usize, byte in "[ !#-@G-~\"]") {
        let text = object.render(&mut Dice::plain());
        let at = at % text.len();
        prop_assume!(text.is_char_boundary(at) && text.is_char_boundary(at + 1) && text[at..=at] != byte);
        let changed = format!("{}{byte}{}", &text[..at], &text[at + 1..]);
        prop_assert_ne!(of_object(&changed, &[]), of_object(&text, &[]), "{} and {}", changed, text);
    }

    #[test]
    fn an_object_is_what_the_parser_takes_for_one(
        object in object(), dice: u64, at: usize, new in "[\\[\\]{}:,\"\\\\u0-9.eE+\\-tn \n\0]{0,2}",
    ) {
        let text = object.render(&mut Dice::new(dice));
        let at = at % (text.len() + 1);
        prop_assume!(text.is_char_boundary(at));
        let text = format!("{}{new}{}", &text[..at], text[at..].get(1..).unwrap_or_default());
        let parsed = serde_json::from_str::<&RawValue>(&text);
        let is_object = parsed.is_ok_and(|value| value.get().starts_with('{'));
        prop_assert_eq!(of_object(&text, &[]).is_some(), is_object, "{}", text);
    }

    #[test]
    fn any_text_is_taken(text in ".{0,64}") {
        of_object(&text, &["a"]);
        of_object(&format!("{{{text}}}"), &["a"]);
        of_object(&format!("{{\"a\":\"{text}\"}}"), &["a"]);
    }

    #[test]
    fn a_field_that_is_left_out_is_as_if_it_never_was(object in object(), value in model(), dice: u64) {
        let Model::Object(members) = &object else { unreachable!("an object") };
        let key: Vec<u16> = "stream".encode_utf16().collect();
        let mut more = members.clone();
        more.push((key, value));
        let text = Model::Object(more).render(&mut Dice::new(dice));
        prop_assert_eq!(of_object(&text, &["stream"]), of_object(&object.render(&mut Dice::plain()), &[]));
        prop_assert_ne!(of_object(&text, &[]), of_object(&text, &["stream"]));
    }
}

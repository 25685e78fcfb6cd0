//! Documents that no operator means to write: with credentials in the wrong place, too deep, too long, broken.

use proptest::prelude::*;

use super::*;

/// Of a known shape, so it is hidden wherever it is pasted.
const CANARY: &str = "sk-canary-7f3b";

/// Of no shape: it is hidden where a credential is to be expected.
const PLAIN: &str = "canary7f3b";

#[test]
fn a_pasted_credential_is_never_shown() {
    for canary in [CANARY, PLAIN] {
        for text in [
            "[upstream.one]\napi_key = \"CANARY\"",
            "[upstream.one]\napi_key = CANARY",
            "[upstream.one]\napi_key = [\"CANARY\"]",
            "[upstream.one]\napi_key = { env = \"CANARY-x\" }",
            "[upstream.one]\napi_key = { env = [\"CANARY\"] }",
            "[upstream.one]\napi_key = { value = \"CANARY\" }",
            "[upstream.one]\ndialect = \"openai\"\nbase_url = \"https://user:CANARY@host/v1\"",
            "[upstream.one]\ndialect = \"openai\"\nbase_url = \"https://host/v1?key=CANARY\"",
            "[upstream.one]\ndialect = \"openai\"\nbase_url = \"CANARY\"",
            "[upstream.one]\ndialect = \"openai\"\nbase_url = { env = \"SET\" }",
            "[key.a]\nhash = \"CANARY\"",
            "[key.a]\nhash = \"sha256:CANARY\"",
            "[key.a]\nhash = CANARY",
            "[admin]\nhash = \"CANARY\"",
            "[admin]\nhash = \"sha256:CANARY\"",
            "admin = \"CANARY\"",
            "[admin]\nkey = \"CANARY\"",
            "key = \"CANARY\"",
            "key = [\"CANARY\"]",
            "[key]\na = \"CANARY\"",
            "listen = \"CANARY\"",
            "[store]\nkind = \"redis\"\nurl = \"redis://:CANARY@host\"",
            "[store]\nurl = \"CANARY\"",
            "server = { max_body = \"CANARY\", grace = \"CANARY\" }",
            "server = { concurrency = \"CANARY\", idempotency = \"CANARY\" }",
            "server = { concurrency = { limit = \"CANARY\", wait = \"CANARY\" } }",
            "[store]\ncache = \"CANARY\"\nlocal_share = \"CANARY\"",
            "[[route]]\ncache = \"CANARY\"",
            "[[route]]\ncache = { ttl = \"CANARY\", max_temperature = \"CANARY\" }",
        ] {
            never_shows(canary, &text.replace("CANARY", canary));
        }
    }
    for text in [
        "auth = \"CANARY\"",
        "CANARY = 1",
        "[key.CANARY]\nhash = 5",
        "[upstream.CANARY]\ndialect = \"CANARY\"",
        "[upstream.one]\nCANARY = 1",
        "[upstream.one]\napi_key = { env = \"CANARY\" }",
        "[upstream.one]\napi_key = { file = \"CANARY\" }",
        "[upstream.one]\napi_key = { CANARY = 1 }",
        "[[route]]\nmodel = \"a\"\nto = [\"CANARY\"]",
        "[[route]]\nmodel = \"a\"\nto = [{ upstream = \"CANARY\", CANARY = 1 }]",
        "[alias]\n\"CANARY\" = \"CANARY\"",
        "[alias]\nx = \"CANARY\"",
        "passthrough = \"CANARY\"",
        "[[route]]\ncache = { scope = \"CANARY\", CANARY = 1 }",
        "[server.concurrency]\nCANARY = 1",
        "[key.a]\npriority = \"CANARY\"",
        "[admin]\nCANARY = 1",
    ] {
        never_shows(CANARY, &text.replace("CANARY", CANARY));
    }
}

fn never_shows(canary: &str, text: &str) {
    let here = Here { env: BTreeMap::from([("SET", "https://user:canary7f3b@host")]), ..Here::default() };
    let tree = ::toml::from_str::<serde_json::Value>(text).map(|tree| tree.to_string());
    let json = tree.as_deref().unwrap_or("{}");
    for document in [toml(text), Document { name: "weir.json", text: json, format: Format::Json }] {
        let faults = Config::load(&document, &here).unwrap_err();
        for said in [faults.to_string(), format!("{faults:?}"), format!("{document:?}")] {
            assert!(!said.contains(canary), "{text}\n{said}");
        }
    }
}

#[test]
fn a_credential_that_was_found_is_never_shown() {
    let text = format!("{LEAST}[upstream.one.api_key]\nenv = \"KEY\"\n");
    for value in ["canary7f3b", "canary7f3b\nx", "canary7f3b \u{e9}"] {
        let here = Here { env: BTreeMap::from([("KEY", value)]), ..Here::default() };
        let loaded = Config::load(&toml(&text), &here).unwrap();
        assert!(!format!("{loaded:?}").contains(PLAIN), "{value}");
    }
}

#[test]
fn nesting_has_a_bound_and_the_stack_holds() {
    let dotted = ["a"; 79].join(".");
    let nested =
        |levels: usize| format!("{}a = 1{}", format!("{dotted} = {{ ").repeat(levels), "}".repeat(levels));
    for (label, text) in [
        ("dotted keys in tables in tables", nested(78)),
        ("as many as are parsed", format!("[{dotted}]\n{}", nested(8))),
        ("the same key twice", format!("{}\n{}", nested(8), nested(8))),
        ("lists", format!("a = {}", "[".repeat(500_000))),
        ("lists at the top", "[".repeat(500_000)),
        ("tables", format!("a = {}", "{a=".repeat(300_000))),
        ("one dotted key", format!("{} = 1", vec!["a"; 300_000].join("."))),
    ] {
        assert!(load(&text).is_err(), "{label}");
    }
    for text in
        ["[".repeat(500_000), "{\"a\":".repeat(200_000), format!("{}{}", "[".repeat(40), "]".repeat(40))]
    {
        let document = Document { name: "d", text: &text, format: Format::Json };
        assert!(Config::load(&document, &Here::default()).is_err());
    }
}

#[test]
fn a_document_of_more_than_a_mebibyte_is_refused() {
    let longest = format!("{LEAST}#{}", "x".repeat((1 << 20) - LEAST.len() - 1));
    assert!(load(&longest).is_ok());
    assert_eq!(load(&format!("{longest}x")).unwrap_err().to_string(), "weir.toml:1: longer than 1 MiB");
}

#[test]
fn the_hundredth_fault_is_the_last() {
    let many = (0..5_000).map(|n| format!("x{n} = 1\n")).collect::<Vec<_>>().concat();
    let faults = load(&many).unwrap_err();
    assert_eq!(faults.iter().count(), 101);
    assert!(faults.to_string().ends_with("100 faults or more; the rest is not told"), "{faults}");
    let many = (0..5_000).map(|n| format!("[key.x{n}]\n")).collect::<Vec<_>>().concat();
    assert_eq!(load(&many).unwrap_err().iter().count(), 101);
}

#[test]
fn long_chains_of_aliases_are_followed_in_time() {
    let chain = (0..20_000).map(|n| format!("a{n} = \"a{}\"\n", n + 1)).collect::<Vec<_>>().concat();
    let config = load(&format!("{LEAST}[alias]\n{chain}")).unwrap().config;
    assert!(config.aliases.values().all(|model| model == "a20000"));
    let cycle = load(&format!("{LEAST}[alias]\n{chain}a20000 = \"a0\"")).unwrap_err();
    assert_eq!(cycle.iter().count(), 1, "{cycle}");
}

/// What a bad edit puts into a document.
fn scrap() -> impl Strategy<Value = String> {
    let words = [
        "", "[", "]", "{", "}", "\"", "'", "\"\"\"", "#", "\n", "=", ".", ",", "-1", "1.5", "null", "\0", "é",
    ];
    prop_oneof![proptest::sample::select(words.to_vec()).prop_map(String::from), "[a-z_]{1,8}", ".{0,8}"]
}

fn load_as_both(text: &str) {
    for format in [Format::Toml, Format::Json] {
        let document = Document { name: "d", text, format };
        let lines = text.split('\n').count();
        if let Err(faults) = Config::load(&document, &Here::default()) {
            assert!(faults.iter().count() > 0);
            assert!(faults.iter().all(|fault| fault.line.is_none_or(|line| (1..=lines).contains(&line))));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        load_as_both(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_edit_of_the_example_panics(
        is_json in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, scrap()), 1..4),
    ) {
        let mut text = EXAMPLE.to_owned();
        if is_json {
            text = ::toml::from_str::<serde_json::Value>(EXAMPLE).unwrap().to_string();
        }
        for (at, length, scrap) in edits {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &scrap);
        }
        load_as_both(&text);
    }
}

//! What a document says of calls that leave something to the gateway.

use super::*;
use crate::dialect::defaults::{InChat, Longest};

const NOTHING: Defaults = Defaults { longest: None, temperature: None };

fn longest(tokens: u64) -> Longest {
    Longest { tokens, in_chat: InChat::MaxTokens }
}

#[test]
fn a_route_has_its_own_defaults_or_those_of_the_gateway() {
    let both = Defaults { longest: Some(longest(4096)), temperature: Some(700_000) };
    let reasoning = Longest { tokens: 9, in_chat: InChat::MaxCompletionTokens };
    for (gateway, route, expected) in [
        ("", "", NOTHING),
        ("max_tokens = 4096\ntemperature = 0.7", "", both),
        ("max_tokens = 4096", "", Defaults { longest: Some(longest(4096)), ..NOTHING }),
        ("temperature = 2", "", Defaults { temperature: Some(2_000_000), ..NOTHING }),
        ("temperature = 0", "", Defaults { temperature: Some(0), ..NOTHING }),
        ("max_tokens = 10000000", "", Defaults { longest: Some(longest(10_000_000)), ..NOTHING }),
        ("", "defaults = { max_tokens = 4096, temperature = 0.7 }", both),
        ("max_tokens = 1\ntemperature = 1", "defaults = {}", NOTHING),
        (
            "max_tokens = 1\ntemperature = 1",
            "defaults = { max_completion_tokens = 9 }",
            Defaults { longest: Some(reasoning), ..NOTHING },
        ),
    ] {
        let text = format!("{LEAST}{route}\n[defaults]\n{gateway}");
        let Loaded { config, warnings } = load(&text).unwrap();
        assert_eq!(apart_from_the_list(warnings), []);
        assert_eq!(config.routes[0].defaults, expected, "{gateway} {route}");
    }
}

#[test]
fn a_default_may_stand_in_the_environment() {
    let text = format!(
        "{LEAST}[defaults]\nmax_tokens = {{ env = \"MAX_TOKENS\", default = 4096 }}\n\
         temperature = {{ env = \"TEMPERATURE\", default = 0.7 }}"
    );
    for (env, tokens, temperature) in [
        (&[][..], 4096, 700_000),
        (&[("MAX_TOKENS", ""), ("TEMPERATURE", "")], 4096, 700_000),
        (&[("MAX_TOKENS", "512"), ("TEMPERATURE", "0.2")], 512, 200_000),
        (&[("TEMPERATURE", "1")], 4096, 1_000_000),
    ] {
        let here = Here { env: env.iter().copied().collect(), ..Here::default() };
        let defaults = Config::load(&toml(&text), &here).unwrap().config.routes[0].defaults;
        let expected = Defaults { longest: Some(longest(tokens)), temperature: Some(temperature) };
        assert_eq!(defaults, expected, "{env:?}");
    }
}

#[test]
fn a_variable_that_holds_no_number_is_a_fault_and_is_not_shown() {
    let text = format!(
        "{LEAST}[defaults]\nmax_tokens = {{ env = \"MAX_TOKENS\" }}\n\
         temperature = {{ env = \"TEMPERATURE\", default = 0.7 }}"
    );
    let unset = "weir.toml:10: defaults.max_tokens: the variable \"MAX_TOKENS\" is not set, and there is no \
                 default; set it, or add a default";
    let tokens = "weir.toml:10: defaults.max_tokens: ";
    let temperature = "weir.toml:11: defaults.temperature: ";
    for (env, expected) in [
        (&[][..], vec![unset.to_owned()]),
        (
            &[("MAX_TOKENS", "CANARY"), ("TEMPERATURE", "CANARY")],
            vec![
                format!("{tokens}the variable \"MAX_TOKENS\" holds no number"),
                format!("{temperature}the variable \"TEMPERATURE\" holds no number"),
            ],
        ),
        (
            &[("MAX_TOKENS", "0.5"), ("TEMPERATURE", "inf")],
            vec![
                format!("{tokens}must be a whole number, 1 to 10000000"),
                format!("{temperature}must be 0 to 2, with at most six decimals"),
            ],
        ),
    ] {
        let here = Here { env: env.iter().copied().collect(), ..Here::default() };
        let faults = Config::load(&toml(&text), &here).unwrap_err();
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected, "{env:?}");
    }
}

#[test]
fn defaults_mean_the_same_in_json() {
    let text = r#"{"auth":"open","upstream":{"s":{"dialect":"simulated"}},
        "defaults":{"max_tokens":{"env":"MAX_TOKENS","default":8},"temperature":7e-1},
        "route":[{"model":"*","to":["s"]}]}"#;
    let document = Document { name: "weir.json", text, format: Format::Json };
    let config = Config::load(&document, &Here::default()).unwrap().config;
    assert_eq!(config.routes[0].defaults, Defaults { longest: Some(longest(8)), temperature: Some(700_000) });
}

#[test]
fn what_is_wrong_with_defaults_is_told() {
    let gateway = |text: &str| format!("{LEAST}[defaults]\n{text}");
    let route = |text: &str| format!("{LEAST}defaults = {text}");
    for (text, expected) in [
        (gateway("max_tokens = 0"), "10: defaults.max_tokens: must be a whole number, 1 to 10000000"),
        (
            gateway("max_completion_tokens = 0"),
            "10: defaults.max_completion_tokens: must be a whole number, 1 to 10000000",
        ),
        (gateway("max_tokens = 10000001"), "10: defaults.max_tokens: must be a whole number, 1 to 10000000"),
        (
            gateway("max_tokens = -1"),
            "10: defaults.max_tokens: expected a number or { env = \"NAME\" }, found a number below zero",
        ),
        (gateway("max_tokens = 1.5"), "10: defaults.max_tokens: must be a whole number, 1 to 10000000"),
        (
            gateway("max_tokens = \"4096\""),
            "10: defaults.max_tokens: expected a number or { env = \"NAME\" }, found a text",
        ),
        (gateway("temperature = 2.1"), "10: defaults.temperature: must be 0 to 2, with at most six decimals"),
        (
            gateway("temperature = 9000000000000000000"),
            "10: defaults.temperature: must be 0 to 2, with at most six decimals",
        ),
        (
            gateway("temperature = \"0.7\""),
            "10: defaults.temperature: expected a number or { env = \"NAME\" }, found a text",
        ),
        (
            gateway("max_token = 1"),
            "10: defaults.max_token: unknown key \"max_token\"; did you mean \"max_tokens\"?",
        ),
        (
            gateway("temperature = { env = \"NO NAME\", default = 1 }"),
            "10: defaults.temperature.env: not the name of an environment variable",
        ),
        (gateway("temperature = { default = 1 }"), "10: defaults.temperature.env: missing"),
        (
            gateway("temperature = { env = \"T\", default = \"1\" }"),
            "10: defaults.temperature.default: expected a number, found a text",
        ),
        (
            route("{ max_tokens = 0, temperature = 3 }"),
            "9: route[0].defaults.max_tokens: must be|9: route[0].defaults.temperature: must be",
        ),
        (
            route("{ max_tokens = 1, max_completion_tokens = 1 }"),
            "9: route[0].defaults.max_tokens: says the same as max_completion_tokens; one of them is enough",
        ),
        (route("4096"), "9: route[0].defaults: expected a table, found a number"),
    ] {
        tells(&text, expected);
    }
}

#[test]
fn a_default_that_no_limit_has_room_for_is_told() {
    let refused = |room: u32| {
        format!(
            "weir.toml:6: route[0]: calls that name no longest answer are given 4096 tokens, and a limit on tokens \
             has room for {room}: they are refused; lower the default, or raise the limit"
        )
    };
    let key = format!("hash = \"{}\"", KeyHash::of("sk-weir-1").to_text());
    for (route, tables, expected) in [
        ("", "[limits.default]\ntokens = \"4097/min\"", None),
        ("", "[limits.default]\ntokens = \"1000000/h, 4096/s\"", Some(4096)),
        ("limits = { tokens = \"7/min\" }", "[limits.default]\ntokens = \"4000/min\"", Some(7)),
        ("", &format!("[key.a]\n{key}\nlimits = {{ tokens = \"9/min\" }}"), Some(9)),
        ("defaults = {}", "[limits.default]\ntokens = \"1/min\"", None),
        ("defaults = { temperature = 1 }", "[limits.default]\ntokens = \"1/min\"", None),
    ] {
        let text = format!("{LEAST}{route}\n[defaults]\nmax_tokens = 4096\n{tables}");
        let warnings = apart_from_the_list(load(&text).unwrap().warnings);
        let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected.map(refused).into_iter().collect::<Vec<_>>(), "{route} {tables}");
    }
}

//! What a document says of answers that are kept.

use super::*;
use crate::cache::{Policy, Sharing};

fn cache(text: &str) -> Option<Policy> {
    let text = LEAST.replace("[\"one\"]", &format!("[\"one\"]\ncache = {text}"));
    let Loaded { config, warnings } = load(&text).unwrap();
    assert_eq!(warnings, []);
    config.routes[0].cache
}

#[test]
fn a_cache_is_on_off_or_a_table() {
    let default = Policy::default();
    for (text, expected) in [
        ("true", Some(default)),
        ("false", None),
        ("{}", Some(default)),
        ("{ ttl = \"720h\" }", Some(Policy { ttl: Duration::from_hours(720), ..default })),
        (
            "{ ttl = \"1m\", scope = \"shared\", max_temperature = 0.3, stale_while_revalidate = \"30s\", \
             stale_if_error = \"1h\", coalesce = false, max_entry = \"64MiB\" }",
            Some(Policy {
                ttl: Duration::from_mins(1),
                scope: Sharing::Shared,
                max_temperature: Some(300_000),
                stale_while_revalidate: Duration::from_secs(30),
                stale_if_error: Duration::from_hours(1),
                coalesce: false,
                max_entry: 64 << 20,
            }),
        ),
        ("{ max_temperature = 0 }", Some(Policy { max_temperature: Some(0), ..default })),
        ("{ max_temperature = 2.0 }", Some(Policy { max_temperature: Some(2_000_000), ..default })),
    ] {
        assert_eq!(cache(text), expected, "{text}");
    }
}

#[test]
fn a_temperature_means_the_same_in_json() {
    for (number, expected) in [("0.3", 300_000), ("3e-1", 300_000), ("0.000001", 1), ("1", 1_000_000)] {
        let text = format!(
            r#"{{"auth":"open","upstream":{{"s":{{"dialect":"simulated"}}}},
            "route":[{{"model":"*","to":["s"],"cache":{{"max_temperature":{number}}}}}]}}"#
        );
        let document = Document { name: "weir.json", text: &text, format: Format::Json };
        let config = Config::load(&document, &Here::default()).unwrap().config;
        assert_eq!(config.routes[0].cache.unwrap().max_temperature, Some(expected), "{number}");
    }
}

#[test]
fn a_store_has_room_for_its_answers() {
    let default = Store::default();
    for (text, expected, max_entry) in [
        ("", default, 4 << 20),
        ("kind = \"embedded\"", default, 4 << 20),
        ("cache = \"64GiB\"", Store { cache: 64 << 30, ..default }, 4 << 20),
        ("cache = \"1KiB\"", Store { cache: 1024, ..default }, 1024),
        ("cache = \"0\"", Store { cache: 0, ..default }, 4 << 20),
        ("cache = 0", Store { cache: 0, ..default }, 4 << 20),
        ("local_share = \"100%\"", Store { local_share: 1_000_000, ..default }, 4 << 20),
        ("local_share = \"0.0001%\"", Store { local_share: 1, ..default }, 4 << 20),
    ] {
        let text = LEAST.replace("[\"one\"]", "[\"one\"]\ncache = true") + "[store]\n" + text;
        let config = load(&text).unwrap().config;
        assert_eq!(config.store, expected, "{text}");
        assert_eq!(config.routes[0].cache.unwrap().max_entry, max_entry, "{text}");
    }
}

#[test]
fn tenants_are_warned_of_a_cache_they_share() {
    let key = |name: &str, tenant: &str| {
        let hash = name.repeat(64);
        format!("[key.{name}]\nhash = \"sha256:{hash}\"\ntenant = \"{tenant}\"\n")
    };
    let two = key("a", "x") + &key("b", "y");
    for (label, auth, scope, keys, expected) in [
        ("two tenants", "keys", "shared", two.clone(), 1),
        ("two keys of one tenant", "keys", "shared", key("a", "x") + &key("b", "x"), 0),
        ("a cache for each", "keys", "tenant", two.clone(), 0),
        ("nobody shows a key", "open", "shared", two, 0),
    ] {
        let text = LEAST
            .replace("\"open\"", &format!("\"{auth}\""))
            .replace("[\"one\"]", &format!("[\"one\"]\ncache = {{ scope = \"{scope}\" }}"));
        let warnings = load(&(text + &keys)).unwrap().warnings;
        assert_eq!(warnings.len(), expected, "{label}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.line == Some(9)), "{label}: {warnings:?}");
    }
}

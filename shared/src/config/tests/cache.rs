//! What a document says of answers that are kept.

use super::*;
use crate::cache::{Place, Policy, Sharing};

fn cache(text: &str) -> Option<Policy> {
    let text = LEAST.replace("[\"one\"]", &format!("[\"one\"]\ncache = {text}"));
    let Loaded { config, warnings } = load(&text).unwrap();
    assert_eq!(apart_from_the_list(warnings), []);
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
             stale_if_error = \"1h\", coalesce = false, max_entry = \"64MiB\", place = \"kv\" }",
            Some(Policy {
                ttl: Duration::from_mins(1),
                scope: Sharing::Shared,
                max_temperature: Some(300_000),
                stale_while_revalidate: Duration::from_secs(30),
                stale_if_error: Duration::from_hours(1),
                coalesce: false,
                max_entry: 64 << 20,
                place: Place::Kv,
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
    let default = Store::default;
    for (text, expected, max_entry) in [
        ("", default(), 4 << 20),
        ("kind = \"embedded\"", default(), 4 << 20),
        ("cache = \"64GiB\"", Store { cache: 64 << 30, ..default() }, 4 << 20),
        ("cache = \"1KiB\"", Store { cache: 1024, ..default() }, 1024),
        ("cache = \"0\"", Store { cache: 0, ..default() }, 4 << 20),
        ("cache = 0", Store { cache: 0, ..default() }, 4 << 20),
        ("local_share = \"100%\"", Store { local_share: 1_000_000, ..default() }, 4 << 20),
        ("local_share = \"0.0001%\"", Store { local_share: 1, ..default() }, 4 << 20),
    ] {
        let text = LEAST.replace("[\"one\"]", "[\"one\"]\ncache = true") + "[store]\n" + text;
        let config = load(&text).unwrap().config;
        assert_eq!(config.store, expected, "{text}");
        assert_eq!(config.routes[0].cache.unwrap().max_entry, max_entry, "{text}");
    }
}

#[test]
fn a_redis_is_reached_as_the_environment_says() {
    let secret = "rediss://weir:CANARY@redis.internal:6380/2";
    let surroundings = Here { env: BTreeMap::from([("REDIS_URL", secret)]), ..Here::default() };
    let text = format!(
        "{LEAST}[store]\nkind = \"redis\"\nurl = {{ env = \"REDIS_URL\" }}\n\
         namespace = \"blue\"\ntimeout = \"100ms\""
    );
    let Loaded { config, warnings } = Config::load(&toml(&text), &surroundings).unwrap();
    assert_eq!(apart_from_the_list(warnings), []);
    let StoreKind::Redis(redis) = &config.store.kind else { panic!("{:?}", config.store) };
    let expected = Redis {
        host: "redis.internal".into(),
        port: 6380,
        transport: Transport::Tls,
        user: Some("weir".into()),
        password: Some(Secret::new("CANARY")),
        database: 2,
        namespace: "blue".into(),
        timeout: Duration::from_millis(100),
    };
    assert_eq!(*redis, expected);
    assert!(!format!("{config:?}").contains("CANARY"));
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
        let warnings = apart_from_the_list(load(&(text + &keys)).unwrap().warnings);
        assert_eq!(warnings.len(), expected, "{label}: {warnings:?}");
        assert!(warnings.iter().all(|warning| warning.line == Some(9)), "{label}: {warnings:?}");
    }
}

#[test]
fn faults_of_stores_and_caches_are_told() {
    let store = |text: &str| format!("{LEAST}[store]\n{text}");
    let cache = |text: &str| LEAST.replace("[\"one\"]", &format!("[\"one\"]\ncache = {text}"));
    for (text, expected) in [
        (store("cache = \"65GiB\""), "10: store.cache: must be at most 64GiB"),
        (store("cache = \"1\""), "10: store.cache: not a size"),
        (
            store("cache = true"),
            "10: store.cache: expected a size such as \"32MiB\", or a number of bytes, found",
        ),
        (store("cach = 0"), "10: store.cach: unknown key \"cach\"; did you mean \"cache\"?"),
        (store("local_share = \"0%\""), "10: store.local_share: must be more than 0%"),
        (store("local_share = \"101%\""), "10: store.local_share: not a share"),
        (
            cache("\"5m\""),
            "9: route[0].cache: expected true, false or a table such as { ttl = \"5m\" }, found a text",
        ),
        (
            cache("5"),
            "9: route[0].cache: expected true, false or a table such as { ttl = \"5m\" }, found a number",
        ),
        (
            cache("[]"),
            "9: route[0].cache: expected true, false or a table such as { ttl = \"5m\" }, found a list",
        ),
        (cache("{ tll = \"5m\" }"), "9: route[0].cache.tll: unknown key \"tll\"; did you mean \"ttl\"?"),
        (cache("{ ttl = \"0s\" }"), "9: route[0].cache.ttl: must be longer than nothing"),
        (cache("{ ttl = \"721h\" }"), "9: route[0].cache.ttl: longer than 30 days; write at most \"720h\""),
        (cache("{ ttl = 5 }"), "9: route[0].cache.ttl: expected a duration"),
        (
            cache("{ scope = \"tennant\" }"),
            "9: route[0].cache.scope: unknown scope \"tennant\"; did you mean \"tenant\"?",
        ),
        (
            cache("{ stale_while_revalidate = \"721h\" }"),
            "9: route[0].cache.stale_while_revalidate: longer than 30 days",
        ),
        (cache("{ stale_if_error = \"721h\" }"), "9: route[0].cache.stale_if_error: longer than 30 days"),
        (cache("{ coalesce = 1 }"), "9: route[0].cache.coalesce: expected true or false, found a number"),
        (
            cache("{ max_entry = 0 }"),
            "9: route[0].cache.max_entry: must be at least 1 byte and at most 64MiB",
        ),
        (cache("{ max_entry = \"65MiB\" }"), "9: route[0].cache.max_entry: must be at least 1 byte"),
        (
            cache("{ max_entry = \"2KiB\" }") + "[store]\ncache = \"1KiB\"",
            "9: route[0].cache.max_entry: more than all answers together may have, which is 1024 bytes",
        ),
        (cache("{ max_temperature = 3 }"), "9: route[0].cache.max_temperature: must be 0 to 2"),
        (cache("{ max_temperature = -0.1 }"), "9: route[0].cache.max_temperature: must be 0 to 2"),
        (cache("{ max_temperature = -1 }"), "9: route[0].cache.max_temperature: must be 0 to 2"),
        (
            cache("{ max_temperature = 0.3000001 }"),
            "9: route[0].cache.max_temperature: must be 0 to 2, with at most six decimals",
        ),
        (
            cache("{ max_temperature = \"0.3\" }"),
            "9: route[0].cache.max_temperature: expected a number, found a text",
        ),
        (
            cache(
                "{ ttl = \"0s\", stale_if_error = \"721h\", max_temperature = 9, max_entry = 0, copy = 1 }",
            ),
            "9: route[0].cache.copy: unknown key|9: route[0].cache.ttl: must be|\
             9: route[0].cache.stale_if_error: longer|9: route[0].cache.max_temperature: must be|\
             9: route[0].cache.max_entry: must be",
        ),
    ] {
        tells(&text, expected);
    }
}

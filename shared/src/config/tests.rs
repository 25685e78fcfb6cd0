//! What a document means. What is said of a wrong one, and of a hostile one, is in the files below.

mod cache;
mod connection;
mod defaults;
mod faults;
mod hostile;
mod overload;

use std::collections::BTreeMap;

use super::*;
use crate::dialect::defaults::{Defaults, InChat, Longest};
use crate::dialect::endpoint::{PassedPath, PathPattern};
use crate::dialect::model_pattern::Pattern;
use crate::identity::caller::{Caller, KeyHash};
use crate::ledger::failure::Condition;
use crate::limits::OnStoreLoss;
use crate::limits::concurrency::{Bound, Priority};
use crate::limits::rate::Rate;
use crate::routing::breaker;
use crate::routing::passthrough::{PassthroughRule, Unlisted};
use crate::routing::retry::Retry;
use crate::routing::route::{OnDisconnect, Pick, Sticky, Target};
use crate::routing::upstream::{Credential, Dialect, Terminator, Timeouts};

const DEFAULT: &str = include_str!("../../../devserver/default.toml");
const EXAMPLE: &str = include_str!("../../../devserver/weir.example.toml");

/// The least that holds; what is put in front must be top-level keys, what is put behind tables.
const LEAST: &str = r#"
auth = "open"
[upstream.one]
dialect = "openai"
base_url = "https://one.example/v1"
[[route]]
model = "*"
to = ["one"]
"#;

/// Warnings but for that of an empty list of models, which documents of few lines have.
fn apart_from_the_list(warnings: Vec<Fault>) -> Vec<Fault> {
    warnings.into_iter().filter(|warning| !warning.problem.starts_with("GET /v1/models")).collect()
}

#[test]
fn the_default_document_holds_without_a_warning() {
    let loaded = load(DEFAULT).unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.auth, Auth::Open { on_any_address: false });
    let models: Vec<_> = config.routes.iter().map(|route| route.pattern.as_str()).collect();
    assert_eq!(models, ["sim-embedding", "sim-fallback", "sim-cached", "sim*"]);
    assert_eq!(config.aliases["gpt-4o"], "sim");
    assert_eq!(config.upstreams[0].base_url, "http://127.0.0.1:9/v1");
    let [opened] = config.passthrough.rules.as_slice() else { panic!("{:?}", config.passthrough) };
    assert_eq!((opened.upstream, opened.paths.len()), (UpstreamId(0), 0));
    assert_eq!(config.upstreams[0].tenant.as_deref(), Some("default"), "it is nobody else's");
}

#[test]
fn the_example_holds_and_says_which_keys_are_missing() {
    let loaded = load(EXAMPLE).unwrap();
    let told: Vec<_> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    let expected =
        ["holysheep", "openai", "azure", "deepseek"].map(|name| format!("upstream.{name}.api_key"));
    assert_eq!(told, expected);
    let holysheep = upstream(&loaded.config, "holysheep");
    assert_eq!(holysheep.base_url, "https://api.holysheep.ai/v1");
}

#[test]
fn the_least_document_gets_the_defaults() {
    let config = load(LEAST).unwrap().config;
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.public, Public { explain: true, metrics: true, ready: true });
    assert_eq!(config.passthrough, Passthrough::default(), "nothing is opened that is not written");
    let seconds = Duration::from_secs;
    let server = Server {
        max_body: 32 << 20,
        max_buffered: 256 << 20,
        min_upload_rate: 1024,
        max_depth: 64,
        max_n: 128,
        header_timeout: seconds(10),
        keep_alive: seconds(75),
        body_timeout: seconds(30),
        grace: seconds(30),
        workers: 0,
        trusted_proxies: 0,
        max_connections: 10_000,
        max_connections_per_address: 1000,
        concurrency: Some(Concurrency { bound: Bound::Fixed(10_000), queue: 1000, wait: seconds(5) }),
        idempotency: Duration::from_hours(24),
        max_event: 32 << 20,
        cors: None,
        websocket: WebSocket { total: Duration::from_hours(1), idle: Duration::from_mins(10) },
    };
    assert_eq!(config.server, server);
    assert_eq!(config.upstreams[0].concurrency, None);
    let timeouts = Timeouts {
        connect: seconds(5),
        first_byte: seconds(120),
        whole: seconds(600),
        idle: seconds(60),
        total: seconds(600),
    };
    assert_eq!(config.upstreams[0].timeouts, timeouts);
    let route = Route {
        pattern: Pattern::new("*"),
        to: vec![Target { upstream: UpstreamId(0), model: None, weight: 1 }],
        fallback: vec![],
        fallback_on: vec![
            Condition::Connect,
            Condition::Timeout,
            Condition::RateLimit,
            Condition::ServerError,
            Condition::Credentials,
            Condition::Quota,
            Condition::BadAnswer,
        ],
        pick: Pick::Weighted,
        sticky: Sticky::Nothing,
        on_disconnect: OnDisconnect::Cancel,
        retry: Retry { attempts: 3, backoff: Duration::from_millis(100), max_wait: seconds(5) },
        advertise: vec![],
        defaults: Defaults::default(),
        limits: Limits::default(),
        breaker: None,
        cache: None,
        hold_back: Duration::from_secs(5),
        keep_alive: Some(Duration::from_secs(15)),
    };
    assert_eq!(config.routes, [route]);
    let requests = vec![Rate { count: 1000, per: Duration::from_mins(1) }];
    assert_eq!(config.limits, Limits { requests, ..Limits::default() });
}

#[test]
#[expect(clippy::too_many_lines, reason = "one document with every setting, and what comes of each")]
fn every_setting_arrives() {
    let text = r#"
        listen = "0.0.0.0:80"
        auth = "open"
        open_on_any_address = true
        public = []
        passthrough = "two"
        server = { cors = { origins = ["http://localhost:*"] }, websocket = { total = "24h", idle = "1s" }, max_body = 1000, max_buffered = "1MiB", min_upload_rate = 0, max_depth = 8, max_n = 2, header_timeout = "1s", keep_alive = "9s", body_timeout = "2m",
            grace = "0s", workers = 4, trusted_proxies = 1, max_connections = 5000, max_connections_per_address = 50, concurrency = "unlimited", idempotency = "168h",
            max_event = "64MiB" }
        [upstream.one]
        dialect = "azure"
        base_url = { env = "BASE", default = "https://default.example" }
        api_version = "2024-10-21"
        api_key = { env = "KEY" }
        timeout = { connect = "250ms", first_byte = "2s", idle = "3s", total = "1h" }
        [upstream.two]
        dialect = "openai"
        base_url = "https://two.example/"
        api_key = { file = "/run/key" }
        include_usage = false
        terminator = "optional"
        tenant = "default"
        [[route]]
        model = "a*"
        to = ["two", { upstream = "one", model = "b", weight = 7 }]
        fallback = ["one"]
        fallback_on = ["timeout", "connect", "timeout"]
        pick = "least-busy"
        sticky = "caller"
        on_disconnect = "finish"
        hold_back = "2s"
        keep_alive = "off"
        retry = { attempts = 1, backoff = "1ms", max_wait = "2ms" }
        advertise = ["abc"]
        defaults = { max_completion_tokens = 512, temperature = 1.5 }
        limits = { concurrent = 9 }
        breaker = { consecutive = 2, failure_rate = "50%" }
        [limits.default]
        requests = "100/s, 1000/min"
        concurrent = 3
        on_store_loss = "closed"
    "#;
    let here = Here {
        env: BTreeMap::from([("BASE", "https://base.example/x/"), ("KEY", "k1")]),
        files: BTreeMap::from([("/run/key", "k2\n")]),
    };
    let Loaded { config, warnings } = Config::load(&toml(text), &here).unwrap();
    assert_eq!(apart_from_the_list(warnings), []);
    assert_eq!(config.listen, "0.0.0.0:80".parse().unwrap());
    assert_eq!(config.auth, Auth::Open { on_any_address: true });
    assert_eq!(config.public, Public::default());
    assert_eq!(config.passthrough.rules[0].upstream, UpstreamId(1));
    assert_eq!(config.upstreams[1].tenant.as_deref(), Some("default"));
    let server = Server {
        max_body: 1000,
        max_buffered: 1 << 20,
        min_upload_rate: 0,
        max_depth: 8,
        max_n: 2,
        header_timeout: Duration::from_secs(1),
        keep_alive: Duration::from_secs(9),
        body_timeout: Duration::from_mins(2),
        grace: Duration::ZERO,
        workers: 4,
        trusted_proxies: 1,
        max_connections: 5000,
        max_connections_per_address: 50,
        concurrency: None,
        idempotency: Duration::from_hours(168),
        max_event: 64 << 20,
        cors: Some(Cors { origins: vec![crate::identity::cors::Origin::AnyPort("http://localhost".into())] }),
        websocket: WebSocket { total: Duration::from_hours(24), idle: Duration::from_secs(1) },
    };
    assert_eq!(config.server, server);
    let (one, two) = (upstream(&config, "one"), upstream(&config, "two"));
    assert_eq!(one.dialect, Dialect::Azure { api_version: "2024-10-21".into() });
    assert_eq!(one.base_url, "https://base.example/x");
    assert!(matches!(&one.credential, Credential::Known(secret) if secret.expose() == "k1"));
    assert!(matches!(&two.credential, Credential::Known(secret) if secret.expose() == "k2"));
    assert_eq!(one.timeouts.connect, Duration::from_millis(250));
    assert!(one.include_usage && !two.include_usage);
    assert_eq!((one.terminator(), two.terminator()), (Terminator::Required, Terminator::Optional));
    let route = Route {
        pattern: Pattern::new("a*"),
        to: vec![
            Target { upstream: UpstreamId(1), model: None, weight: 1 },
            Target { upstream: UpstreamId(0), model: Some("b".into()), weight: 7 },
        ],
        fallback: vec![Target { upstream: UpstreamId(0), model: None, weight: 1 }],
        fallback_on: vec![Condition::Connect, Condition::Timeout],
        pick: Pick::LeastBusy,
        sticky: Sticky::Caller,
        on_disconnect: OnDisconnect::Finish,
        retry: Retry { attempts: 1, backoff: Duration::from_millis(1), max_wait: Duration::from_millis(2) },
        advertise: vec!["abc".into()],
        defaults: Defaults {
            longest: Some(Longest { tokens: 512, in_chat: InChat::MaxCompletionTokens }),
            temperature: Some(1_500_000),
        },
        limits: Limits { concurrent: Some(9), ..Limits::default() },
        breaker: Some(breaker::Policy {
            consecutive: 2,
            failure_rate: Some(500_000),
            ..breaker::Policy::default()
        }),
        cache: None,
        hold_back: Duration::from_secs(2),
        keep_alive: None,
    };
    assert_eq!(config.routes, [route]);
    let rate = |count, seconds| Rate { count, per: Duration::from_secs(seconds) };
    let limits = Limits {
        requests: vec![rate(100, 1), rate(1000, 60)],
        tokens: vec![],
        concurrent: Some(3),
        on_store_loss: OnStoreLoss::Closed,
    };
    assert_eq!(config.limits, limits);
}

#[test]
fn a_key_has_its_own_limits_or_those_of_all() {
    let hash = |digit: &str| format!("hash = \"sha256:{}\"", digit.repeat(64));
    let (a, b) = (hash("a"), hash("b"));
    let text = format!(
        "{LEAST}[limits.default]\ntokens = \"5/s\"\n[key.a]\n{a}\n[key.b]\n{b}\nlimits = {{ requests = \"unlimited\" }}"
    );
    let config = load(&text).unwrap().config;
    let limits: BTreeMap<_, _> = config.keys.callers().map(|c| (c.name.as_str(), c.limits.clone())).collect();
    assert_eq!(limits["a"].tokens, [Rate { count: 5, per: Duration::from_secs(1) }]);
    assert_eq!(limits["b"], Limits::default());
}

#[test]
fn json_and_toml_say_the_same() {
    for text in [DEFAULT, EXAMPLE, LEAST] {
        let tree: serde_json::Value = ::toml::from_str(text).unwrap();
        let json = serde_json::to_string_pretty(&tree).unwrap();
        let json = Document { name: "weir.toml", text: &json, format: Format::Json };
        let from_json = Config::load(&json, &Here::default()).unwrap().config;
        assert_eq!(format!("{from_json:?}"), format!("{:?}", load(text).unwrap().config));
    }
}

#[test]
fn chains_of_aliases_are_followed_to_their_end() {
    let text = format!("{LEAST}[alias]\na = \"b\"\nb = \"c\"\nc = \"gpt-4o\"\nd = \"b\"");
    let aliases = load(&text).unwrap().config.aliases;
    assert!(aliases.values().all(|model| model == "gpt-4o"), "{aliases:?}");
    assert_eq!(aliases.len(), 4);
}

#[test]
fn a_key_belongs_to_a_caller() {
    let hash = KeyHash::of("sk-weir-1").to_text();
    let text = format!("{}[key.team-a]\nhash = \"{hash}\"", LEAST.replace("\"open\"", "\"keys\""));
    let config = load(&text).unwrap().config;
    let caller = config.keys.find("sk-weir-1").unwrap();
    assert_eq!((caller.name.as_str(), caller.tenant.as_str()), ("team-a", "team-a"));
    assert!(caller.may_call("anything", "anything"));
}

#[test]
fn a_key_has_the_priority_it_is_given_or_a_normal_one() {
    for (text, expected) in [
        ("", Priority::Normal),
        ("priority = \"low\"", Priority::Low),
        ("priority = \"normal\"", Priority::Normal),
        ("priority = \"high\"", Priority::High),
    ] {
        let text = format!("{LEAST}[key.a]\nhash = \"{}\"\n{text}", KeyHash::of("sk-weir-1").to_text());
        let keys = load(&text).unwrap().config.keys;
        assert_eq!(keys.find("sk-weir-1").unwrap().priority, expected, "{text}");
    }
}

#[test]
fn the_admin_has_a_key_of_its_own_or_there_is_none() {
    assert_eq!(load(LEAST).unwrap().config.admin, Admin::default());
    let (admin, caller) = (KeyHash::of("sk-weir-1"), KeyHash::of("sk-weir-2"));
    let text =
        format!("{LEAST}[admin]\nhash = \"{}\"\n[key.a]\nhash = \"{}\"", admin.to_text(), caller.to_text());
    let config = load(&text).unwrap().config;
    assert_eq!(config.admin, Admin { hash: Some(admin), listen: None });
    assert!(config.keys.find("sk-weir-1").is_none());
}

#[test]
fn passthrough_is_an_upstream_or_tables_that_say_more() {
    let named = load(&format!("passthrough = \"one\"\n{LEAST}")).unwrap().config.passthrough;
    let rule = |paths: &[&str]| PassthroughRule {
        upstream: UpstreamId(0),
        paths: paths.iter().map(|path| PathPattern::parse(path).unwrap()).collect(),
        methods: Vec::new(),
        models: None,
        owners: None,
    };
    assert_eq!(named, Passthrough::new(vec![rule(&[])]));
    let table = "passthrough = { upstream = \"one\", paths = [\"/v1/rerank\", \"x/**\"], methods = [\"GET\"], \
                 models = [\"m-*\"] }\n";
    let passthrough = load(&(table.to_owned() + LEAST)).unwrap().config.passthrough;
    let paths: Vec<_> = passthrough.paths.iter().map(PathPattern::to_text).collect();
    assert_eq!(paths, ["/v1/rerank", "/v1/x/**"]);
    assert_eq!(passthrough.rules[0].methods, ["GET"]);
    let caller = |models: &[&str]| Caller {
        models: models.iter().copied().map(Pattern::new).collect(),
        ..Caller::anyone(Limits::default())
    };
    for (models, is_admitted) in
        [(&["m-*"][..], true), (&["*"], true), (&["x", "m*"], true), (&["m-1"], false), (&[], false)]
    {
        let rule = &passthrough.rules[0];
        assert_eq!(rule.admits(&caller(models), Unlisted::Nothing), is_admitted, "{models:?}");
    }
    assert!(rule(&[]).admits(&caller(&["m"]), Unlisted::Nothing));
    assert!(!rule(&[]).admits(&caller(&["m"]), Unlisted::AnyModel));
    assert!(rule(&[]).admits(&caller(&["*"]), Unlisted::AnyModel));
    let list =
        "[[passthrough]]\nupstream = \"one\"\npaths = [\"/v1/files\"]\n[[passthrough]]\nupstream = \"one\"\n";
    let listed = load(&(LEAST.to_owned() + list)).unwrap().config.passthrough;
    assert_eq!(listed, Passthrough::new(vec![rule(&["/v1/files"]), rule(&[])]));
}

#[test]
fn a_key_says_what_it_may_use_of_what_is_opened() {
    let text = LEAST.replace("\"open\"", "\"keys\"")
        + "[key.a]\nhash = \"sha256:"
        + &"a".repeat(64)
        + "\"\npassthrough = [\"audio/**\", \"/v1/files/*\"]\n[key.b]\nhash = \"sha256:"
        + &"b".repeat(64)
        + "\"";
    let keys = load(&text).unwrap().config.keys;
    for (name, path, expected) in [
        ("a", "/audio/speech", true),
        ("a", "/audio", true),
        ("a", "/files/f", true),
        ("a", "/files", false),
        ("a", "/files/f/content", false),
        ("b", "/files/f", false),
    ] {
        let caller = keys.callers().find(|caller| caller.name == name).unwrap();
        assert_eq!(caller.may_pass(&PassedPath::of_call(path)), expected, "{name} {path}");
    }
    assert!(Caller::anyone(Limits::default()).may_pass(&PassedPath::of_call("/files")));
}

#[test]
fn tenants_that_share_an_account_through_passthrough_are_told_of() {
    let key = |name: &str, tenant: &str, granted: &str| {
        let hash = name.repeat(64);
        format!("[key.{name}]\nhash = \"sha256:{hash}\"\ntenant = \"{tenant}\"\npassthrough = {granted}\n")
    };
    let own = "https://one.example/v1\"\ntenant = \"t\"";
    for (label, from, to, keys, expected) in [
        (
            "two tenants",
            "",
            "",
            key("a", "t", "[\"**\"]") + &key("b", "u", "[\"**\"]"),
            Some("2 tenants share"),
        ),
        ("one of them", "", "", key("a", "t", "[\"**\"]") + &key("b", "u", "[]"), None),
        ("one tenant", "", "", key("a", "t", "[\"**\"]") + &key("b", "t", "[\"**\"]"), None),
        (
            "its own",
            "https://one.example/v1\"",
            own,
            key("a", "t", "[\"**\"]") + &key("b", "u", "[\"**\"]"),
            None,
        ),
        ("nobody's", "https://one.example/v1\"", own, key("b", "u", "[]"), Some("no key is of this tenant")),
    ] {
        let text =
            format!("passthrough = \"one\"{}{keys}", LEAST.replace("\"open\"", "\"keys\"").replace(from, to));
        let warnings = apart_from_the_list(load(&text).unwrap().warnings);
        let told: Vec<_> = warnings.iter().map(|warning| warning.problem.as_str()).collect();
        assert_eq!(told.len(), usize::from(expected.is_some()), "{label}: {told:?}");
        assert!(told.first().unwrap_or(&"").starts_with(expected.unwrap_or_default()), "{label}: {told:?}");
    }
}

#[test]
fn an_open_gateway_listens_on_loopback_only() {
    for (text, address, expected) in [
        (LEAST.into(), "127.0.0.1:1", true),
        (LEAST.into(), "[::1]:1", true),
        (LEAST.into(), "0.0.0.0:1", false),
        (LEAST.into(), "[::]:1", false),
        (format!("open_on_any_address = true\n{LEAST}"), "0.0.0.0:1", true),
    ] {
        let config = load(&text).unwrap().config;
        let checked = config.check_listen(address.parse().unwrap(), "--listen");
        assert_eq!(checked.is_ok(), expected, "{address}");
        if let Err(fault) = checked {
            assert!(fault.to_string().starts_with("--listen: "), "{fault}");
        }
        let own = format!("listen = \"{address}\"\n{text}");
        assert_eq!(load(&own).is_ok(), expected, "{address}");
    }
}

#[test]
fn the_schema_describes_every_key() {
    fn undescribed(schema: &serde_json::Value, at: &str, found: &mut Vec<String>) {
        let properties = schema.get("properties").and_then(|it| it.as_object()).into_iter().flatten();
        for (key, property) in properties {
            if property.get("description").is_none() {
                found.push(format!("{at}.{key}"));
            }
        }
        for (name, definition) in schema.get("$defs").and_then(|it| it.as_object()).into_iter().flatten() {
            undescribed(definition, name, found);
        }
    }
    let schema = schema();
    assert_eq!(schema["title"], "weir.toml");
    assert_eq!(schema["additionalProperties"], false);
    assert!(!schema.to_string().contains("null"), "{schema:#}");
    assert_eq!(schema["required"], serde_json::json!(["upstream", "route"]));
    assert_eq!(schema["$defs"]["Route"]["required"], serde_json::json!(["model", "to"]));
    let sticky = schema["$defs"]["Sticky"]["oneOf"].as_array().unwrap();
    assert_eq!(sticky.len(), 1, "{sticky:?}");
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

fn upstream<'a>(config: &'a Config, name: &str) -> &'a Upstream {
    config.upstreams.iter().find(|upstream| upstream.name == name).unwrap()
}

/// Surroundings in which nothing is found but what is put there.
#[derive(Default)]
struct Here {
    env: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
}

impl Surroundings for Here {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).map(ToString::to_string)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).map(ToString::to_string).ok_or_else(|| "no such file".into())
    }

    fn simulated(&self) -> Option<http::Uri> {
        Some(http::Uri::from_static("http://127.0.0.1:9/v1"))
    }
}

fn toml(text: &str) -> Document<'_> {
    Document { name: "weir.toml", text, format: Format::Toml }
}

fn load(text: &str) -> Result<Loaded, Faults> {
    Config::load(&toml(text), &Here::default())
}

/// `text` has the faults that begin as `expected` says, `|` between them, and no others.
fn tells(text: &str, expected: &str) {
    let Err(faults) = load(text) else { panic!("holds: {text}") };
    let told: Vec<_> = faults.iter().map(|fault| fault.to_string().replace("weir.toml:", "")).collect();
    let expected: Vec<_> = expected.split('|').collect();
    assert_eq!(told.len(), expected.len(), "{text}\n{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{text}\n{told}\n{expected}");
    }
}

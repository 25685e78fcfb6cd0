//! A prepared document means what the document does; anything else is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{Format, StoreKind};
use crate::limits::rate::Rate;

const EXAMPLE: &str = include_str!("../../../../../devserver/weir.example.toml");
const OF_CLUSTERS: &str = include_str!("../../../../../k8s/base/weir.toml");

/// Something of everything that can be said.
const FULL: &str = r#"
listen = "127.0.0.1:8081"
auth = "open"
public = []
passthrough = [{ upstream = "a", paths = ["/v1/rerank", "/v1/x/*/y", "z/**"], methods = ["GET", "POST"], models = ["m-*"] }, { upstream = "b.c", owners = true, on_store_loss = "open" }]
[server]
cors = { origins = ["https://app.example", "http://localhost:*"] }
websocket = { total = "5m" }
max_body = "1MiB"
workers = 3
trusted_proxies = 2
idempotency = "1h"
concurrency = { limit = 9, queue = 8, wait = "70ms" }
[defaults]
max_tokens = { env = "UNSET", default = 4 }
temperature = 0.25
[store]
kind = "redis"
url = { env = "PLACE", default = "redis://fallback" }
namespace = "some"
timeout = "100ms"
local_share = "12.5%"
[upstream.a]
dialect = "openai"
base_url = { env = "ADDRESS" }
api_key = { file = "/run/key" }
timeout = { connect = "1s", first_byte = "2s", idle = "3s", total = "4s" }
breaker = { consecutive = 2, failure_rate = "7%", window = "9s", minimum = 3, open = "11s", on_rate_limit = "ignore" }
concurrency = { limit = "adaptive", queue = 1 }
include_usage = false
terminator = "optional"
proxy = "none"
forward_headers = ["x-title", "x-team-*"]
return_headers = ["x-model-region"]
tenant = "default"
[upstream."b.c"]
dialect = "azure"
api_version = "2024-10-21"
base_url = "https://b.example/"
api_key = { env = "KEY" }
[alias]
"é" = "m"
[[route]]
model = "m"
to = [{ upstream = "a", model = "ü ' \" m", weight = 3 }, "b.c"]
fallback = ["b.c"]
fallback_on = ["timeout", "credentials"]
pick = "least-busy"
sticky = "caller"
on_disconnect = "finish"
hold_back = "1s"
keep_alive = "7s"
retry = { attempts = 2, backoff = "3ms", max_wait = "2s" }
limits = { requests = "3/s, 9/d", tokens = "1000/min", concurrent = 3, on_store_loss = "closed" }
breaker = { consecutive = 4 }
defaults = { max_completion_tokens = { env = "LONGEST" } }
cache = { ttl = "1m", scope = "shared", place = "kv", max_temperature = 0.25, stale_while_revalidate = "2m", stale_if_error = "3m" }
[[route]]
model = "x*"
to = ["a"]
advertise = ["x1", "x2"]
[limits.default]
requests = "7/min"
[key.one]
hash = "sha256:00ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfe"
tenant = "t"
models = ["m", "x*"]
priority = "high"
limits = { tokens = "5/s" }
[admin]
hash = "sha256:10ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfe"
"#;

struct Here;

impl Surroundings for Here {
    fn env(&self, name: &str) -> Option<String> {
        let value = match name {
            "ADDRESS" => "https://a.example/v1",
            "LONGEST" => "3",
            "REDIS_URL" => "redis://:pass@redis.example:7",
            "KEY" => "sk-canary",
            _ => return None,
        };
        Some(value.into())
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Ok("sk-canary".into())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}

fn document(text: &str) -> Document<'_> {
    Document { name: "weir", text, format: Format::of(text) }
}

fn load(text: &str) -> Result<Loaded, Faults> {
    Config::load(&document(text), &Here)
}

fn prepare(text: &str) -> String {
    Config::prepare(&document(text)).unwrap_or_else(|faults| panic!("{faults}")).text
}

/// What it says, in a form in which words can be looked for.
fn packed(text: &str) -> Vec<u8> {
    let (_, body) = text.trim_end().split_once('\n').unwrap();
    BASE64.decode(body).unwrap()
}

/// With these bytes, and with the head as it was.
fn in_place(text: &str, packed: &[u8]) -> String {
    let (head, _) = text.split_once('\n').unwrap();
    format!("{head}\n{}\n", BASE64.encode(packed))
}

fn holds(bytes: &[u8], word: &str) -> bool {
    memchr::memmem::find(bytes, word.as_bytes()).is_some()
}

#[test]
fn what_was_prepared_means_what_the_document_does() {
    // The simulated provider is in no component.
    let example = EXAMPLE.replace("\n[upstream.simulated]", "\n[upstream.unused]");
    for text in [FULL, OF_CLUSTERS, &example] {
        let (read, known) = (load(text).unwrap(), load(&prepare(text)).unwrap());
        assert_eq!(format!("{:#?}", known.config), format!("{:#?}", read.config));
        let paths = |loaded: &Loaded| {
            loaded.warnings.iter().map(|warning| (warning.path.clone(), warning.problem.clone())).collect()
        };
        let (read, known): (BTreeSet<_>, BTreeSet<_>) = (paths(&read), paths(&known));
        assert_eq!(known, read);
    }
}

#[test]
fn it_holds_no_secret_and_looks_for_them_where_it_is_read() {
    let text = prepare(FULL);
    let said = packed(&text);
    assert!(holds(&said, "/run/key") && !holds(&said, "canary") && !holds(&said, "stand-in"), "{text}");
    let config = load(&text).unwrap().config;
    let secrets = config.upstreams.iter().map(|upstream| match &upstream.credential {
        Credential::Known(secret) => secret.expose(),
        Credential::None | Credential::Missing { .. } => "",
    });
    assert_eq!(secrets.collect::<Vec<_>>(), ["sk-canary", "sk-canary"]);
    assert_eq!(config.upstreams[0].base_url, "https://a.example/v1");
    let StoreKind::Redis(place) = config.store.kind else { panic!("no Redis") };
    assert_eq!((place.host.as_str(), place.namespace.as_str()), ("fallback", "some"));
}

#[test]
fn a_variable_can_carry_it() {
    let text = prepare(FULL);
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().flat_map(str::bytes).all(|byte| matches!(byte, b' '..=b'~')), "{text}");
}

#[test]
fn what_its_surroundings_lack_is_told_by_path() {
    let text = prepare(&FULL.replace("\"ADDRESS\"", "\"NOWHERE\""));
    let faults = load(&text).unwrap_err();
    let told: Vec<_> = faults.iter().map(|fault| (fault.path.as_str(), fault.line)).collect();
    assert_eq!(told, [("upstream.a.base_url", None)]);
}

#[test]
fn what_was_not_prepared_by_this_version_is_refused() {
    let text = prepare(FULL);
    let newer = text.replacen(&format!("{VERSION:016x}"), &format!("{:016x}", VERSION + 1), 1);
    let mut bytes = packed(&text);
    let at = memchr::memmem::find(&bytes, b"b.example").unwrap();
    bytes[at] = b'c';
    let edited = in_place(&text, &bytes);
    let no_base64 = text.replacen('\n', "\n!", 1);
    for (label, text, expected) in [
        ("another version", newer.as_str(), "prepared by another version of Weir; run `weir prepare`"),
        ("edited", &edited, "a prepared document that was changed or cut"),
        ("no base64", &no_base64, "a prepared document that was changed or cut"),
        ("cut", &text[..text.len() - 9], "a prepared document that was changed or cut"),
        ("a mark alone", MARK, "a prepared document that was changed or cut"),
    ] {
        let told = load(text).unwrap_err().to_string();
        assert!(told.contains(expected), "{label}: {told}");
    }
    assert!(Config::prepare(&document(&text)).unwrap_err().to_string().contains("it is prepared already"));
}

/// Whoever can change it can make the sum right as well.
#[test]
fn what_no_document_could_have_said_is_refused() {
    type Change = fn(&mut Draft);
    let changes: [(&str, Change); 4] = [
        ("a target without its upstream", |draft| draft.routes[0].to[0].upstream = UpstreamId(2)),
        ("a passthrough without its upstream", |draft| draft.passthrough.rules[0].upstream = UpstreamId(2)),
        ("a provider that has no address", |draft| draft.upstreams[0].dialect = Dialect::Simulated),
        ("a rate of nothing", |draft| {
            draft.limits.requests = vec![Rate { count: 0, per: Duration::from_secs(1) }];
        }),
    ];
    for (label, change) in changes {
        let mut draft = read(&prepare(FULL)).unwrap_or_else(|problem| panic!("{}", problem.text));
        let text = |draft: &Draft| written(&pack::pack(FORM, draft, Instant::default()));
        assert!(load(&text(&draft)).is_ok(), "{label}");
        change(&mut draft);
        let told = load(&text(&draft)).unwrap_err().to_string();
        assert!(told.contains("a prepared document that was changed or cut"), "{label}: {told}");
    }
}

#[test]
fn what_is_wrong_with_a_document_is_told_when_it_is_prepared() {
    let simulated =
        FULL.replace("dialect = \"openai\"\nbase_url = { env = \"ADDRESS\" }", "dialect = \"simulated\"");
    for (text, expected) in [
        (FULL.replace("to = [\"a\"]", "to = [\"z\"]"), "weir:60: route[1].to[0]"),
        (simulated.replace("api_key = { file = \"/run/key\" }\n", ""), "there is no simulated provider here"),
    ] {
        let told = Config::prepare(&document(&text)).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
}

proptest! {
    /// Whoever can change it can make the sum right as well.
    #[test]
    fn nothing_that_is_written_in_one_panics(
        at in 0_usize..2000,
        length in 0_usize..6,
        put in proptest::collection::vec(any::<u8>(), 0..6),
    ) {
        let mut bytes = packed(&prepare(FULL));
        let (from, to) = (at.min(bytes.len()), (at + length).min(bytes.len()));
        bytes.splice(from..to, put);
        if let Ok(loaded) = load(&written(&bytes)) {
            let targets = loaded.config.routes.iter().flat_map(|route| &route.to);
            prop_assert!(targets.map(|target| target.upstream.0).all(|at| at < loaded.config.upstreams.len()));
        }
    }
}

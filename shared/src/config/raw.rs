//! The document's shape, and nothing of its sense.
//!
//! Everything may be left out here: what must be there is asked for by the check, which can then tell of all
//! that is missing at once. Keys that are not known are refused. The comments are the schema's descriptions:
//! they are what an editor shows to whoever writes a `weir.toml`.

mod cache;
mod concurrency;
mod connection;
mod defaults;
mod keep_alive;
mod passthrough;
mod reference;
mod setting;
mod spelled;
mod tree;
mod unit;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub(super) use self::cache::{Cache, CacheTable};
pub(super) use self::concurrency::{Adaptive, CallLimit, Concurrency, ConcurrencyTable, Unlimited};
pub(super) use self::connection::{Proxy, Tls};
pub(super) use self::defaults::Defaults;
pub(super) use self::keep_alive::KeepAlive;
pub(super) use self::passthrough::{Passthrough, PassthroughMethod, PassthroughTable};
pub(super) use self::reference::{ApiKey, BaseUrl, FromEnv, Target, TargetTable};
pub(super) use self::setting::{FromVariable, Setting};
pub(super) use self::tree::parse;
pub(crate) use self::unit::duration;
pub(super) use self::unit::{Rates, Share, Size, Time};
use crate::ledger::failure::Condition;
use crate::limits::OnStoreLoss;
use crate::limits::concurrency::Priority;
use crate::routing::breaker::OnRateLimit;
use crate::routing::route::{OnDisconnect, Pick, Sticky};
use crate::routing::upstream::Terminator;

/// What a Weir gateway does: where it listens, who may call it, and which models lead to which upstreams.
///
/// At least one upstream and one route are needed; all the rest has a default. Secrets are never written
/// here, only where they are found.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "weir.toml")]
pub(super) struct Gateway {
    /// Address and port to listen on. Default `127.0.0.1:8080`: this machine only. `0.0.0.0:8080` is every
    /// interface.
    pub(super) listen: Option<String>,
    /// Who may call. Default `keys`.
    pub(super) auth: Option<Auth>,
    /// With `auth = "open"`: yes, on an address that other machines reach as well. Default `false`.
    pub(super) open_on_any_address: Option<bool>,
    /// What others than operators are shown: `explain` (what was decided about a call that comes with
    /// `x-weir-explain: 1`, and why), `metrics` (`/metrics`), `ready` (the details of `/ready`). Default: nothing, or all
    /// of it with `auth = "open"` on loopback. Operators show the admin's key, or come to `admin.listen`.
    pub(super) public: Option<Vec<Public>>,
    /// What is passed on without being understood, such as `POST /v1/audio/speech` or `GET /v1/files/ID`: an upstream whose
    /// documented paths are opened, a table that lists paths, or several tables. With `auth = "keys"` a key says too what it
    /// may use of it. Default: nothing is.
    pub(super) passthrough: Option<Passthrough>,
    /// Bounds of the server in front.
    pub(super) server: Option<Server>,
    /// Where state is kept, and how much of it.
    pub(super) store: Option<Store>,
    /// Who may look at what is under control and change it: `/admin/…`. Without this table nobody may.
    pub(super) admin: Option<Admin>,
    /// The API bases that calls are sent to, by the name that routes use.
    #[schemars(required)]
    pub(super) upstream: Option<BTreeMap<String, Upstream>>,
    /// Another name for a model: `"gpt-5" = "gpt-4o"` answers calls for `gpt-5` with `gpt-4o`. May lead to
    /// another alias.
    #[serde(default)]
    pub(super) alias: BTreeMap<String, String>,
    /// What calls are given that leave it to the gateway; a route's own `defaults` stand in place of these.
    pub(super) defaults: Option<Defaults>,
    /// Which models lead where. An exact name is tried before a pattern, a long pattern before a short one;
    /// the order in the document does not matter.
    #[schemars(required)]
    pub(super) route: Option<Vec<Route>>,
    /// Limits by name; `default` is for every caller that has none of its own.
    #[serde(default)]
    pub(super) limits: BTreeMap<String, Limits>,
    /// The keys that callers show, by name.
    #[serde(default)]
    pub(super) key: BTreeMap<String, Key>,
}

/// Who may call.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Auth {
    /// Anyone who reaches the address; on loopback only, unless `open_on_any_address` is set.
    Open,
    /// Callers with one of the keys of `[key.NAME]`.
    Keys,
}

/// What others than operators may be shown.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Public {
    Explain,
    Metrics,
    Ready,
}

/// Bounds of the server in front.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    /// Longest request body. Default `32MiB`.
    pub(super) max_body: Option<Size>,
    /// Request bodies that are held at the same time, as they come and decoded; a tenant alone may fill three eighths.
    /// At least four times `max_body`. Default `256MiB`, or eight times `max_body` where that is more.
    pub(super) max_buffered: Option<Size>,
    /// Slowest body that is waited for, in bytes a second on average behind the first ten seconds, up to `64KiB`; 0 is
    /// none. Default `1KiB`.
    pub(super) min_upload_rate: Option<Size>,
    /// Deepest nesting of a request's JSON, 1 to 128. Default 64.
    pub(super) max_depth: Option<u64>,
    /// Most choices (`n`) one call may ask for. Default 128.
    pub(super) max_n: Option<u64>,
    /// Time for a client to send the head of its request. Default `10s`.
    pub(super) header_timeout: Option<Time>,
    /// How long a client's connection is kept that does nothing between two requests; longer than whatever stands in front
    /// keeps it. Default `75s`.
    pub(super) keep_alive: Option<Time>,
    /// Longest silence while a client sends its request or reads its answer. Default `30s`.
    pub(super) body_timeout: Option<Time>,
    /// How long accepted calls may go on after SIGTERM. Default `30s`.
    pub(super) grace: Option<Time>,
    /// Threads that serve; 0, the default, is one a core.
    pub(super) workers: Option<u64>,
    /// Proxies in front that add to `x-forwarded-for`: the client's address is that many from its right.
    /// Default 0: the connection's own address.
    pub(super) trusted_proxies: Option<u64>,
    /// Connections at the same time (native server); another one is answered 503 and closed. Default 10000.
    pub(super) max_connections: Option<u64>,
    /// Connections of one address, which is a /64 of IPv6. Default 1000, or with `trusted_proxies` no fewer than in all.
    pub(super) max_connections_per_address: Option<u64>,
    /// Calls of the process at the same time. Default 10000.
    pub(super) concurrency: Option<Concurrency>,
    /// How long the answer to an `Idempotency-Key` is kept, from `1s` to `168h`. Default `24h`.
    pub(super) idempotency: Option<Time>,
    /// Largest event of a streamed answer, and largest message of a websocket, up to `1GiB`; an image that is streamed
    /// comes in one. Default `32MiB`.
    pub(super) max_event: Option<Size>,
    /// Web pages that may call from a browser. Default: none.
    pub(super) cors: Option<Cors>,
    /// Bounds of a websocket that is relayed (`/v1/realtime`).
    pub(super) websocket: Option<WebSocket>,
}

/// Web pages that may call from a browser, and read the answers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cors {
    /// Origins as browsers send them, such as `https://app.example`; `http://localhost:*` is any port, `*` any
    /// page at all.
    #[serde(default)]
    pub(super) origins: Vec<String>,
}

/// Bounds of a websocket that is relayed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebSocket {
    /// The longest session, up to `24h`. Default `60m`.
    pub(super) total: Option<Time>,
    /// Longest silence of both sides. Default `10m`.
    pub(super) idle: Option<Time>,
}

/// Where state is kept, and how much of it.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// Default `embedded`.
    pub(super) kind: Option<StoreKind>,
    /// With `kind = "redis"`: `redis://host:6379`, or `{ env = "REDIS_URL" }` if it has a password in it.
    pub(super) url: Option<BaseUrl>,
    /// With `kind = "redis"`: whose keys they are. Gateways with the same one share all limits, breakers and
    /// answers. Default `default`.
    pub(super) namespace: Option<String>,
    /// How long a reply is waited for before the store counts as lost, up to `10s`. Default `250ms` of a Redis,
    /// `1s` of a Durable Object; where the process keeps the state nothing is waited for.
    pub(super) timeout: Option<Time>,
    /// Bytes of all the answers that one process keeps for its routes, or a Redis for a namespace, up to `64GiB`; `0`
    /// keeps none. A Redis keeps as many to idempotency keys besides. Default `256MiB`.
    pub(super) cache: Option<Size>,
    /// What one process admits of a limit with `on_store_loss = "local"` while the store is lost; four that
    /// admit `25%` keep to the limit. Default `25%`.
    pub(super) local_share: Option<Share>,
}

/// What keeps the state.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StoreKind {
    /// The process itself.
    Embedded,
    /// A Redis that all replicas share.
    Redis,
}

/// Who may look at what is under control and change it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// Of the one key for `/admin/…`: `sha256:` and 64 hex digits, as `weir key new` prints them. No caller
    /// has the same.
    pub(super) hash: Option<String>,
    /// A second address to listen on (native server): whoever reaches it sees what operators see, without a key; orders
    /// want the key all the same. For whoever scrapes `/metrics` inside a cluster: `0.0.0.0:9090`.
    pub(super) listen: Option<String>,
}

/// An API base with its credential.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    /// How it is spoken to.
    #[schemars(required)]
    pub(super) dialect: Option<Dialect>,
    /// Where its API begins, such as `https://api.openai.com/v1`. Not for the dialect `simulated`.
    pub(super) base_url: Option<BaseUrl>,
    /// Where its key is found: `{ env = "OPENAI_API_KEY" }`. Leave it out for an upstream that wants none.
    pub(super) api_key: Option<ApiKey>,
    /// With the dialect `azure`: the API's version, such as `2024-10-21`.
    pub(super) api_version: Option<String>,
    /// How long it is waited for.
    pub(super) timeout: Option<Timeout>,
    /// When it is left alone. One is always there, with the defaults.
    pub(super) breaker: Option<Breaker>,
    /// Calls that one process sends it at the same time. Default `unlimited`.
    pub(super) concurrency: Option<Concurrency>,
    /// Whether a stream's usage is asked for (`stream_options`) where the client does not ask. Default `true`; with
    /// `false` tokens are counted.
    pub(super) include_usage: Option<bool>,
    /// Whether a complete stream ends in `data: [DONE]`. Default `required`, but for providers that are known not to
    /// send it.
    pub(super) terminator: Option<Terminator>,
    /// Through which proxy it is reached. Default `env`. On Spin and Workers the platform makes the connections.
    pub(super) proxy: Option<Proxy>,
    /// Certificates: an authority of its own, a client certificate. Not on Spin and Workers.
    pub(super) tls: Option<Tls>,
    /// After how long a connection to it takes no new call, so that a new address of its name is found: it ends with
    /// what it carries. Up to a fifth less by chance. Default `5m`. Not on Spin and Workers.
    pub(super) connection_age: Option<Time>,
    /// Connections of HTTP/2 to it at most, of each worker. A call that finds no room on any waits, for `timeout.connect`
    /// at most. Default 16. Not on Spin and Workers.
    pub(super) http2_connections: Option<u64>,
    /// Request headers that it is sent beside `openai-beta`, `anthropic-beta` and `anthropic-version`: names, or how
    /// names begin (`x-tenant-*`). They count in the keys of answers that are kept or shared. Default: none.
    pub(super) forward_headers: Option<Vec<String>>,
    /// Response headers that its clients get beside those that are documented: names, or how names begin. Default:
    /// none.
    pub(super) return_headers: Option<Vec<String>>,
    /// The one tenant whose account this is: `passthrough` opens it to that tenant's keys alone, and lists, deletions and
    /// administration with it. Default: an account of all.
    pub(super) tenant: Option<String>,
}

/// How an upstream is spoken to.
#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dialect {
    /// As OpenAI is: also HolySheep, DeepSeek, vLLM, Ollama and most others.
    OpenAi,
    /// As Azure OpenAI is: deployment paths, `api-version`, the header `api-key`.
    Azure,
    /// The provider that is built into the server, to try things without a key or a bill.
    Simulated,
}

/// How long an upstream is waited for; each wait has its own bound.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeout {
    /// To be connected. Default `5s`.
    pub(super) connect: Option<Time>,
    /// From the request to the head of its answer. Default: `120s` for a stream; a whole answer may take `total`, unless
    /// this is set, which then bounds both.
    pub(super) first_byte: Option<Time>,
    /// Longest silence inside an answer. Default `60s`.
    pub(super) idle: Option<Time>,
    /// The whole call. Default `600s`.
    pub(super) total: Option<Time>,
}

/// A model pattern and where it leads.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// A model's name, or a pattern in which `*` stands for any characters: `gpt-*`.
    #[schemars(required)]
    pub(super) model: Option<String>,
    /// Where calls go; with several targets each gets its share by `weight`.
    #[schemars(required)]
    pub(super) to: Option<Vec<Target>>,
    /// Where a call goes next when a target fails, in this order.
    #[serde(default)]
    pub(super) fallback: Vec<Target>,
    /// Which failures lead on to the next target. Default: all of them.
    pub(super) fallback_on: Option<Vec<Condition>>,
    /// How the first target is chosen. Default `weighted`.
    pub(super) pick: Option<Pick>,
    /// `caller` keeps each caller on the target that it was first given.
    pub(super) sticky: Option<Sticky>,
    /// What happens to the upstream's call when the client has gone. Default `cancel`; before the answer has
    /// begun it is cancelled in any case.
    pub(super) on_disconnect: Option<OnDisconnect>,
    /// How often and how patiently a call is tried again.
    pub(super) retry: Option<Retry>,
    /// Names that `GET /v1/models` lists for a pattern; each must match it.
    #[serde(default)]
    pub(super) advertise: Vec<String>,
    /// What calls are given that leave it to the gateway, in place of all that `[defaults]` says; `{}` is
    /// nothing.
    pub(super) defaults: Option<Defaults>,
    /// Answers to be kept and given again for the same request. Default: none are.
    pub(super) cache: Option<Cache>,
    /// When an upstream that fails is left alone for a while.
    /// In place of the upstreams' own: when the breakers of the models that this route leads to open. What concerns the
    /// whole of an upstream goes by the upstream's.
    pub(super) breaker: Option<Breaker>,
    /// What all callers together may ask of this route.
    pub(super) limits: Option<Limits>,
    /// How long a stream may be held back for its first content; until then another target can take over unseen.
    /// Default `5s`.
    pub(super) hold_back: Option<Time>,
    /// After how long a silence a stream's client is sent a comment, so that nothing on the way cuts the connection;
    /// `off` for clients that choke on comments. Default `15s`.
    pub(super) keep_alive: Option<KeepAlive>,
}

/// How often and how patiently a call is tried again.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// Attempts in all, fallbacks included: 1 to 3. Default 3.
    pub(super) attempts: Option<u64>,
    /// The first pause; it doubles, and a random part of it is waited. Default `100ms`.
    pub(super) backoff: Option<Time>,
    /// Longest wait for an upstream that says when to come back. Default `5s`.
    pub(super) max_wait: Option<Time>,
}

/// When an upstream that fails is left alone for a while: after failures in a row, or at a rate of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Breaker {
    /// Failures in a row. Default 5.
    pub(super) consecutive: Option<u64>,
    /// Share of the calls in `window`. Default `5%` where the route has somewhere else to go, `50%` where this is
    /// the only candidate.
    pub(super) failure_rate: Option<Share>,
    /// What the rate is taken over. Default `10s`.
    pub(super) window: Option<Time>,
    /// Calls in `window` below which there is no rate. Default 20.
    pub(super) minimum: Option<u64>,
    /// How long it is left alone; doubles while it goes on failing, up to `5m`. Default `30s`.
    pub(super) open: Option<Time>,
    /// What a 429 is. Default `open`.
    pub(super) on_rate_limit: Option<OnRateLimit>,
    /// Of an upstream: whether each of its models has a breaker of its own, for what concerns that model alone. Default
    /// `true`; with `false` one breaker learns all there is.
    pub(super) per_model: Option<bool>,
}

/// How much may be asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Calls, such as `1000/min`, or `100/s, 1000/min` where both hold, or `unlimited`. Default `1000/min` for
    /// callers; what is left out of a key or a route is not limited there.
    pub(super) requests: Option<Rates>,
    /// Tokens, prompt and answer together, such as `2000000/min`. Default: unlimited.
    pub(super) tokens: Option<Rates>,
    /// Calls at the same time.
    pub(super) concurrent: Option<u64>,
    /// What happens when the store that counts cannot be reached. Default `local`.
    pub(super) on_store_loss: Option<OnStoreLoss>,
}

/// A key that a caller shows. `weir key new` makes one and prints this table.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    /// `sha256:` and 64 hex digits. The key itself is stored nowhere.
    #[schemars(required)]
    pub(super) hash: Option<String>,
    /// Whose calls, cache and costs these are. Default: the key's name.
    pub(super) tenant: Option<String>,
    /// What it may call: names or patterns, before or behind an alias. Default `["*"]`.
    pub(super) models: Option<Vec<String>>,
    /// What it may use of the paths that `passthrough` opens: `["audio/**", "files/**"]`, or `["**"]` for all of them.
    /// Default: none.
    pub(super) passthrough: Option<Vec<String>>,
    /// Its own limits, in place of `[limits.default]`.
    pub(super) limits: Option<Limits>,
    /// Whose calls go first when some have to wait, and are turned away last. Default `normal`.
    pub(super) priority: Option<Priority>,
}

/// The JSON Schema of a `weir.toml`, from the same types that read it.
pub fn schema() -> Value {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<Gateway>().to_value();
    tidy(&mut schema);
    schema
}

/// Takes out what the types say and a writer never writes: what may be left out is not `null`, and a choice
/// that has no words is none.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    map.extend(only);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("oneOf") {
                let no_words = |choice: &Value| choice.get("enum") == Some(&Value::Array(Vec::new()));
                choices.retain(|choice| !no_words(choice));
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

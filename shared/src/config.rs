//! The one document that tells a gateway what to do, checked.
//!
//! A [`Config`] is valid by construction: every name resolves, every pattern and address parses, every
//! secret has been looked up (a missing one marks its upstream unusable, it does not stop the gateway).
//! It is made in one place, [`Config::load`], from raw serde shapes; every fault of a document is reported at
//! once with its path and line. What may change while running is control, and is not in here.

mod check;
mod connection;
mod fault;
mod path;
mod raw;
mod report;
mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::check::{Loaded, Prepared};
pub use self::connection::{Dialer, Identity, Proxy, ProxyAddress, Tls, TlsFault, TlsFile};
pub use self::fault::{Fault, Faults};
pub(crate) use self::raw::duration;
pub use self::raw::schema;
pub use self::source::{Document, Format, Surroundings};
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cache;
use crate::dialect::defaults::Defaults;
use crate::dialect::endpoint::{PassedPath, PathPattern, Reached};
use crate::dialect::model_pattern::Pattern;
use crate::identity::caller::{Caller, KeyHash, Keyring};
use crate::identity::cors::Cors;
use crate::limits::concurrency::Concurrency;
use crate::limits::rate::Rate;
use crate::routing::breaker;
use crate::secret::Secret;
pub use crate::wire::headers::HeaderNames;
use crate::wire::redact::Redactor;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub auth: Auth,
    /// What is shown to others than operators.
    pub public: Public,
    pub server: Server,
    pub upstreams: Vec<Upstream>,
    /// Alias → model, chains already followed to their end.
    pub aliases: BTreeMap<String, String>,
    /// In the order in which a model is matched: exact names, then globs, the longest first.
    pub routes: Vec<Route>,
    pub passthrough: Passthrough,
    pub keys: Keyring,
    /// Of a caller that has none of its own, and of each client address where no key is asked for.
    pub limits: Limits,
    pub store: Store,
    pub admin: Admin,
    /// Takes the credentials of all upstreams and proxies out of answers.
    pub redactor: Arc<Redactor>,
}

/// What operators are known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Of the key that opens `/admin/…`; `None`: nothing does.
    pub hash: Option<KeyHash>,
    /// Whoever comes to this address sees what operators see, without a key.
    pub listen: Option<SocketAddr>,
}

/// What is shown to others than operators. Where anyone of this machine may call, all of it unless the document says
/// less; else nothing unless it says more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Public {
    /// What was decided about one's own call, and why: `x-weir-explain: 1`.
    pub explain: bool,
    /// `/metrics`.
    pub metrics: bool,
    /// The details of `/ready`.
    pub ready: bool,
}

/// What is passed on without being understood; nothing where no rule says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passthrough {
    /// The first that takes a call has it.
    pub rules: Vec<PassthroughRule>,
    /// The paths of all rules.
    pub paths: Vec<PathPattern>,
}

/// What is opened at one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassthroughRule {
    pub upstream: UpstreamId,
    /// Empty: all that `OpenAI` documents.
    pub paths: Vec<PathPattern>,
    /// Empty: all; HEAD comes with GET.
    pub methods: Vec<String>,
    /// Models that a call may reach which names none: its caller may use them all. `None`: nobody is asked.
    pub models: Option<Vec<Pattern>>,
    /// Whether it is remembered whose the objects are, and what holds where the store that does is lost: `Closed` or
    /// `Open`.
    pub owners: Option<OnStoreLoss>,
}

impl Passthrough {
    pub fn new(rules: Vec<PassthroughRule>) -> Self {
        let paths = rules.iter().flat_map(|rule| rule.paths.iter().cloned()).collect();
        Self { rules, paths }
    }

    /// Whether any rule remembers owners, and the strictest of what holds without the store.
    pub fn owners(&self) -> Option<OnStoreLoss> {
        let mut policies = self.rules.iter().filter_map(|rule| rule.owners);
        let first = policies.next()?;
        let is_open = first == OnStoreLoss::Open && policies.all(|policy| policy == OnStoreLoss::Open);
        Some(if is_open { OnStoreLoss::Open } else { OnStoreLoss::Closed })
    }
}

impl PassthroughRule {
    /// Whether it opens `path` to calls with `method`.
    pub fn takes(&self, method: &Method, path: &PassedPath) -> bool {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let is_listed = || match self.paths.as_slice() {
            [] => path.is_documented(),
            paths => paths.iter().any(|listed| listed.opens(path)),
        };
        (self.methods.is_empty() || self.methods.iter().any(|listed| listed == method.as_str()))
            && is_listed()
    }

    /// What `method` on `path` reaches of the upstream's account.
    pub fn reached(&self, method: &Method, path: &PassedPath) -> Reached {
        path.reached(method, self.paths.iter().find(|listed| listed.opens(path)))
    }

    /// Whether `caller` may send a call that names no model, where `models` says what that reaches at least.
    pub fn admits(&self, caller: &Caller, models: Unlisted) -> bool {
        match (&self.models, models) {
            (Some(models), _) => models.iter().all(|model| caller.may_call_all_of(model)),
            (None, Unlisted::Nothing) => true,
            (None, Unlisted::AnyModel) => caller.may_call_all_of(&Pattern::new("*")),
        }
    }
}

/// What a call that names no model reaches where no list says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// Nothing that a model's name guards.
    Nothing,
    AnyModel,
}

/// Where state is kept, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pub kind: StoreKind,
    /// How long an answer of whoever keeps the state is waited for before it counts as lost; nothing is waited
    /// for where that is the process. `None`: as long as is usual there.
    pub timeout: Option<Duration>,
    /// Bytes of answers that are kept, by the process or in a Redis. Default 256 MiB.
    pub cache: u64,
    /// In millionths: what one process admits of a limit whose policy is `local` while the store is lost.
    /// Default 25 %.
    pub local_share: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self { kind: StoreKind::Embedded, timeout: None, cache: 256 << 20, local_share: 250_000 }
    }
}

/// What keeps the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// The process itself.
    Embedded,
    /// One that all replicas share.
    Redis(Redis),
}

/// A Redis, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// A name, or an address without brackets.
    pub host: String,
    /// Default 6379.
    pub port: u16,
    pub transport: Transport,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// Default 0.
    pub database: u32,
    /// Whose keys they are; gateways with the same one share everything. Default `default`.
    pub namespace: String,
    /// How long a reply is waited for. Default 250 ms.
    pub timeout: Duration,
}

/// Whether bytes are in the clear on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anyone; only on loopback unless the document says `open_on_any_address = true` as well.
    Open { on_any_address: bool },
    /// Callers with a key.
    Keys,
}

/// Bounds of the server in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Bytes of a request body that is read to be routed, after decoding. Default 32 MiB.
    pub max_body: u64,
    /// Bytes of request bodies that are held at the same time, as they come and decoded. Default 256 MiB, and eight
    /// times `max_body` where that is more.
    pub max_buffered: u64,
    /// Bytes a second that a body comes in on average, behind the first ten seconds; 0 asks for none. Default 1 KiB.
    pub min_upload_rate: u64,
    /// Nesting of a JSON body. Default 64.
    pub max_depth: u32,
    /// Choices one call may ask for (`n`). Default 128.
    pub max_n: u32,
    /// Time for a client to send its request's head. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection is kept that does nothing. Default 75 s.
    pub keep_alive: Duration,
    /// Longest silence while a client sends its body or reads its answer. Default 30 s.
    pub body_timeout: Duration,
    /// How long accepted work may go on after SIGTERM. Default 30 s.
    pub grace: Duration,
    /// Threads that serve; 0 means one a core.
    pub workers: usize,
    /// Proxies in front that are believed about the client's address. Default 0.
    pub trusted_proxies: usize,
    /// At the same time. Default 10000.
    pub max_connections: usize,
    /// Of one address. Default 1000; with proxies in front as many as there may be.
    pub max_connections_per_address: usize,
    /// Of all calls of the process; `None` bounds nothing.
    pub concurrency: Option<Concurrency>,
    /// How long the answer to an `Idempotency-Key` is kept. Default 24 h.
    pub idempotency: Duration,
    /// Bytes of one event of a stream. Default 32 MiB.
    pub max_event: u64,
    /// Web pages that may call; `None`: none.
    pub cors: Option<Cors>,
    pub websocket: WebSocket,
}

/// Bounds of a websocket that is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// From its opening. Default 60 min.
    pub total: Duration,
    /// Longest silence of both sides. Default 10 min.
    pub idle: Duration,
}

/// Index of an upstream in [`Config::upstreams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub usize);

/// An API base with its credential.
#[derive(Debug)]
pub struct Upstream {
    /// `[a-z0-9]` then up to 63 of `[a-z0-9._-]`.
    pub name: String,
    pub dialect: Dialect,
    /// Absolute, `http` or `https`, no query, no fragment, no user info, no trailing slash.
    /// For [`Dialect::Simulated`] the shell says it at load: [`Surroundings::simulated`].
    pub base_url: http::Uri,
    pub credential: Credential,
    pub timeouts: Timeouts,
    pub breaker: breaker::Policy,
    /// Each of its models has a breaker of its own beside the one for the whole of it. Default `true`.
    pub breaker_per_model: bool,
    /// Of the calls that one process sends it; `None` bounds nothing.
    pub concurrency: Option<Concurrency>,
    /// Whether it may be asked for the usage of a stream. Default yes.
    pub include_usage: bool,
    /// `None`: as is known of its host.
    pub terminator: Option<Terminator>,
    /// Through what it is reached.
    pub proxy: Proxy,
    /// Certificates beside those of the machine.
    pub tls: Option<Tls>,
    /// From which age on a connection takes no new call. Default 5 min.
    pub connection_age: Duration,
    /// Connections of HTTP/2 that a worker makes at most. Default 16.
    pub http2_connections: usize,
    /// Request headers that it is sent beside the documented ones. Default: none.
    pub forward_headers: HeaderNames,
    /// Response headers that its clients get beside the documented ones. Default: none.
    pub return_headers: HeaderNames,
    /// Whose account it is; `None`: an account of all.
    pub tenant: Option<String>,
}

/// Whether a stream of chat or completions that is complete ends in `data: [DONE]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Terminator {
    /// A stream without it was cut.
    Required,
    /// A stream that ends by itself, each of its choices with a `finish_reason`, is complete; the client gets a
    /// `[DONE]` all the same.
    Optional,
}

/// Hosts of providers whose streams are known to end without `[DONE]`.
///
/// `api.perplexity.ai`: perplexityai/api-discussion issue 209, open, read in November 2026.
const WITHOUT_TERMINATOR: &[&str] = &["api.perplexity.ai"];

impl Upstream {
    /// What its streams end in.
    pub fn terminator(&self) -> Terminator {
        let is_known = || self.base_url.host().is_some_and(|host| WITHOUT_TERMINATOR.contains(&host));
        match self.terminator {
            Some(terminator) => terminator,
            None if is_known() => Terminator::Optional,
            None => Terminator::Required,
        }
    }

    /// Whether its limits are always of one model: Azure's are a deployment's, and its 429 does not name it.
    pub(crate) fn limits_by_deployment(&self) -> bool {
        match self.dialect {
            Dialect::Azure { .. } => true,
            Dialect::OpenAi | Dialect::Simulated => false,
        }
    }

    /// What nobody may read who is answered by any of `upstreams`, be it in the environment of the process.
    fn redactor(upstreams: &[Self], surroundings: &dyn Surroundings) -> Arc<Redactor> {
        let of_environment = connection::environment_secrets(upstreams, surroundings);
        let secrets = upstreams.iter().flat_map(Self::secrets).chain(&of_environment);
        Arc::new(Redactor::new(secrets))
    }

    /// The credential it is shown, where there is one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match &self.credential {
            Credential::Known(secret) => Some(secret),
            Credential::None | Credential::Missing { .. } => None,
        }
    }

    /// What nobody may read who is answered from there.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let of_proxy = match &self.proxy {
            Proxy::At(proxy) => proxy.authorization(),
            Proxy::Environment | Proxy::None => None,
        };
        self.secret().into_iter().chain(of_proxy)
    }
}

/// How an upstream is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's API at `base_url`: OpenAI, HolySheep, DeepSeek, vLLM, Ollama …
    OpenAi,
    /// Azure OpenAI: deployment paths, `api-version`, header `api-key`.
    Azure { api_version: String },
    /// The provider that is built into the server.
    Simulated,
}

/// What an upstream is shown.
#[derive(Debug)]
pub enum Credential {
    /// It wants none.
    None,
    Known(Secret),
    /// The reference did not resolve; `why` names it and is safe to print.
    Missing {
        why: String,
    },
}

/// Each wait has its own bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Default 5 s.
    pub connect: Duration,
    /// From sending the request for a stream to the head of the answer. Default 120 s.
    pub first_byte: Duration,
    /// The same for an answer that comes as a whole, whose head may come with its end: `first_byte` where that is set,
    /// else `total`.
    pub whole: Duration,
    /// Longest silence inside an answer. Default 60 s.
    pub idle: Duration,
    /// The whole call, attempts and fallbacks included. Default 600 s.
    pub total: Duration,
}

/// A model pattern and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub pattern: Pattern,
    /// Never empty; weights sum to at least 1.
    pub to: Vec<Target>,
    pub fallback: Vec<Target>,
    pub fallback_on: Vec<Condition>,
    pub pick: Pick,
    pub sticky: Sticky,
    pub on_disconnect: OnDisconnect,
    pub retry: Retry,
    /// Names that `GET /v1/models` lists for a glob.
    pub advertise: Vec<String>,
    /// Its own, or the gateway's.
    pub defaults: Defaults,
    /// Of all callers together.
    pub limits: Limits,
    /// The policy of its deployments' breakers, in place of the upstreams'; those of the whole upstreams keep theirs.
    pub breaker: Option<breaker::Policy>,
    /// `None`: nothing of this route is kept.
    pub cache: Option<cache::Policy>,
    /// How long a stream may be held back for its first content, from the upstream's head on. Default 5 s.
    pub hold_back: Duration,
    /// After how long a silence of a stream its client is sent a comment; `None`: none is. Default 15 s.
    pub keep_alive: Option<Duration>,
}

/// How much may be asked for. The default limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// All of them hold.
    pub requests: Vec<Rate>,
    /// Prompt and answer together.
    pub tokens: Vec<Rate>,
    /// Calls at the same time.
    pub concurrent: Option<u64>,
    pub on_store_loss: OnStoreLoss,
}

/// What happens when the store that counts cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreLoss {
    /// Calls are refused.
    Closed,
    /// Calls are let through uncounted.
    Open,
    /// Each process counts for itself, up to its share of the limit.
    #[default]
    Local,
}

impl Limits {
    /// What one process admits by itself: `share` millionths of each limit, and at least one.
    #[must_use]
    pub fn share(&self, share: u32) -> Self {
        let part = |count: u64| {
            let part = u128::from(count) * u128::from(share) / 1_000_000;
            u64::try_from(part).unwrap_or(count).clamp(1, count.max(1))
        };
        let rates =
            |rates: &[Rate]| rates.iter().map(|rate| Rate { count: part(rate.count), ..*rate }).collect();
        Self {
            requests: rates(&self.requests),
            tokens: rates(&self.tokens),
            concurrent: self.concurrent.map(part),
            on_store_loss: self.on_store_loss,
        }
    }

    /// Nothing is limited, so nothing has to be counted.
    pub fn is_unlimited(&self) -> bool {
        self.requests.is_empty() && self.tokens.is_empty() && self.concurrent.is_none()
    }
}

/// A deployment: an upstream and that upstream's own name for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub upstream: UpstreamId,
    /// `None` leaves the name as it is.
    pub model: Option<String>,
    pub weight: u32,
}

/// How the first target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// By weight.
    Weighted,
    /// The lowest moving average of the time to the first byte.
    Fastest,
    /// The fewest calls in flight for its weight.
    LeastBusy,
}

/// What keeps to the same target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    #[serde(skip)]
    Nothing,
    /// Each caller stays with the target it was first given.
    Caller,
}

/// What happens to the upstream call when the client has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDisconnect {
    /// End it.
    Cancel,
    /// Read it to its end, so that its usage is known.
    Finish,
}

/// When the next candidate is taken. The caller's own 4xx never is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// No connection, or it broke before the first byte to the client.
    Connect,
    /// No answer in time: `first_byte`, `idle` before the first content, 504.
    Timeout,
    /// 429.
    RateLimit,
    /// 5xx; 408 and 425, which ask for the same request once more.
    ServerError,
    /// The upstream refuses the gateway's own credential: 401, and 403 unless its body tells of moderation.
    Credentials,
    /// The gateway's account at the upstream is spent: 402, `insufficient_quota`, billing.
    Quota,
    /// 200 that is no answer: an error body, HTML, a body cut short.
    BadAnswer,
}

/// How often and how patiently a call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, 1 to 3. Default 3.
    pub attempts: u32,
    /// First step of the exponential back-off, full jitter. Default 100 ms.
    pub backoff: Duration,
    /// Longest wait for one upstream to be ready again; a longer Retry-After ends the call. Default 5 s.
    pub max_wait: Duration,
}

impl Config {
    /// The upstream that `id` stands for.
    pub fn upstream(&self, id: UpstreamId) -> &Upstream {
        &self.upstreams[id.0]
    }
}

#[cfg(test)]
mod tests;

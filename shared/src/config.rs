//! The one document that tells a gateway what to do, checked.
//!
//! A [`Config`] is valid by construction: every name resolves, every pattern and address parses, every
//! secret has been looked up (a missing one marks its upstream unusable, it does not stop the gateway).
//! It is made in one place, [`Config::load`], from raw serde shapes; every fault of a document is reported at
//! once with its path and line. What may change while running is control, and is not in here.

mod check;
mod fault;
mod path;
mod raw;
mod redactor;
mod report;
mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::check::{Loaded, Prepared};
pub use self::fault::{Fault, Faults};
pub(crate) use self::raw::duration;
pub use self::raw::schema;
pub use self::source::{Document, Format, Surroundings};
use crate::identity::access::{Access, Admin, Auth};
use crate::identity::caller::Keyring;
use crate::identity::cors::Cors;
use crate::limits::Limits;
use crate::limits::concurrency::Concurrency;
use crate::routing::passthrough::Passthrough;
use crate::routing::route::Route;
use crate::routing::table::Table;
use crate::routing::upstream::{Upstream, UpstreamId};
use crate::secret::Secret;
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

impl Config {
    /// Who may call.
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            auth: self.auth,
            keys: &self.keys,
            limits: &self.limits,
            admin: &self.admin,
            trusted_proxies: self.server.trusted_proxies,
            cors: self.server.cors.as_ref(),
        }
    }

    /// Where calls go.
    pub fn table(&self) -> Table<'_> {
        Table { upstreams: &self.upstreams, aliases: &self.aliases, routes: &self.routes }
    }

    /// The upstream that `id` stands for.
    pub fn upstream(&self, id: UpstreamId) -> &Upstream {
        &self.upstreams[id.0]
    }
}

#[cfg(test)]
mod tests;

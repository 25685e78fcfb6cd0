//! Upstreams: how they are reached, how they are spoken to, and what they are shown.

pub mod connection;
pub mod dispatch;
pub(crate) mod uri;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use self::connection::{Proxy, Tls};
use crate::limits::concurrency::Concurrency;
use crate::routing::breaker;
use crate::secret::Secret;
use crate::wire::headers::HeaderNames;

/// Index of an upstream in [`Config::upstreams`](crate::Config::upstreams).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub usize);

/// An API base with its credential.
#[derive(Debug)]
pub struct Upstream {
    /// `[a-z0-9]` then up to 63 of `[a-z0-9._-]`.
    pub name: String,
    pub dialect: Dialect,
    /// Absolute, `http` or `https`, no query, no fragment, no user info, no trailing slash.
    /// For [`Dialect::Simulated`] the shell says it at load.
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

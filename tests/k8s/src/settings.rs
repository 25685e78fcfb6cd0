//! The configuration that the pods of a render would read, by the gateway's own door.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir::Config;
use weir::config::{Document, Format, StoreKind, Surroundings};

/// What `weir.toml` says, with a credential for every reference.
#[derive(Debug)]
pub struct Settings {
    pub config: Config,
    /// In words, what `weir check` would warn of.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads `text` as `weir check` does. Whatever the pods get from Secrets is in `env`.
    pub fn read(text: &str, env: BTreeMap<String, String>) -> Result<Self, String> {
        let document = Document { name: "weir.toml", text, format: Format::Toml };
        let loaded = Config::load(&document, &Pod { env }).map_err(|faults| faults.to_string())?;
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok(Self { config: loaded.config, warnings })
    }

    /// The ports of the upstreams, in order and each once.
    pub(crate) fn upstream_ports(&self) -> Vec<u16> {
        let ports = self.config.upstreams.iter().map(|upstream| {
            let plain = upstream.base_url.scheme_str() == Some("http");
            upstream.base_url.port_u16().unwrap_or(if plain { 80 } else { 443 })
        });
        let mut ports: Vec<u16> = ports.collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Where the upstreams are, as Spin names hosts: `https://api.example`.
    pub(crate) fn upstream_hosts(&self) -> BTreeSet<String> {
        let hosts = self.config.upstreams.iter().filter_map(|upstream| {
            Some(format!("{}://{}", upstream.base_url.scheme_str()?, upstream.base_url.authority()?))
        });
        hosts.collect()
    }

    /// The port of the shared store; `None` where each pod keeps its own.
    pub(crate) fn store_port(&self) -> Option<u16> {
        match &self.config.store.kind {
            StoreKind::Embedded => None,
            StoreKind::Redis(redis) => Some(redis.port),
        }
    }

    /// The longest that a call may take.
    pub(crate) fn longest_call(&self) -> Duration {
        self.config.upstreams.iter().map(|upstream| upstream.timeouts.total).max().unwrap_or_default()
    }
}

/// A pod: variables and no files.
struct Pod {
    env: BTreeMap<String, String>,
}

impl Surroundings for Pod {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("a pod of the component has no files".into())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}

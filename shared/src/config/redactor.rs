//! What nobody may read in an answer: the credentials of upstreams and proxies.

use std::sync::Arc;

use crate::config::Surroundings;
use crate::routing::upstream::Upstream;
use crate::routing::upstream::connection::{Proxy, ProxyAddress};
use crate::secret::Secret;
use crate::wire::redact::Redactor;

/// Variables that may hold the address of a proxy, and a password in it.
const PROXY_VARIABLES: &[&str] =
    &["all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"];

/// Credentials of proxies that the environment names, where a shell connects by it.
fn environment_secrets(upstreams: &[Upstream], surroundings: &dyn Surroundings) -> Vec<Secret> {
    let is_read = surroundings.dialer().is_some()
        && upstreams.iter().any(|upstream| upstream.proxy == Proxy::Environment);
    let variables = PROXY_VARIABLES.iter().filter(|_| is_read);
    let addresses = variables.filter_map(|name| surroundings.env(name));
    let proxies = addresses.filter_map(|address| ProxyAddress::parse(address.trim()).ok());
    proxies.filter_map(|proxy| proxy.authorization().cloned()).collect()
}

/// What nobody may read who is answered by any of `upstreams`, be it in the environment of the process.
pub(super) fn redactor(upstreams: &[Upstream], surroundings: &dyn Surroundings) -> Arc<Redactor> {
    let of_environment = environment_secrets(upstreams, surroundings);
    let secrets = upstreams.iter().flat_map(Upstream::secrets).chain(&of_environment);
    Arc::new(Redactor::new(secrets))
}

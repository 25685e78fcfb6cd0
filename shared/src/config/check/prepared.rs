//! A document that has been checked already, for a shell that would have to check it with every request.
//!
//! A Spin component is a new instance for each request: it read and checked the whole document each time, which
//! takes longer than all else it does for a cache hit. [`Config::prepare`] does that once and writes down what
//! came of it; [`Config::load`] reads it back ([`Format::Prepared`]) and does no more than what only the place it
//! runs at can say: credentials, and addresses that stand in variables. None of those is in the prepared text.
//!
//! It belongs to the version that wrote it, and is not meant to be read or edited: it says its version and a sum
//! of its bytes, and what does not match is refused. The document stays what people write.

mod shapes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Loaded, check, connection, credential, defaults, store, upstream};
use crate::config::fault::{Fault, Faults, Problem};
use crate::config::path::Path;
use crate::config::raw::{self, ApiKey, BaseUrl, Setting};
use crate::config::redactor::redactor;
use crate::config::report::Report;
use crate::config::source::{self, Document, Lines, PREPARED as MARK, Surroundings};
use crate::config::{Config, Public, Server};
use crate::dialect::endpoint::PathPattern;
use crate::identity::access::{Admin, Auth};
use crate::identity::caller::{Caller, KeyHash, Keyring};
use crate::limits::Limits;
use crate::limits::concurrency::Concurrency;
use crate::routing::breaker;
use crate::routing::passthrough::Passthrough;
use crate::routing::route::Route;
use crate::routing::upstream::{Credential, Dialect, Terminator, Timeouts, Upstream, UpstreamId};
use crate::time::Instant;
use crate::wire::headers::HeaderNames;
use crate::wire::pack::{self, Garbled};

/// Where the simulated provider would be, and what a variable would hold.
const STAND_IN: (&str, &str, &str) = ("redis://stand-in.invalid", "https://stand-in.invalid/v1", "stand-in");

/// Of how it is written, and of the package: another reads something else into the same bytes, or means
/// something else by them.
const VERSION: u64 = sum_of(&[
    include_str!("prepared/shapes.rs").as_bytes(),
    include_str!("../../wire/pack.rs").as_bytes(),
    include_str!("../../store/pack.rs").as_bytes(),
    include_str!("../../wire/pack/number.rs").as_bytes(),
    env!("CARGO_PKG_VERSION").as_bytes(),
]);

/// What the packed bytes begin with. Versions are told apart before they are read.
const FORM: u8 = 1;

/// A document that [`Config::load`] reads fast.
#[derive(Debug)]
pub struct Prepared {
    /// Printable ASCII in two lines: what wrote it and a sum, then packed bytes in base64. No secret is in it.
    pub text: String,
    /// By line of the document.
    pub warnings: Vec<Fault>,
}

/// A [`Config`] without what its surroundings say.
struct Draft {
    listen: SocketAddr,
    auth: Auth,
    public: Public,
    server: Server,
    upstreams: Vec<UpstreamDraft>,
    aliases: BTreeMap<String, String>,
    routes: Vec<Route>,
    passthrough: Passthrough,
    keys: Vec<(KeyHash, Arc<Caller>)>,
    defaults: DefaultsDraft,
    limits: Limits,
    store: raw::Store,
    admin: Admin,
}

/// What calls are given that leave it to the gateway, with numbers and variables as they were written.
#[derive(Default)]
struct DefaultsDraft {
    gateway: raw::Defaults,
    /// By the route's pattern, of those that have their own.
    by_route: BTreeMap<String, raw::Defaults>,
}

/// An [`Upstream`] without its credential, and with its address as it was written.
struct UpstreamDraft {
    name: String,
    dialect: Dialect,
    base_url: BaseUrl,
    api_key: Option<ApiKey>,
    timeouts: Timeouts,
    breaker: breaker::Policy,
    breaker_per_model: bool,
    concurrency: Option<Concurrency>,
    include_usage: bool,
    terminator: Option<Terminator>,
    proxy: Option<raw::Proxy>,
    forward_headers: HeaderNames,
    return_headers: HeaderNames,
    tenant: Option<String>,
}

/// Surroundings in which everything that is referred to is there.
struct StandIn<'a> {
    /// The variable that holds the address of a Redis.
    redis: Option<&'a str>,
    /// Those that hold an upstream's.
    addresses: Vec<&'a str>,
    /// Those that hold a number.
    numbers: Vec<&'a str>,
}

impl Surroundings for StandIn<'_> {
    fn env(&self, name: &str) -> Option<String> {
        let (redis, address, secret) = STAND_IN;
        let value = match name {
            _ if self.redis == Some(name) => redis,
            _ if self.addresses.contains(&name) => address,
            _ if self.numbers.contains(&name) => "1",
            _ => secret,
        };
        Some(value.to_owned())
    }

    fn file(&self, _: &str) -> Result<String, String> {
        let (_, _, secret) = STAND_IN;
        Ok(secret.to_owned())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}

impl Config {
    /// Checks a document for a place that is not this one: whatever it refers to is taken to be there. On failure
    /// with all its faults. There is no simulated provider where a prepared document is wanted.
    pub fn prepare(document: &Document<'_>) -> Result<Prepared, Faults> {
        let (tree, lines) = source::read(document)?;
        let mut report = Report::new(document.name, lines);
        let Some(raw) = raw::parse(tree, &mut report) else { return Err(report.into_faults()) };
        let (store, references) = (raw.store.clone().unwrap_or_default(), references(&raw));
        let addresses = references.iter().filter_map(|of| variable(of.base_url.as_ref()));
        let addresses: Vec<String> = addresses.map(ToOwned::to_owned).collect();
        let defaults = DefaultsDraft::of(&raw);
        let surroundings = StandIn {
            redis: variable(store.url.as_ref()),
            addresses: addresses.iter().map(String::as_str).collect(),
            numbers: defaults.variables().collect(),
        };
        let config = check(raw, &surroundings, &mut report);
        let upstreams = config.upstreams.into_iter().zip(references);
        let upstreams: Option<Vec<_>> = upstreams.map(|(upstream, of)| draft(upstream, of)).collect();
        let Some(upstreams) = upstreams.filter(|_| report.is_clean()) else {
            return Err(report.into_faults());
        };
        let Config {
            listen, auth, public, server, aliases, routes, passthrough, keys, limits, admin, ..
        } = config;
        let keys = keys.into_keys();
        let draft = Draft {
            listen,
            auth,
            public,
            server,
            upstreams,
            aliases,
            routes,
            passthrough,
            keys,
            defaults,
            limits,
            store,
            admin,
        };
        let packed = pack::pack(FORM, &draft, Instant::default());
        Ok(Prepared { text: written(&packed), warnings: report.into_warnings() })
    }
}

/// What was prepared, at the place it was prepared for.
pub(super) fn load(document: &Document<'_>, surroundings: &dyn Surroundings) -> Result<Loaded, Faults> {
    let draft = read(document.text).map_err(|problem| {
        let Problem { text: problem, hint } = problem;
        let document = document.name.to_owned();
        Faults::new(vec![Fault { document, line: None, path: String::new(), problem, hint }], None)
    })?;
    let Draft { listen, auth, public, server, upstreams, aliases, mut routes, .. } = draft;
    let Draft { passthrough, keys, defaults, limits, store, admin, .. } = draft;
    let mut report = Report::new(document.name, Lines::Prepared);
    let store = store::store(&store, surroundings, &mut report);
    let path = Path::ROOT.key("upstream");
    let upstreams = upstreams.into_iter().filter_map(|draft| {
        let path = path.key(&draft.name);
        furnished(draft, &path, surroundings, &mut report)
    });
    let upstreams: Vec<Upstream> = upstreams.collect();
    defaults.give(&mut routes, surroundings, &mut report);
    if !report.is_clean() {
        return Err(report.into_faults());
    }
    let redactor = redactor(&upstreams, surroundings);
    let config = Config {
        listen,
        auth,
        public,
        server,
        upstreams,
        aliases,
        routes,
        passthrough,
        keys: Keyring::new(keys),
        limits,
        store,
        admin,
        redactor,
    };
    Ok(Loaded { config, warnings: report.into_warnings() })
}

fn written(packed: &[u8]) -> String {
    let (sum, body) = (sum_of(&[packed]), BASE64.encode(packed));
    format!("{MARK}{VERSION:016x} {sum:016x}\n{body}\n")
}

fn read(text: &str) -> Result<Draft, Problem> {
    let again = "run `weir prepare` of the version that is deployed on the document";
    let damaged = || Problem::new("a prepared document that was changed or cut").hint(again);
    let (head, body) = text.trim_end().split_once('\n').ok_or_else(damaged)?;
    let (version, sum) = head.strip_prefix(MARK).and_then(|head| head.split_once(' ')).ok_or_else(damaged)?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    if hex(version) != Some(VERSION) {
        return Err(Problem::new("prepared by another version of Weir").hint(again));
    }
    let packed = BASE64.decode(body).map_err(|_| damaged())?;
    if hex(sum) != Some(sum_of(&[&packed])) {
        return Err(damaged());
    }
    pack::unpack(FORM, &packed, Instant::default()).map_err(|Garbled| damaged())
}

/// Tells texts apart that differ by accident; who means to deceive has the document itself.
const fn sum_of(parts: &[&[u8]]) -> u64 {
    // FNV-1a, eight bytes at a time.
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = parts;
    while let [part, behind @ ..] = rest {
        let mut bytes = *part;
        while let Some((word, behind)) = bytes.split_first_chunk::<8>() {
            sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME).rotate_left(23);
            bytes = behind;
        }
        while let [byte, behind @ ..] = bytes {
            sum = (sum ^ *byte as u64).wrapping_mul(PRIME).rotate_left(23);
            bytes = behind;
        }
        rest = behind;
    }
    sum
}

/// Where an upstream says its address, its key and its proxy are.
struct References {
    base_url: Option<BaseUrl>,
    api_key: Option<ApiKey>,
    proxy: Option<raw::Proxy>,
}

/// Of each upstream, in the order of their names.
fn references(raw: &raw::Gateway) -> Vec<References> {
    let upstreams = raw.upstream.iter().flatten();
    let of = |upstream: &raw::Upstream| References {
        base_url: upstream.base_url.clone(),
        api_key: upstream.api_key.clone(),
        proxy: upstream.proxy.clone(),
    };
    upstreams.map(|(_, upstream)| of(upstream)).collect()
}

fn variable(reference: Option<&BaseUrl>) -> Option<&str> {
    match reference? {
        BaseUrl::Env(from) => from.env.as_deref(),
        BaseUrl::Text(_) => None,
    }
}

/// `None` where it has no address, which is a fault that was told.
fn draft(upstream: Upstream, references: References) -> Option<UpstreamDraft> {
    let Upstream { name, dialect, timeouts, breaker, breaker_per_model, .. } = upstream;
    let Upstream { concurrency, include_usage, terminator, forward_headers, return_headers, tenant, .. } =
        upstream;
    let References { base_url, api_key, proxy } = references;
    let base_url = base_url?;
    // Certificates and bounds of connections are for a place that reads the document itself; here they are faults, which were told.
    Some(UpstreamDraft {
        name,
        dialect,
        base_url,
        api_key,
        timeouts,
        breaker,
        breaker_per_model,
        concurrency,
        include_usage,
        terminator,
        proxy,
        forward_headers,
        return_headers,
        tenant,
    })
}

fn furnished(
    draft: UpstreamDraft,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<Upstream> {
    let UpstreamDraft { name, dialect, base_url, api_key, timeouts, .. } = draft;
    let UpstreamDraft { breaker, breaker_per_model, concurrency, include_usage, terminator, proxy, .. } =
        draft;
    let UpstreamDraft { forward_headers, return_headers, tenant, .. } = draft;
    let references = (&base_url, api_key.as_ref());
    let base_url = upstream::address(references, &path.key("base_url"), surroundings, report)?;
    let credential = match &api_key {
        Some(reference) => credential::credential(reference, &path.key("api_key"), surroundings, report),
        None => Credential::None,
    };
    let proxy = connection::proxy(proxy.as_ref(), &path.key("proxy"), surroundings, report);
    Some(Upstream {
        name,
        dialect,
        base_url,
        credential,
        timeouts,
        breaker,
        breaker_per_model,
        concurrency,
        include_usage,
        terminator,
        proxy,
        tls: None,
        connection_age: connection::AGE,
        http2_connections: connection::HTTP2_CONNECTIONS,
        forward_headers,
        return_headers,
        tenant,
    })
}

impl DefaultsDraft {
    fn of(raw: &raw::Gateway) -> Self {
        let routes = raw.route.iter().flatten();
        let by_route = routes.filter_map(|route| Some((route.model.clone()?, route.defaults.clone()?)));
        Self { gateway: raw.defaults.clone().unwrap_or_default(), by_route: by_route.collect() }
    }

    /// Names of those that hold a number.
    fn variables(&self) -> impl Iterator<Item = &str> {
        let all = self.by_route.values().chain([&self.gateway]);
        let settings = all.flat_map(|raw| [&raw.max_tokens, &raw.max_completion_tokens, &raw.temperature]);
        settings.filter_map(|setting| match setting.as_ref()? {
            Setting::Variable(variable) => variable.env.as_deref(),
            Setting::Number(_) => None,
        })
    }

    fn give(&self, routes: &mut [Route], surroundings: &dyn Surroundings, report: &mut Report<'_>) {
        let gateway = defaults::defaults(&self.gateway, &Path::ROOT.key("defaults"), surroundings, report);
        let path = Path::ROOT.key("route");
        for route in routes {
            let pattern = route.pattern.as_str();
            route.defaults = self.by_route.get(pattern).map_or(gateway, |own| {
                defaults::defaults(own, &path.key(pattern).key("defaults"), surroundings, report)
            });
        }
    }
}

impl Draft {
    /// Every upstream that is named is there: no place in a list is out of it.
    fn is_sound(&self) -> bool {
        let targets = self.routes.iter().flat_map(|route| route.to.iter().chain(&route.fallback));
        let opened = self.passthrough.rules.iter().map(|rule| rule.upstream);
        let mut named = targets.map(|target| target.upstream).chain(opened);
        let is_opening = |pattern: &PathPattern| PathPattern::parse(&pattern.to_text()).is_ok();
        self.passthrough.paths.iter().all(is_opening) && named.all(|UpstreamId(at)| at < self.upstreams.len())
    }
}

#[cfg(test)]
mod tests;

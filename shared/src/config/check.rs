//! From the raw shape to a [`Config`], or to everything that is wrong with it.
//!
//! Each check reports and goes on with what is left: a part that has a fault is left out of the `Config`,
//! which is then thrown away.

mod address;
mod alias;
mod breaker;
mod cache;
mod concurrency;
mod connection;
mod credential;
mod defaults;
mod headers;
mod key;
mod limits;
mod passthrough;
mod prepared;
mod provider;
mod redis;
mod route;
mod server;
mod store;
mod temperature;
mod upstream;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use self::prepared::Prepared;
use self::upstream::Names;
use super::fault::{Fault, Faults, Problem};
use super::path::Path;
use super::redactor::redactor;
use super::report::Report;
use super::source::{self, Document, Format, Surroundings};
use super::{Config, Public, raw};
use crate::identity::access::Auth;
use crate::identity::caller::Keyring;

/// A configuration that holds, and what should be known about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// By line.
    pub warnings: Vec<Fault>,
}

impl Config {
    /// Reads and checks a document; on failure with all its faults.
    ///
    /// A credential that is not to be found is a warning: its upstream cannot be used, the others can.
    pub fn load(document: &Document<'_>, surroundings: &dyn Surroundings) -> Result<Loaded, Faults> {
        if document.format == Format::Prepared {
            return prepared::load(document, surroundings);
        }
        let (tree, lines) = source::read(document)?;
        let mut report = Report::new(document.name, lines);
        let Some(raw) = raw::parse(tree, &mut report) else { return Err(report.into_faults()) };
        let config = check(raw, surroundings, &mut report);
        if report.is_clean() {
            Ok(Loaded { config, warnings: report.into_warnings() })
        } else {
            Err(report.into_faults())
        }
    }

    /// Whether the gateway may listen on `address`, which `source` says in place of the document.
    pub fn check_listen(&self, address: SocketAddr, source: &str) -> Result<(), Fault> {
        if may_listen(self.auth, address) {
            return Ok(());
        }
        let Problem { text: problem, hint } = open_to_others(address);
        Err(Fault { document: source.to_owned(), line: None, path: String::new(), problem, hint })
    }
}

fn check(raw: raw::Gateway, surroundings: &dyn Surroundings, report: &mut Report<'_>) -> Config {
    let root = Path::ROOT;
    let listen = socket(raw.listen.as_deref(), &root.key("listen"), report).unwrap_or(LISTEN);
    let auth = auth(&raw, listen, report);
    let public = public(raw.public.as_deref(), auth);
    let server = server::server(&raw.server.unwrap_or_default(), auth, report);
    let store = store::store(&raw.store.unwrap_or_default(), surroundings, report);

    let (upstreams, routes) = (raw.upstream.unwrap_or_default(), raw.route.unwrap_or_default());
    let names = Names::new(&upstreams);
    let upstreams = upstream::upstreams(upstreams, surroundings, report);
    let written = routes.len();
    let defaults =
        defaults::defaults(&raw.defaults.unwrap_or_default(), &root.key("defaults"), surroundings, report);
    let context = route::Context { names: &names, store: &store, defaults, surroundings };
    let mut routes = route::routes(routes, &context, report);
    let all_known = written > 0 && routes.len() == written && report.is_whole(&root.key("route"));
    let aliases = alias::aliases(&raw.alias, all_known.then_some(routes.as_slice()), report);
    let opened = passthrough::passthrough(raw.passthrough, &names, &upstreams, report);
    let limits = limits::of_callers(raw.limits, report);
    let keys = key::keys(raw.key, &limits, report);
    let admin = raw.admin.map(|raw| key::admin(&raw, auth, &keys, report)).unwrap_or_default();
    route::tell_unlisted(&routes, &aliases, report);
    cache::tell_shared(&routes, auth, &keys, report);
    defaults::tell_unfitting(&routes, &limits, &keys, report);
    passthrough::tell_forgetful(&opened, &store, report);
    passthrough::tell_shared(&opened, &upstreams, auth, &keys, report);

    routes.sort_by_key(|route| route.pattern.precedence());
    let redactor = redactor(&upstreams, surroundings);
    Config {
        listen,
        auth,
        public,
        server,
        upstreams,
        aliases,
        routes,
        passthrough: opened.passthrough,
        keys: Keyring::new(keys),
        limits,
        store,
        admin,
        redactor,
    }
}

/// Where it listens unless the document says something else.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn socket(text: Option<&str>, path: &Path, report: &mut Report<'_>) -> Option<SocketAddr> {
    let parsed = text?.parse().ok();
    if parsed.is_none() {
        let problem = Problem::new("not an address and port");
        report.fault(path, problem.hint("write \"127.0.0.1:8080\" or \"[::1]:8080\""));
    }
    parsed
}

fn public(raw: Option<&[raw::Public]>, auth: Auth) -> Public {
    let is_trial = auth == Auth::Open { on_any_address: false };
    let shows = |what| raw.map_or(is_trial, |shown| shown.contains(&what));
    Public {
        explain: shows(raw::Public::Explain),
        metrics: shows(raw::Public::Metrics),
        ready: shows(raw::Public::Ready),
    }
}

fn auth(raw: &raw::Gateway, listen: SocketAddr, report: &mut Report<'_>) -> Auth {
    let root = Path::ROOT;
    let on_any_address = raw.open_on_any_address.unwrap_or(false);
    let auth = match raw.auth {
        Some(raw::Auth::Open) => Auth::Open { on_any_address },
        Some(raw::Auth::Keys) | None => Auth::Keys,
    };
    if !may_listen(auth, listen) && !report.excuses(&root.key("open_on_any_address")) {
        report.fault(&root.key("listen"), open_to_others(listen));
    }
    let key_is_told = report.excuses(&root.key("auth")) || report.excuses_part_of(&root.key("key"));
    if auth == Auth::Keys && raw.key.is_empty() && !key_is_told {
        let problem = Problem::new("callers need a key, and there is none");
        let hint = "`weir key new` makes one; or set auth = \"open\" to let in anyone on this machine";
        report.fault(&root.key("auth"), problem.hint(hint));
    }
    auth
}

fn may_listen(auth: Auth, address: SocketAddr) -> bool {
    match auth {
        Auth::Keys | Auth::Open { on_any_address: true } => true,
        Auth::Open { on_any_address: false } => address.ip().to_canonical().is_loopback(),
    }
}

fn open_to_others(address: SocketAddr) -> Problem {
    Problem::new(format!("{address} is open to other machines, and with auth = \"open\" to anyone there"))
        .hint("listen on 127.0.0.1, or set auth = \"keys\", or say open_on_any_address = true")
}

/// The least and the most that is allowed.
type Range = (u32, u32);

fn within(
    number: Option<u64>,
    default: u32,
    (least, most): Range,
    path: &Path,
    report: &mut Report<'_>,
) -> u32 {
    let Some(number) = number else { return default };
    match u32::try_from(number) {
        Ok(number) if (least..=most).contains(&number) => number,
        Ok(_) | Err(_) => {
            report.fault(path, format!("must be {least} to {most}"));
            default
        }
    }
}

fn positive(time: Option<raw::Time>, default: Duration, path: &Path, report: &mut Report<'_>) -> Duration {
    let time = time.map_or(default, |time| time.0);
    if time.is_zero() {
        report.fault(path, "must be longer than nothing");
    }
    time
}

fn at_least_one(number: Option<u64>, path: &Path, report: &mut Report<'_>) {
    if number == Some(0) {
        report.fault(path, "must be at least 1");
    }
}

fn at_least_some_time(time: Option<raw::Time>, path: &Path, report: &mut Report<'_>) {
    if let Some(time) = time {
        positive(Some(time), time.0, path, report);
    }
}

/// Refuses what cannot be part of a path, a header or a store's key.
fn check_name(name: &str, path: &Path, report: &mut Report<'_>) {
    const LONGEST: usize = super::fault::LONGEST_NAME;
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if !(first && rest && name.len() <= LONGEST) {
        let hint = "a letter or digit, then up to 63 more, also \".\", \"_\" and \"-\"; all lower case";
        report.fault(path, Problem::new("not a name").hint(hint));
    }
}

/// Refuses what cannot be the name of a model.
fn check_model(name: &str, path: &Path, report: &mut Report<'_>) -> bool {
    let problem = if name.is_empty() {
        "a model needs a name"
    } else if name.len() > 256 {
        "longer than 256 bytes"
    } else if name.trim() != name || name.chars().any(char::is_control) {
        "a model's name has no space around it and no control character in it"
    } else {
        return true;
    };
    report.fault(path, problem);
    false
}

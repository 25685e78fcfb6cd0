//! Upstreams, and the names that stand for them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{address, breaker, check_name, concurrency, connection, credential, headers, positive, provider};
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, ApiKey, BaseUrl};
use crate::config::report::Report;
use crate::config::source::Surroundings;
use crate::routing::upstream::connection::Proxy;
use crate::routing::upstream::{Credential, Dialect, Timeouts, Upstream, UpstreamId};
use crate::wire::headers::{NEVER_FORWARDED, NEVER_RETURNED};

/// Calls that wait for an upstream whose concurrency has a bound.
const QUEUE: u32 = 100;

/// Every upstream's name, those of faulty ones included.
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn new(upstreams: &BTreeMap<String, raw::Upstream>) -> Self {
        Self(upstreams.keys().cloned().collect())
    }

    /// The upstream that is meant at `path`.
    pub(super) fn resolve(&self, name: &str, path: &Path, report: &mut Report<'_>) -> Option<UpstreamId> {
        let found = self.0.binary_search_by(|known| known.as_str().cmp(name));
        let is_news = found.is_err() && !report.is_full();
        if is_news && !report.excuses(&Path::ROOT.key("upstream").key(name)) {
            report.fault(path, Problem::unknown("upstream", name, self.0.iter().map(String::as_str)));
        }
        found.ok().map(UpstreamId)
    }
}

/// In the order of their names.
pub(super) fn upstreams(
    upstreams: BTreeMap<String, raw::Upstream>,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Vec<Upstream> {
    let path = Path::ROOT.key("upstream");
    if upstreams.is_empty() && !report.excuses_part_of(&path) {
        let hint = "add [upstream.NAME] with a dialect and a base_url";
        report.missing(&path, Problem::new("there is no upstream").hint(hint));
    }
    let checked = upstreams.into_iter().filter_map(|(name, raw)| {
        let path = path.key(&name);
        check_name(&name, &path, report);
        upstream(name, &raw, &path, surroundings, report)
    });
    checked.collect()
}

fn upstream(
    name: String,
    raw: &raw::Upstream,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<Upstream> {
    let timeouts = timeouts(raw.timeout.as_ref(), &path.key("timeout"), report);
    let credential = match &raw.api_key {
        Some(reference) => credential::credential(reference, &path.key("api_key"), surroundings, report),
        None => Credential::None,
    };
    let dialect = dialect(raw, path, report);
    let base_url = match raw.dialect {
        Some(raw::Dialect::Simulated) => simulated(raw, path, surroundings, report),
        Some(raw::Dialect::OpenAi | raw::Dialect::Azure) | None => base_url(raw, path, surroundings, report),
    };
    let per_model = raw.breaker.as_ref().and_then(|breaker| breaker.per_model);
    let breaker = raw.breaker.as_ref().map(|raw| breaker::breaker(raw, &path.key("breaker"), report));
    let concurrency = raw
        .concurrency
        .as_ref()
        .and_then(|raw| concurrency::concurrency(raw, QUEUE, &path.key("concurrency"), report));
    let proxy = connection::proxy(raw.proxy.as_ref(), &path.key("proxy"), surroundings, report);
    let tls = connection::tls(raw.tls.as_ref(), &path.key("tls"), surroundings, report);
    let (connection_age, http2_connections) = connection::bounds(raw, path, surroundings, report);
    let forward_headers = headers::names(
        raw.forward_headers.as_deref(),
        &NEVER_FORWARDED,
        &path.key("forward_headers"),
        report,
    );
    let return_headers =
        headers::names(raw.return_headers.as_deref(), &NEVER_RETURNED, &path.key("return_headers"), report);
    let tenant = raw.tenant.clone().inspect(|tenant| check_name(tenant, &path.key("tenant"), report));
    let dialect = dialect?;
    Some(Upstream {
        name,
        base_url: base_url?,
        credential,
        timeouts,
        breaker: breaker.unwrap_or_default(),
        breaker_per_model: per_model.unwrap_or(true),
        concurrency,
        include_usage: raw.include_usage.unwrap_or(true),
        terminator: raw.terminator,
        // What is built in is reached by nothing else.
        proxy: if dialect == Dialect::Simulated { Proxy::None } else { proxy },
        tls,
        connection_age,
        http2_connections,
        forward_headers,
        return_headers,
        tenant,
        dialect,
    })
}

fn dialect(raw: &raw::Upstream, path: &Path, report: &mut Report<'_>) -> Option<Dialect> {
    let dialect = match raw.dialect {
        Some(raw::Dialect::OpenAi) => Dialect::OpenAi,
        Some(raw::Dialect::Simulated) => Dialect::Simulated,
        Some(raw::Dialect::Azure) => return api_version(raw, path, report),
        None => {
            let hint = "dialect = \"openai\" is what most providers speak";
            report.missing(&path.key("dialect"), Problem::new("missing").hint(hint));
            return None;
        }
    };
    if raw.api_version.is_some() {
        report.fault(&path.key("api_version"), "only the dialect \"azure\" has one");
    }
    Some(dialect)
}

fn base_url(
    raw: &raw::Upstream,
    upstream: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<http::Uri> {
    let path = upstream.key("base_url");
    let Some(reference) = &raw.base_url else {
        // A dialect that is spelled wrong may be the one that needs no address.
        if !report.excuses(&upstream.key("dialect")) {
            let hint = "write base_url = \"https://…\", as the provider's documentation gives it";
            report.missing(&path, Problem::new("missing").hint(hint));
        }
        return None;
    };
    let base = address((reference, raw.api_key.as_ref()), &path, surroundings, report)?;
    if raw.tls.is_some() && base.scheme() == Some(&http::uri::Scheme::HTTP) {
        let problem = Problem::new("not used: the base_url is http, and nothing is encrypted");
        report.warn(&upstream.key("tls"), problem.hint("use https://"));
    }
    if raw.dialect == Some(raw::Dialect::OpenAi) {
        provider::tell_odd(&base, &path, report);
    }
    Some(base)
}

/// Where an upstream's API begins, and where its key is.
pub(super) fn address(
    (reference, api_key): (&BaseUrl, Option<&ApiKey>),
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<http::Uri> {
    let text = credential::text(reference, path, surroundings, report)?;
    match address::parse(&text) {
        Ok(uri) => {
            let is_plain = uri.scheme() == Some(&http::uri::Scheme::HTTP);
            if is_plain && api_key.is_some() && !address::is_private(&uri) {
                let problem = Problem::new("the key goes over the network unencrypted");
                report.warn(path, problem.hint("use https://"));
            }
            Some(uri)
        }
        Err(problem) => {
            report.fault(path, problem);
            None
        }
    }
}

fn simulated(
    raw: &raw::Upstream,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<http::Uri> {
    for (key, given) in [
        ("base_url", raw.base_url.is_some()),
        ("api_key", raw.api_key.is_some()),
        ("proxy", raw.proxy.is_some()),
        ("tls", raw.tls.is_some()),
    ] {
        if given {
            report.fault(&path.key(key), "the simulated provider is built in and has none; leave it out");
        }
    }
    let uri = surroundings.simulated();
    if uri.is_none() {
        let problem = Problem::new("there is no simulated provider here");
        report.fault(&path.key("dialect"), problem.hint("`weir serve` has one"));
    }
    uri
}

fn api_version(raw: &raw::Upstream, path: &Path, report: &mut Report<'_>) -> Option<Dialect> {
    let path = path.key("api_version");
    let hint = "write it as in \"2024-10-21\"";
    let Some(version) = &raw.api_version else {
        report.missing(&path, Problem::new("missing: the dialect \"azure\" needs it").hint(hint));
        return None;
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if version.is_empty() || version.len() > 64 || !version.bytes().all(plain) {
        report.fault(&path, Problem::new("not a version").hint(hint));
        return None;
    }
    Some(Dialect::Azure { api_version: version.clone() })
}

fn timeouts(raw: Option<&raw::Timeout>, path: &Path, report: &mut Report<'_>) -> Timeouts {
    let none = raw::Timeout::default();
    let raw = raw.unwrap_or(&none);
    let mut time = |key: &str, time: Option<raw::Time>, default: Duration| {
        positive(time, default, &path.key(key), report)
    };
    let total = time("total", raw.total, Duration::from_mins(10));
    // A short total shortens what nobody has set.
    let within = |seconds| Duration::from_secs(seconds).min(total).max(Duration::from_millis(1));
    let timeouts = Timeouts {
        connect: time("connect", raw.connect, within(5)),
        first_byte: time("first_byte", raw.first_byte, within(120)),
        whole: raw.first_byte.map_or(total, |time| time.0),
        idle: time("idle", raw.idle, within(60)),
        total,
    };
    for (key, time) in [("connect", timeouts.connect), ("first_byte", timeouts.first_byte)] {
        if time > timeouts.total && !timeouts.total.is_zero() {
            let problem = format!("{time:?} is longer than total, which is {:?}", timeouts.total);
            report.fault(&path.key(key), problem);
        }
    }
    timeouts
}

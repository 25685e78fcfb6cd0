//! `GET /health` and `GET /ready`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::breakers;
use crate::config::Config;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Entry, Override};
use crate::routing::upstream::{Credential, UpstreamId};
use crate::store::protocol::{Ask, StoreLost};

/// The process answers: that is all liveness may depend on.
pub(crate) const HEALTH: &[u8] = br#"{"status":"ok"}"#;

const UNCONFIGURED: &[u8] = br#"{"status":"not ready","config":"faulty"}"#;

#[derive(Serialize)]
struct Readiness<'a> {
    status: &'static str,
    /// Lost, each limit does what its `on_store_loss` says; calls are still taken.
    store: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_store_is_lost: Option<String>,
    upstreams: BTreeMap<&'a str, State<'a>>,
}

#[derive(Serialize)]
struct Brief {
    status: &'static str,
}

#[derive(Serialize)]
struct State<'a> {
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    /// What holds for all its models.
    breaker: &'static str,
    /// Of its models those whose own breaker is not closed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<String, &'static str>,
    /// What an operator holds it to.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#override: Option<&'static str>,
    in_flight: u64,
    /// Moving average; 0 before the first call and long after the last.
    time_to_first_byte_ms: u64,
    /// As far as the process remembers.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_unconnected: Option<Unconnected>,
}

/// The last time there was no connection.
#[derive(Serialize)]
struct Unconnected {
    cause: &'static str,
    seconds_ago: u64,
}

/// What a shell answers to a request for `path` when its configuration has faults and it has no other: it is alive and
/// not ready, and calls are refused. What the faults are stands in its log, not in here.
pub fn unconfigured(path: &str) -> Response<Bytes> {
    let (status, body) = match path {
        "/health" => (StatusCode::OK, HEALTH),
        "/ready" => (StatusCode::SERVICE_UNAVAILABLE, UNCONFIGURED),
        _ => {
            let refusal = Refusal::Unconfigured;
            let mut response = Response::new(refusal.to_body());
            *response.status_mut() = refusal.status();
            *response.headers_mut() = refusal.headers();
            return response;
        }
    };
    let mut response = Response::new(Bytes::from_static(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Ready when at least one upstream has what it needs to be asked. Nobody's store is asked for that.
pub(crate) fn status(config: &Config) -> (StatusCode, &'static str) {
    let mut credentials = config.upstreams.iter().map(|upstream| &upstream.credential);
    if credentials.any(|credential| !matches!(credential, Credential::Missing { .. })) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    }
}

/// What strangers are told: upstreams have names, and what is wrong with them may name a secret's place.
pub(crate) fn brief(config: &Config) -> (StatusCode, Bytes) {
    let (code, status) = status(config);
    (code, serde_json::to_vec(&Brief { status }).unwrap_or_default().into())
}

/// What operators are told.
pub(crate) async fn detailed<P: Platform>(platform: &P, config: &Config) -> (StatusCode, Bytes) {
    let ids: Vec<_> =
        config.upstreams.iter().enumerate().map(|(at, u)| (UpstreamId(at), u.name.as_str())).collect();
    let breakers: Vec<String> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    let listing = breakers::read(platform, config).await;
    let opened = platform.open_locally(Ask { standings: &ids, breakers: &breakers, ..Ask::default() });
    let (store, why_store_is_lost) = match listing {
        Ok(_) => ("ok", None),
        Err(StoreLost) => ("lost", platform.why_store_is_lost()),
    };
    let listed = listing.map(|listing| listing.entries);
    let now = platform.now();
    let mut upstreams = BTreeMap::new();
    for (id, name) in ids {
        let why = match &config.upstream(id).credential {
            Credential::None | Credential::Known(_) => None,
            Credential::Missing { why } => Some(why.as_str()),
        };
        let standing = opened.standings.iter().find(|(of, _)| *of == id).map(|(_, s)| *s).unwrap_or_default();
        let gate = match &listed {
            Ok(listed) => listed.iter().find(|entry| entry.breaker == name).map(|entry| entry.gate),
            Err(StoreLost) => opened.gates.get(id.0).copied(),
        };
        let gate = gate.unwrap_or(Gate::Closed);
        let forced = match gate {
            Gate::Forced(Override { forced, .. }) => Some(forced.name()),
            Gate::Closed | Gate::Open { .. } | Gate::HalfOpen => None,
        };
        let state = State {
            usable: why.is_none(),
            why,
            breaker: shown(gate),
            models: models_of(name, listed.as_deref().unwrap_or_default()),
            r#override: forced,
            in_flight: standing.in_flight,
            time_to_first_byte_ms: standing.cost(now) / 1000,
            last_unconnected: standing
                .unconnected
                .map(|(cause, at)| Unconnected { cause: cause.name(), seconds_ago: now.since(at).as_secs() }),
        };
        upstreams.insert(name, state);
    }
    let (code, status) = status(config);
    let body =
        serde_json::to_vec(&Readiness { status, store, why_store_is_lost, upstreams }).unwrap_or_default();
    (code, body.into())
}

const fn shown(gate: Gate) -> &'static str {
    match gate {
        Gate::Closed => "closed",
        Gate::Open { .. } => "open",
        Gate::HalfOpen => "half-open",
        Gate::Forced(Override { forced, .. }) => forced.name(),
    }
}

/// The models of an upstream whose own breaker says something, or an operator of it.
fn models_of(upstream: &str, listed: &[Entry]) -> BTreeMap<String, &'static str> {
    let of_it = listed.iter().filter_map(|entry| {
        let (name, model) = entry.breaker.split_once('/')?;
        let gate = entry.own.map_or(entry.automatic, Gate::Forced);
        (name == upstream && gate != Gate::Closed).then(|| (model.to_owned(), shown(gate)))
    });
    of_it.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_configuration_it_lives_and_serves_nothing() {
        for (path, status, said) in [
            ("/health", 200, r#"{"status":"ok"}"#),
            ("/ready", 503, r#""status":"not ready""#),
            ("/v1/chat/completions", 503, r#""code":"not_configured""#),
            ("/admin/breakers", 503, r#""code":"not_configured""#),
        ] {
            let answer = unconfigured(path);
            assert_eq!(answer.status(), status, "{path}");
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json", "{path}");
            let body = String::from_utf8_lossy(answer.body());
            assert!(body.contains(said), "{path}: {body}");
        }
    }
}

//! What a prepared document consists of: every field, in its order. What is sent between processes as well is
//! named beside its like, in `store/pack.rs`.

use std::net::SocketAddr;

use super::{DefaultsDraft, Draft, UpstreamDraft};
use crate::cache::{self, Sharing};
use crate::config::raw::{self, ApiKey, BaseUrl, FromEnv, FromVariable, Setting, Share, Size, Time};
use crate::config::{Public, Server, WebSocket};
use crate::dialect::endpoint::PathPattern;
use crate::dialect::model_pattern::Pattern;
use crate::identity::access::{Admin, Auth};
use crate::identity::caller::Caller;
use crate::ledger::failure::Condition;
use crate::limits::concurrency::{Bound, Concurrency, Priority};
use crate::routing::passthrough::{Passthrough, PassthroughRule};
use crate::routing::retry::Retry;
use crate::routing::route::{OnDisconnect, Pick, Route, Sticky, Target};
use crate::routing::upstream::{Dialect, Terminator, Timeouts, UpstreamId};
use crate::wire::pack::{Garbled, Pack, Packer, Unpacker, packed};

packed!(struct Draft {
    listen, auth, public, server, upstreams, aliases, routes, passthrough, keys, defaults, limits, store,
    admin,
} if Self::is_sound);
// The simulated provider has no address, so nothing is written that speaks to it.
packed!(struct UpstreamDraft {
    name, dialect, base_url, api_key, timeouts, breaker, breaker_per_model, concurrency, include_usage,
    terminator, proxy, forward_headers, return_headers, tenant,
} if |upstream| !matches!(upstream.dialect, Dialect::Simulated));
packed!(struct Server {
    max_body, max_buffered, min_upload_rate, max_depth, max_n, header_timeout, keep_alive, body_timeout, grace, workers, trusted_proxies, max_connections,
    max_connections_per_address, concurrency, idempotency, max_event, cors, websocket,
});
packed!(struct WebSocket { total, idle });
packed!(struct Admin { hash, listen });
packed!(struct Public { explain, metrics, ready });
packed!(struct Route {
    pattern, to, fallback, fallback_on, pick, sticky, on_disconnect, retry, advertise, limits, breaker, cache,
    hold_back, keep_alive,
} found { defaults });
packed!(struct Passthrough { rules, paths });
packed!(struct PassthroughRule { upstream, paths, methods, models, owners });
packed!(struct DefaultsDraft { gateway, by_route });
packed!(struct raw::Defaults { max_tokens, max_completion_tokens, temperature });
packed!(struct FromVariable { env, default });
packed!(struct raw::Store { kind, url, namespace, timeout, cache, local_share });
packed!(struct FromEnv { env, default });
packed!(struct ApiKey { env, file });
packed!(struct Timeouts { connect, first_byte, whole, idle, total });
packed!(struct cache::Policy {
    ttl, scope, place, max_temperature, stale_while_revalidate, stale_if_error, coalesce, max_entry,
});
packed!(struct Concurrency { bound, queue, wait });
packed!(struct Target { upstream, model, weight });
packed!(struct Retry { attempts, backoff, max_wait });
packed!(struct Caller { name, tenant, models, passthrough, limits, priority });
packed!(struct UpstreamId(at));
packed!(struct Time(span));
packed!(struct Size(bytes));
packed!(struct Share(millionths));

packed!(enum Auth { 0 => Keys, 1 => Open { on_any_address } });
packed!(enum Dialect { 0 => OpenAi, 1 => Azure { api_version }, 2 => Simulated });
packed!(enum raw::Proxy { 0 => Text(text), 1 => Found(reference) });
packed!(enum BaseUrl { 0 => Text(text), 1 => Env(variable) });
packed!(enum Setting { 0 => Number(number), 1 => Variable(variable) });
packed!(enum Bound { 0 => Fixed(count), 1 => Adaptive { least, most } });
packed!(enum raw::StoreKind { 0 => Embedded, 1 => Redis });
packed!(enum Terminator { 0 => Required, 1 => Optional });
packed!(enum Pick { 0 => Weighted, 1 => Fastest, 2 => LeastBusy });
packed!(enum Sticky { 0 => Nothing, 1 => Caller });
packed!(enum OnDisconnect { 0 => Cancel, 1 => Finish });
packed!(enum Condition {
    0 => Connect, 1 => Timeout, 2 => RateLimit, 3 => ServerError, 4 => Credentials, 5 => BadAnswer,
    6 => Quota,
});
packed!(enum Sharing { 0 => Tenant, 1 => Shared });
packed!(enum cache::Place { 0 => Edge, 1 => Kv });
packed!(enum Priority { 0 => Low, 1 => Normal, 2 => High });

impl Pack for Pattern {
    fn pack(&self, to: &mut Packer) {
        self.as_str().to_owned().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        String::unpack(from).map(|text| Self::new(&text))
    }
}

impl Pack for PathPattern {
    fn pack(&self, to: &mut Packer) {
        self.to_text().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        Self::parse_grant(&String::unpack(from)?).map_err(|_| Garbled)
    }
}

impl Pack for SocketAddr {
    fn pack(&self, to: &mut Packer) {
        self.to_string().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        String::unpack(from)?.parse().map_err(|_| Garbled)
    }
}

//! What a call may be answered from beside an upstream: what is kept, what was answered to its
//! `Idempotency-Key`, and an identical call in flight.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::fingerprint::{self, Fingerprint, Framed};
use crate::cache::{Directives, Policy, Sharing};
use crate::dialect::call::{Call, Depends};
use crate::dialect::endpoint::{Form, Operation};
use crate::identity::caller::Caller;
use crate::ledger::cache_status::Status;
use crate::pipeline::exchange::Journey;
use crate::pipeline::heavy;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::plan::Resolved;
use crate::routing::route::OnDisconnect;
use crate::store::lease::Lease;
use crate::store::protocol::{Keeping, Recall, Repeat};
use crate::wire::headers::AllowedHeaders;

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 255;

/// A leader that is heard of no more is waited for this long. It says three times in it that it is still
/// there.
const LEASE: Duration = Duration::from_secs(3);

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where one call may find its answer, and what becomes of that.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// `None` where the route has no cache.
    pub(crate) status: Option<Status>,
    pub(crate) recall: Option<Recall>,
    pub(crate) repeat: Option<Repeat>,
    /// Nothing but what is kept will do.
    pub(crate) only_if_cached: bool,
    /// What identical calls in flight are known by.
    pub(crate) flights: Vec<Fingerprint>,
    /// What they are known by elsewhere, in whatever form they want their answer.
    pub(crate) lease: Option<Lease>,
    /// Whose answer was waited for.
    pub(crate) awaited: Option<u64>,
    /// Whose answer is listened to as it comes.
    pub(crate) overheard: Option<u64>,
    pub(crate) keeping: Keeping,
    /// Bytes of the longest answer that is kept.
    pub(crate) most: u64,
}

/// What makes two calls the same, apart from their bodies.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) operation: Operation,
    /// The model of an Azure-style path.
    pub(crate) deployment: Option<&'a str>,
    pub(crate) suffix: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// Those that an upstream may see.
    pub(crate) allowed: &'a AllowedHeaders,
}

impl<P: Platform> Journey<'_, P> {
    pub(crate) async fn lookup(
        &self,
        request: Request<'_>,
        call: &Call,
        resolved: &Resolved,
        caller: &Caller,
    ) -> Result<Lookup, Refusal> {
        let mut lookup = Lookup::default();
        if let Some(policy) = &self.config.routes[resolved.route].cache {
            lookup.consult(self.platform, policy, request, call, resolved, caller).await;
        }
        if let Some(key) = request.headers.get(IDEMPOTENCY_KEY) {
            let is_key = (1..=LONGEST_KEY).contains(&key.len()) && key.to_str().is_ok();
            if !is_key {
                let problem = format!("it must be 1 to {LONGEST_KEY} printable ASCII characters");
                return Err(Refusal::InvalidParameter { param: "Idempotency-Key".into(), problem });
            }
            let life = self.config.server.idempotency;
            lookup.protect(self.platform, key.as_bytes(), request, call, caller, life).await;
        }
        Ok(lookup)
    }
}

impl Lookup {
    async fn consult<P: Platform>(
        &mut self,
        platform: &P,
        policy: &Policy,
        request: Request<'_>,
        call: &Call,
        resolved: &Resolved,
        caller: &Caller,
    ) {
        let values = request.headers.get_all("cache-control").iter();
        let directives = Directives::parse(values.filter_map(|value| value.to_str().ok()));
        self.only_if_cached = directives.only_if_cached;
        self.status = Some(Status::Bypass);
        // Whose answer depends on what the upstream remembers of other calls has none of its own.
        let is_warm = request.operation != Operation::Embeddings && !policy.takes(call.temperature);
        if directives.no_store || is_warm || call.depends == Depends::OnOtherCalls {
            return;
        }
        // Who relies on a default and who names it ask for the same.
        let body = heavy::of_call(platform, call, |call| {
            fingerprint::of_object(&call.filled(), &["model", "stream", "stream_options", "user"])
        });
        let Some(body) = body.await else { return };
        let mut framed = Framed::new("weir cache 2");
        framed = match policy.scope {
            Sharing::Tenant => framed.field("tenant", caller.tenant.as_bytes()),
            Sharing::Shared => framed.field("shared", b""),
        };
        framed = framed
            .field("operation", request.operation.name().as_bytes())
            .field("query", request.query.unwrap_or_default().as_bytes())
            .field("model", resolved.model.as_bytes())
            .field("headers", fingerprint::of_headers(request.allowed).as_bytes());
        let key = framed.field("body", body.as_bytes()).finish();
        self.recall = policy.window(directives).map(|window| Recall { key, window, place: policy.place });
        (self.keeping.cache, self.keeping.place) = (Some((key, policy.life())), policy.place);
        self.most = policy.max_entry;
        self.status = Some(if self.recall.is_some() { Status::Miss } else { Status::Bypass });
        // Who wants nothing that was asked for before does not want what somebody else waits for either.
        if policy.coalesce && self.recall.is_some() {
            self.flights.push(in_form(key, call));
        }
        // Elsewhere it is the kept answer that is shared, so it has to be one that this client would be
        // given.
        let is_givable = self.recall.is_some_and(|recall| !recall.window.fresh.is_zero());
        if policy.coalesce && is_givable && !self.only_if_cached {
            let form = (call.form() == Form::Events).then(|| in_form(key, call));
            self.lease =
                Some(Lease { tenant: fingerprint::of_tenant(&caller.tenant), key, form, span: LEASE });
        }
    }

    async fn protect<P: Platform>(
        &mut self,
        platform: &P,
        key: &[u8],
        request: Request<'_>,
        call: &Call,
        caller: &Caller,
        life: Duration,
    ) {
        // It is the client's own request that may not change; a default may, while its key is kept.
        let body = heavy::of_call(platform, call, |call| fingerprint::of_object(call.text(), &[]));
        let Some(body) = body.await else { return };
        let key = tenants_own(caller, key);
        // Whatever decides where a call goes is part of it: the path's model stands in no body.
        let mut framed = Framed::new("weir repeated request 2")
            .field("path", request.suffix.as_bytes())
            .field("query", request.query.unwrap_or_default().as_bytes())
            .field("model", call.model.as_bytes());
        if let Some(deployment) = request.deployment {
            framed = framed.field("deployment", deployment.as_bytes());
        }
        let headers = fingerprint::of_headers(request.allowed);
        let fingerprint = framed.field("headers", headers.as_bytes()).field("body", body.as_bytes()).finish();
        let repeat = Repeat { key, request: fingerprint };
        self.repeat = Some(repeat);
        // It wants an answer to keep, and what is listened to is kept by somebody else.
        if let Some(lease) = &mut self.lease {
            lease.form = None;
        }
        self.keeping.repeat = Some((repeat, life));
        self.most = self.most.max(MOST_REPEATED);
        let flight = Framed::new("weir repeated flight 1")
            .field("key", key.as_bytes())
            .field("request", fingerprint.as_bytes())
            .finish();
        self.flights.push(flight);
    }

    /// A call with an `Idempotency-Key` is finished, whoever leaves: it will be asked for again.
    pub(crate) fn on_disconnect(&self, policy: OnDisconnect) -> OnDisconnect {
        if self.repeat.is_some() { OnDisconnect::Finish } else { policy }
    }
}

/// Bytes of the longest answer that is kept for an `Idempotency-Key`.
const MOST_REPEATED: u64 = 4 << 20;

/// A tenant's `Idempotency-Key` is its own: another's may be spelled the same.
fn tenants_own(caller: &Caller, key: &[u8]) -> Fingerprint {
    Framed::new("weir idempotency 1").field("tenant", caller.tenant.as_bytes()).field("key", key).finish()
}

/// An `Idempotency-Key` as an upstream is shown it that knows all tenants as one.
pub(crate) fn upstream_key(caller: &Caller, key: &HeaderValue) -> HeaderValue {
    let hex = tenants_own(caller, key.as_bytes()).to_hex();
    HeaderValue::try_from(hex).unwrap_or(HeaderValue::from_static("weir"))
}

/// Calls share an answer in flight as it is, so they must want it in the same form.
fn in_form(key: Fingerprint, call: &Call) -> Fingerprint {
    let usage: &[u8] = if call.wants_usage { b"usage" } else { b"" };
    let form: &[u8] = match call.form() {
        Form::Whole => b"whole",
        Form::Events => b"events",
    };
    Framed::new("weir flight 1")
        .field("key", key.as_bytes())
        .field("form", form)
        .field("usage", usage)
        .finish()
}

//! One thread's requests: an instance for each, its answer, and what is said when there is none.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue, header};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use wasmtime::component::Resource;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{Error, WasiHttpView as _};
use weir::identity::access::Peer;
use weir::refusal::Refusal;

use super::allowed::AllowedHosts;
use super::answer::{self, Author};
use super::budget::Budgeted;
use super::component::Program;
use super::files::Files;
use super::guest::Guest;
use super::key_value::Kept;
use super::manifest::Manifest;
use super::outbound::{self, Fate, Outbound, Pool};
use super::output::Pace;
use super::redis::{Dialler, Redis};
use super::slots::{Slot, Slots};
use super::variables::Variables;
use crate::cli::{Hosting, RedisConnection};
use crate::client::Trust;
use crate::connections::{self, Arrivals, Ending, Patience};

/// When to come again if no instance is free.
const SHORTLY: Duration = Duration::from_secs(1);

/// Answered by Spin itself, before any component.
const HEALTH: &str = "/.well-known/spin/health";

/// Who the client is, as Spin tells the component: address and port.
const CLIENT: HeaderName = HeaderName::from_static("spin-client-addr");

/// What all instances share.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) manifest: Manifest,
    pub(super) variables: Variables,
    pub(super) allowed: AllowedHosts,
    pub(super) files: Files,
    pub(super) redis_connection: RedisConnection,
    /// Bytes of one instance.
    pub(super) memory: usize,
    /// For which one instance may compute.
    computing: Duration,
    pub(super) kept: Kept,
    pub(super) pace: Arc<Pace>,
    slots: Slots,
}

impl Settings {
    pub(super) fn new(
        hosting: &Hosting,
        manifest: Manifest,
        variables: Variables,
        allowed: AllowedHosts,
        files: Files,
    ) -> Self {
        Self {
            manifest,
            variables,
            allowed,
            files,
            redis_connection: hosting.redis_connection,
            memory: hosting.memory(),
            computing: hosting.computing(),
            kept: Kept::default(),
            pace: Arc::default(),
            slots: Slots::new(usize::try_from(hosting.instances).unwrap_or(usize::MAX)),
        }
    }
}

/// What the requests of a thread share.
#[derive(Clone, Debug)]
struct Desk {
    program: Program,
    settings: Arc<Settings>,
    pool: Arc<Pool>,
    dialler: Arc<Dialler>,
    instances: TaskTracker,
}

/// Serves what comes in until it is told to stop and all instances have ended, or to abort.
pub(super) async fn work(
    program: Program,
    settings: Arc<Settings>,
    trust: Trust,
    patience: Patience,
    arrivals: Arrivals,
    ending: Ending,
) {
    let instances = TaskTracker::new();
    let dialler = Arc::new(Dialler::new(Arc::clone(trust.config())));
    let pool = Arc::new(outbound::pool(trust));
    let desk = Desk { program, settings, pool, dialler, instances: instances.clone() };
    let router = Router::new().route(HEALTH, get(async || "OK")).fallback(answer).with_state(desk);
    connections::serve(arrivals, router, move || patience, instances, ending).await;
}

type Head = Result<http::Response<answer::Answer<HyperOutgoingBody>>, ErrorCode>;

async fn answer(State(desk): State<Desk>, request: Request) -> Response {
    let Some(slot) = desk.settings.slots.take() else {
        return refuse(&Refusal::Overloaded { retry_after: SHORTLY });
    };
    let (head, begun) = oneshot::channel();
    let instances = desk.instances.clone();
    instances.spawn(async move {
        if let Err(failure) = run(desk, request, head, slot).await {
            tracing::error!("the component failed: {failure}");
        }
    });
    match begun.await {
        Ok(Ok(response)) => response.map(axum::body::Body::new),
        Ok(Err(code)) => {
            tracing::error!("the component answers with an error: {code:?}");
            refuse(&Refusal::Internal)
        }
        // It has told why, above.
        Err(_) => refuse(&Refusal::Internal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    (refusal.status(), refusal.headers(), refusal.to_body()).into_response()
}

/// Why an instance did not come to its end.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// An instance, from its beginning to its end. It goes on when the client leaves, as on Spin: it is told at its next
/// write, and closes its books.
async fn run(desk: Desk, request: Request, head: oneshot::Sender<Head>, _slot: Slot) -> Result<(), Failure> {
    let (fate, author) = (Fate::default(), Arc::new(OnceLock::new()));
    let mut store = desk.store(fate.clone())?;
    let (request, out) = hand_over(&mut store, request, head, Arc::clone(&author))?;
    let program = desk.program.proxy.clone();
    let work = async {
        let proxy = program.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    };
    let done = Budgeted::new(work, desk.settings.computing).await;
    let done = match done {
        Ok(done) => done.map_err(Failure::from),
        Err(spent) => Err(Failure(spent.to_string())),
    };
    // The store ends all bodies when it goes, so those that are cut off are marked first.
    if done.is_err() {
        fate.seal();
    }
    if let Some(author) = Arc::into_inner(author).and_then(OnceLock::into_inner) {
        author.leave();
    }
    done
}

type Handed = (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>);

impl Desk {
    fn store(&self, fate: Fate) -> Result<Store<Guest>, Failure> {
        let outbound = Outbound::new(Arc::clone(&self.settings), Arc::clone(&self.pool), fate);
        let redis = Redis::new(Arc::clone(&self.settings), Arc::clone(&self.dialler));
        let guest = Guest::new(&self.settings, outbound, redis);
        let guest = guest.map_err(|crate::cli::Failed(why)| Failure(why))?;
        let mut store = Store::new(self.program.proxy.engine(), guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        Ok(store)
    }
}

/// Gives the instance its request, and a way to answer it.
fn hand_over(
    store: &mut Store<Guest>,
    mut request: Request,
    head: oneshot::Sender<Head>,
    author: Arc<OnceLock<Author<HyperOutgoingBody>>>,
) -> Result<Handed, Failure> {
    request.headers_mut().remove(CLIENT);
    if let Some(Peer(client)) = request.extensions().get::<Peer>().copied()
        && let Ok(client) = HeaderValue::try_from(client.to_string())
    {
        request.headers_mut().insert(CLIENT, client);
    }
    // HTTP/1.0 needs none, a component does.
    request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
    let request = request.map(|body| body.map_err(|_| Error::ConnectionTerminated));
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let out = http.new_response_outparam_from_callback(move |answered| {
        let answered = answered.map(|response| {
            response.map(|body| {
                let (writer, answer) = answer::split(body);
                // There is one answer only.
                let _ = author.set(writer);
                answer
            })
        });
        // The client may have left.
        let _ = head.send(answered);
    })?;
    Ok((request, out))
}

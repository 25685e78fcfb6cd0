//! Room for one call on a connection, and the answer that holds it until its end.

use std::error::Error;
use std::fmt;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::dispatch::{Dispatch, SendFault};

use super::connection::{About, Http1, Http2, Posted};
use super::connector::{Peer, millis};
use super::pool::Pool;

/// A connection that has said nothing for so long when a call on it is given up takes no new one.
const SILENT: Duration = Duration::from_secs(1);

/// What carries a call.
pub(super) enum Carrier<B> {
    Http1(Http1<B>),
    Http2(Arc<Http2<B>>),
}

/// Room for one call. Dropped before the end of the call, a connection of HTTP/1.1 is closed; one of HTTP/2 has room
/// for another call.
pub(super) struct Lease<B: Posted> {
    /// Taken when it goes back.
    carrier: Option<Carrier<B>>,
    /// Where it goes back to.
    pool: Option<Arc<Pool<B>>>,
    /// The call has come to its end.
    is_over: bool,
    started: u64,
}

/// A request that has no answer.
#[expect(
    clippy::large_enum_variant,
    reason = "it is rare, and goes no further than to whoever sends it again"
)]
pub(super) enum Unanswered<B> {
    /// Nothing of it was sent: the connection had ended meanwhile.
    Unsent(Request<B>),
    Failed(SendFault),
}

impl<B> Unanswered<B> {
    pub(super) fn into_fault(self) -> SendFault {
        match self {
            Self::Unsent(_) => SendFault::Broken,
            Self::Failed(fault) => fault,
        }
    }
}

impl<B: Posted> Lease<B> {
    pub(super) fn new(pool: &Arc<Pool<B>>, carrier: Carrier<B>) -> Self {
        Self { carrier: Some(carrier), pool: Some(Arc::clone(pool)), is_over: false, started: millis() }
    }

    /// Of a connection that nobody else uses.
    pub(super) fn alone(carrier: Carrier<B>) -> Self {
        Self { carrier: Some(carrier), pool: None, is_over: false, started: millis() }
    }

    fn about(&self) -> Option<&About> {
        match self.carrier.as_ref()? {
            Carrier::Http1(connection) => Some(&connection.about),
            Carrier::Http2(shared) => Some(&shared.about),
        }
    }

    /// Sends a request whose URI is absolute.
    pub(super) async fn send(
        self,
        mut request: Request<B>,
        dispatch: &Dispatch,
    ) -> Result<Response<Carried<B>>, Unanswered<B>> {
        let mut waiting = Waiting { lease: self, dispatch };
        let was_used = waiting.lease.about().is_some_and(|about| about.past.is_used());
        let answer = match &mut waiting.lease.carrier {
            None => return Err(Unanswered::Failed(SendFault::Broken)),
            Some(Carrier::Http1(connection)) => {
                let named = toward_http1(&mut request, connection.about.peer);
                let sent = connection.sender.try_send_request(request).await;
                sent.map_err(|mut error| {
                    let back = error.take_message().map(|request| named.restore(request));
                    (error, back)
                })
            }
            Some(Carrier::Http2(shared)) => {
                *request.version_mut() = Version::HTTP_2;
                let sent = shared.sender().try_send_request(request).await;
                sent.map_err(|mut error| {
                    let back = error.take_message();
                    (error, back)
                })
            }
        };
        match answer {
            Ok(answer) => {
                let mut lease = waiting.into_lease();
                if let Some(about) = lease.about() {
                    about.past.answered();
                }
                lease.is_over = answer.body().is_end_stream();
                let lease = Some(lease).filter(|lease| !lease.is_over);
                Ok(answer.map(|body| Carried { body, lease }))
            }
            Err((error, back)) => Err(waiting.into_lease().failed(error, back, was_used)),
        }
    }

    /// Sends a request for another protocol, on a connection of HTTP/1.1 that nobody else uses.
    pub(super) async fn upgrade(mut self, mut request: Request<B>) -> Result<Response<Incoming>, SendFault> {
        let Some(Carrier::Http1(Http1 { about, sender })) = &mut self.carrier else {
            return Err(SendFault::Connect(ConnectFault::TlsFailed));
        };
        drop(toward_http1(&mut request, about.peer));
        match sender.try_send_request(request).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(error, None, false).into_fault()),
        }
    }

    fn failed(
        self,
        error: TrySendError<Request<B>>,
        back: Option<Request<B>>,
        was_used: bool,
    ) -> Unanswered<B> {
        let Some(about) = self.about() else { return Unanswered::Failed(SendFault::Broken) };
        if about.past.has_refused() {
            return Unanswered::Failed(SendFault::Connect(ConnectFault::ClientCertificateRefused));
        }
        let is_shared = self.pool.is_some() && matches!(self.carrier, Some(Carrier::Http2(_)));
        if let Some(request) = back.filter(|_| was_used || is_shared) {
            if let Some(Carrier::Http2(shared)) = &self.carrier {
                shared.retire();
            }
            return Unanswered::Unsent(request);
        }
        let error = error.into_error();
        let causes = iter::successors(error.source(), |error| (*error).source());
        let of_http2 = causes.into_iter().find_map(|error| error.downcast_ref::<h2::Error>());
        Unanswered::Failed(match (of_http2, &self.carrier) {
            (Some(error), Some(Carrier::Http2(shared))) => {
                // RFC 9113, 8.7 and 6.8: the upstream has not looked at it. A GOAWAY fails those calls only that are
                // above the last one it names.
                let is_refused = error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
                let is_sent_away = error.is_go_away() && error.is_remote();
                if is_refused {
                    shared.learn_of_refusal();
                }
                if is_refused || is_sent_away {
                    SendFault::Unprocessed
                } else if was_used && error.is_io() {
                    // What has come lately may belong to other calls; of this one there was no head.
                    SendFault::Stale
                } else {
                    SendFault::Broken
                }
            }
            (Some(_) | None, Some(Carrier::Http1(_))) if about.past.is_stale() => SendFault::Stale,
            (Some(_) | None, _) => SendFault::Broken,
        })
    }

    /// The call has failed in its connection's silence, which may be a dead one.
    fn suspect(&self) {
        if let Some(Carrier::Http2(shared)) = &self.carrier {
            shared.retire();
        }
    }

    /// Idle connections of HTTP/1.1 that have said nothing since this call began may be as dead as its own: a network that
    /// forgets one connection forgets others with it.
    fn suspect_idle(&self) {
        if let (Some(Carrier::Http1(_)), Some(pool)) = (&self.carrier, &self.pool) {
            pool.leave_unheard(self.started);
        }
    }

    fn is_silent(&self) -> bool {
        let heard = self.about().map_or(0, |about| about.past.heard_at()).max(self.started);
        u128::from(millis().saturating_sub(heard)) >= SILENT.as_millis()
    }
}

impl<B: Posted> Drop for Lease<B> {
    fn drop(&mut self) {
        let (pool, is_over) = (self.pool.take(), self.is_over);
        match self.carrier.take() {
            None => {}
            Some(Carrier::Http1(connection)) => {
                if let Some(pool) = pool.filter(|_| is_over) {
                    pool.return_http1(connection);
                }
            }
            Some(Carrier::Http2(shared)) => {
                shared.give_back();
                if let Some(pool) = pool {
                    pool.return_http2();
                }
            }
        }
    }
}

/// A call whose answer has not begun.
struct Waiting<'a, B: Posted> {
    lease: Lease<B>,
    dispatch: &'a Dispatch,
}

impl<B: Posted> Waiting<'_, B> {
    fn into_lease(mut self) -> Lease<B> {
        std::mem::replace(&mut self.lease, Lease { carrier: None, pool: None, is_over: true, started: 0 })
    }
}

impl<B: Posted> Drop for Waiting<'_, B> {
    /// It was given up: its time is over, or its client has left.
    fn drop(&mut self) {
        let has_timed_out = self.dispatch.has_timed_out();
        if self.lease.carrier.is_some() && (has_timed_out || self.lease.is_silent()) {
            self.lease.suspect();
        }
        if has_timed_out {
            self.lease.suspect_idle();
        }
    }
}

/// An answer's body, which holds its connection until its end.
pub(crate) struct Carried<B: Posted> {
    body: Incoming,
    lease: Option<Lease<B>>,
}

impl<B: Posted> From<Incoming> for Carried<B> {
    /// Its connection is nobody's any more.
    fn from(body: Incoming) -> Self {
        Self { body, lease: None }
    }
}

impl<B: Posted> fmt::Debug for Carried<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").field("body", &self.body).finish_non_exhaustive()
    }
}

impl<B: Posted> Body for Carried<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            if let Some(lease) = &mut self.lease {
                lease.is_over = true;
            }
            self.lease = None;
        } else if matches!(polled, Poll::Ready(Some(Err(_)))) {
            self.lease = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Posted> Drop for Carried<B> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.as_ref().filter(|lease| lease.is_silent()) {
            lease.suspect();
        }
    }
}

/// What a request was named by before it was sent.
struct Named {
    uri: Uri,
    is_host_added: bool,
}

impl Named {
    fn restore<B>(self, mut request: Request<B>) -> Request<B> {
        *request.uri_mut() = self.uri;
        if self.is_host_added {
            request.headers_mut().remove(HOST);
        }
        request
    }
}

/// HTTP/1.1 names the host in a header, and all of the URI only toward a proxy.
fn toward_http1<B>(request: &mut Request<B>, peer: Peer) -> Named {
    *request.version_mut() = Version::HTTP_11;
    let uri = request.uri().clone();
    let is_host_added = !request.headers().contains_key(HOST);
    if is_host_added && let Some(host) = host(&uri) {
        request.headers_mut().insert(HOST, host);
    }
    match peer {
        Peer::Proxy => {}
        Peer::Upstream => {
            let target = uri.path_and_query().cloned();
            let target = target.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from(target);
        }
    }
    Named { uri, is_host_added }
}

/// The port is left out where it is the scheme's.
fn host(uri: &Uri) -> Option<HeaderValue> {
    let (host, port) = (uri.host()?, uri.port_u16());
    let default = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    match port.filter(|port| *port != default) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")).ok(),
        None => HeaderValue::from_str(host).ok(),
    }
}

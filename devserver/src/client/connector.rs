//! How a connection to an upstream comes about: name, network, proxy, TLS. All of it is bounded by the upstream's
//! `timeout.connect`, and what stands in the way is told apart.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use weir::config::{Proxy, ProxyAddress};
use weir::platform::ConnectFault;

use super::proxy::{EnvironmentProxies, Hop, tunnel};
use super::stream::Stream;

/// A clone is the same connector.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Names>,
    tls: TlsConnector,
    way: Way,
    patience: Duration,
    refusals: Refusals,
}

/// Through what connections go.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) proxy: Proxy,
    pub(super) environment: Arc<EnvironmentProxies>,
    /// What a proxy is trusted by that is spoken to by TLS itself.
    pub(super) tls: Arc<ClientConfig>,
}

impl Connector {
    pub(super) fn new(patience: Duration, tls: Arc<ClientConfig>, way: Way) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Names(GaiResolver::new()));
        tcp.set_connect_timeout(Some(patience));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_mins(1)));
        tcp.enforce_http(false);
        Self { tcp, tls: TlsConnector::from(tls), way, patience, refusals: Refusals::default() }
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    async fn connect(mut self, to: Uri) -> Result<Link, ConnectFault> {
        let deadline = Instant::now() + self.patience;
        let is_plain = to.scheme() == Some(&Scheme::HTTP);
        let proxy = match self.way.environment.hop(&self.way.proxy, &to) {
            Hop::Direct => {
                let network = self.network(&to);
                let network = timeout_at(deadline, network).await.map_err(|_| ConnectFault::TimedOut)??;
                if is_plain {
                    return Ok(Link::new(network, Peer::Upstream, &self.refusals));
                }
                return self.secured(network, &to, deadline).await;
            }
            Hop::Through(proxy) => proxy,
            Hop::Unusable => return Err(ConnectFault::ProxyUnsupported),
        };
        let reached = self.reach(&proxy, (!is_plain).then_some(&to));
        let reached = timeout_at(deadline, reached).await.map_err(|_| ConnectFault::ProxyTimedOut)??;
        if is_plain {
            return Ok(Link::new(reached, Peer::Proxy, &self.refusals));
        }
        self.secured(reached, &to, deadline).await
    }

    async fn network(&mut self, to: &Uri) -> Result<Stream, ConnectFault> {
        poll_fn(|cx| self.tcp.poll_ready(cx)).await.map_err(|error| cause(&error))?;
        let tcp = self.tcp.call(to.clone()).await.map_err(|error| cause(&error))?;
        Ok(Stream::Plain(tcp.into_inner()))
    }

    /// The proxy, or what it has connected with.
    async fn reach(&mut self, proxy: &ProxyAddress, beyond: Option<&Uri>) -> Result<Stream, ConnectFault> {
        let mut stream = self.network(proxy.uri()).await.map_err(|fault| match fault {
            ConnectFault::TimedOut => ConnectFault::ProxyTimedOut,
            _ => ConnectFault::ProxyUnreachable,
        })?;
        if proxy.uri().scheme() == Some(&Scheme::HTTPS) {
            let name = server_name(proxy.uri()).ok_or(ConnectFault::ProxyUnreachable)?;
            let mut config = ClientConfig::clone(&self.way.tls);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            stream = Stream::Secured(Box::new(secured.map_err(|_| ConnectFault::ProxyUnreachable)?));
        }
        match beyond {
            Some(to) => tunnel(stream, proxy, to).await,
            None => Ok(stream),
        }
    }

    async fn secured(&self, stream: Stream, to: &Uri, deadline: Instant) -> Result<Link, ConnectFault> {
        let name = server_name(to).ok_or(ConnectFault::NameUnresolved)?;
        let secured = timeout_at(deadline, self.tls.connect(name, stream)).await;
        let secured = secured.map_err(|_| ConnectFault::TlsTimedOut)?;
        let secured = secured.map_err(|error| tls_cause(&error).unwrap_or(ConnectFault::TlsFailed))?;
        Ok(Link::new(Stream::Secured(Box::new(secured)), Peer::Upstream, &self.refusals))
    }
}

/// There is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unconnected(pub(super) ConnectFault);

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Error for Unconnected {}

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = Unconnected;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, Unconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.clone().connect(to);
        Box::pin(async move { connecting.await.map(TokioIo::new).map_err(Unconnected) })
    }
}

/// Names as the machine resolves them; a failure is known as one.
#[derive(Clone)]
struct Names(GaiResolver);

/// The name leads to no address.
#[derive(Debug)]
struct Unresolved;

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ConnectFault::NameUnresolved.name())
    }
}

impl Error for Unresolved {}

impl Service<Name> for Names {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(|_| Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(|_| Unresolved) })
    }
}

fn server_name(to: &Uri) -> Option<ServerName<'static>> {
    let host = to.host()?.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).ok()
}

/// What stood in the way of the network.
fn cause(error: &(dyn Error + 'static)) -> ConnectFault {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Unresolved>() {
            return ConnectFault::NameUnresolved;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => ConnectFault::Refused,
                io::ErrorKind::TimedOut => ConnectFault::TimedOut,
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                    ConnectFault::Unreachable
                }
                _ => ConnectFault::Unknown,
            };
        }
        next = error.source();
    }
    ConnectFault::Unknown
}

/// What stood in the way of TLS. `None` where it is no error of TLS.
fn tls_cause(error: &io::Error) -> Option<ConnectFault> {
    use AlertDescription as Alert;
    Some(match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ConnectFault::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ConnectFault::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ConnectFault::CertificateOfAnotherName
            }
            CertificateError::UnknownIssuer => ConnectFault::UnknownIssuer,
            // Whatever else is wrong with it.
            _ => ConnectFault::CertificateInvalid,
        },
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA,
        ) => ConnectFault::ClientCertificateRefused,
        _ => ConnectFault::TlsFailed,
    })
}

/// What became of a connection, for whoever sent something on it. A clone is of the same connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    answered: AtomicBool,
    heard: AtomicBool,
    refused: AtomicBool,
    refusals: Refusals,
}

/// How many connections of a pool were refused for their client certificate, or the want of one. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<AtomicU64>);

impl Refusals {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Past {
    /// An answer has begun on it.
    pub(super) fn answered(&self) {
        self.0.answered.store(true, Ordering::Relaxed);
    }

    /// Whether it had carried a call to its answer, and nothing has come since something was last written.
    pub(super) fn is_stale(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed) && !self.0.heard.load(Ordering::Relaxed)
    }

    /// Whether the upstream did not like the client's certificate, or missed one. With TLS 1.3 the client learns only
    /// then, behind its first request.
    pub(super) fn has_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }

    fn note_refusal(&self, error: &io::Error) {
        if tls_cause(error) == Some(ConnectFault::ClientCertificateRefused) {
            self.0.refused.store(true, Ordering::Relaxed);
            self.0.refusals.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it had carried a call to its answer.
    pub(super) fn is_used(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed)
    }
}

/// A connection to an upstream.
pub(super) struct Link {
    stream: Stream,
    peer: Peer,
    past: Past,
    /// Nothing can be written any more.
    broken: Option<io::Error>,
}

/// With whom HTTP is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Upstream,
    /// The proxy, which reads where a request shall go.
    Proxy,
}

impl Link {
    fn new(stream: Stream, peer: Peer, refusals: &Refusals) -> Self {
        let marks = Marks { refusals: refusals.clone(), ..Marks::default() };
        Self { stream, peer, past: Past(Arc::new(marks)), broken: None }
    }

    /// Writes, unless that has failed: whoever can write nothing reads nothing more, so the last that the upstream has
    /// said, which may be why, is read first.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = match self.broken.take() {
            Some(error) => Err(error),
            None => ready!(write(Pin::new(&mut self.stream), cx)),
        };
        let Err(error) = written else { return Poll::Ready(written) };
        if !self.past.is_used() && !self.past.has_refused() {
            let mut scratch = [0; 256];
            match Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut scratch)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(last)) => self.past.note_refusal(&last),
                // A broken connection can be read to its end as soon as the runtime has heard of that.
                Poll::Pending => {
                    self.broken = Some(error);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Err(error))
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.past.clone()).proxy(self.peer == Peer::Proxy);
        match &self.stream {
            Stream::Secured(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            Stream::Secured(_) | Stream::Plain(_) => connected,
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.past.0.heard.store(true, Ordering::Relaxed);
        }
        if let Poll::Ready(Err(error)) = &polled {
            self.past.note_refusal(error);
        }
        polled
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.past.0.heard.store(false, Ordering::Relaxed);
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, Stream::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.past.0.heard.store(false, Ordering::Relaxed);
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }
}

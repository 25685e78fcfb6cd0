//! How a connection to an upstream comes about: name, network, proxy, TLS. All of it is bounded by the upstream's
//! `timeout.connect`, and what stands in the way is told apart.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use http::Uri;
use http::uri::Scheme;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::connection::{Proxy, ProxyAddress};

use super::network::{self, Reached};
use super::proxy::{EnvironmentProxies, Hop, tunnel};
use super::stream::Stream;

/// How connections that are made alike come about.
pub(super) struct Connector {
    tls: TlsConnector,
    way: Way,
}

/// Through what connections go.
pub(super) struct Way {
    pub(super) proxy: Proxy,
    pub(super) environment: Arc<EnvironmentProxies>,
    /// What a proxy is trusted by that is spoken to by TLS itself.
    pub(super) tls: Arc<ClientConfig>,
}

/// A connection, and what was learned of addresses on the way.
pub(super) struct Connected {
    pub(super) link: Link,
    /// Of the upstream, or of what leads to it.
    pub(super) address: SocketAddr,
    pub(super) refused: Vec<SocketAddr>,
}

impl Connector {
    pub(super) fn new(tls: Arc<ClientConfig>, way: Way) -> Self {
        Self { tls: TlsConnector::from(tls), way }
    }

    /// Connects with the upstream at `to`: name, network, proxy and TLS have until `deadline` together.
    pub(super) async fn connect(&self, to: &Uri, deadline: Instant) -> Result<Connected, ConnectFault> {
        let is_plain = to.scheme() == Some(&Scheme::HTTP);
        let proxy = match self.way.environment.hop(&self.way.proxy, to) {
            Hop::Direct => {
                let Reached { stream, address, refused } = network::reach(to, deadline).await?;
                let stream = Stream::Plain(stream);
                let link = if is_plain {
                    Link::new(stream, Peer::Upstream)
                } else {
                    self.secured(stream, to, deadline).await?
                };
                return Ok(Connected { link, address, refused });
            }
            Hop::Through(proxy) => proxy,
            Hop::Unusable => return Err(ConnectFault::ProxyUnsupported),
        };
        let reached = self.reach(&proxy, (!is_plain).then_some(to), deadline);
        let reached = timeout_at(deadline, reached).await.map_err(|_| ConnectFault::ProxyTimedOut)?;
        let (stream, address) = reached?;
        let link = if is_plain {
            Link::new(stream, Peer::Proxy)
        } else {
            self.secured(stream, to, deadline).await?
        };
        Ok(Connected { link, address, refused: Vec::new() })
    }

    /// The proxy, or what it has connected with.
    async fn reach(
        &self,
        proxy: &ProxyAddress,
        beyond: Option<&Uri>,
        deadline: Instant,
    ) -> Result<(Stream, SocketAddr), ConnectFault> {
        let reached = network::reach(proxy.uri(), deadline).await.map_err(|fault| match fault {
            ConnectFault::TimedOut | ConnectFault::NameTimedOut => ConnectFault::ProxyTimedOut,
            fault if fault.shortage().is_some() => fault,
            _ => ConnectFault::ProxyUnreachable,
        })?;
        let (mut stream, address) = (Stream::Plain(reached.stream), reached.address);
        if proxy.uri().scheme() == Some(&Scheme::HTTPS) {
            let name = server_name(proxy.uri()).ok_or(ConnectFault::ProxyUnreachable)?;
            let mut config = ClientConfig::clone(&self.way.tls);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            stream = Stream::Secured(Box::new(secured.map_err(|_| ConnectFault::ProxyUnreachable)?));
        }
        let stream = match beyond {
            Some(to) => tunnel(stream, proxy, to).await?,
            None => stream,
        };
        Ok((stream, address))
    }

    async fn secured(&self, stream: Stream, to: &Uri, deadline: Instant) -> Result<Link, ConnectFault> {
        let name = server_name(to).ok_or(ConnectFault::NameUnresolved)?;
        let secured = timeout_at(deadline, self.tls.connect(name, stream)).await;
        let secured = secured.map_err(|_| ConnectFault::TlsTimedOut)?;
        let secured = secured.map_err(|error| tls_cause(&error).unwrap_or(ConnectFault::TlsFailed))?;
        Ok(Link::new(Stream::Secured(Box::new(secured)), Peer::Upstream))
    }
}

fn server_name(to: &Uri) -> Option<ServerName<'static>> {
    let host = to.host()?.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).ok()
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
    /// When something last came, in [`millis`].
    heard_at: AtomicU64,
    refused: AtomicBool,
}

/// Milliseconds since the first time that somebody asked.
pub(super) fn millis() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
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
        }
    }

    /// Whether it had carried a call to its answer.
    pub(super) fn is_used(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// When something last came on it, in [`millis`].
    pub(super) fn heard_at(&self) -> u64 {
        self.0.heard_at.load(Ordering::Relaxed)
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Upstream,
    /// The proxy, which reads where a request shall go.
    Proxy,
}

impl Link {
    fn new(stream: Stream, peer: Peer) -> Self {
        Self { stream, peer, past: Past::default(), broken: None }
    }

    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether both have agreed on HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        match &self.stream {
            Stream::Secured(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            Stream::Plain(_) => false,
        }
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
            self.past.0.heard_at.store(millis(), Ordering::Relaxed);
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

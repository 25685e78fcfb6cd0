//! Upstreams behind TLS, and what certifies them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Whoever signs certificates.
#[derive(Debug)]
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Leaf {
    pub cert: String,
    pub key: String,
}

impl Authority {
    #[expect(clippy::new_without_default, reason = "none is like another")]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // Two of the same name would be taken for one whose signature is wrong.
        let own = format!("authority {:?}", key.public_key_raw());
        params.distinguished_name.push(DnType::CommonName, own);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn signed(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    pub fn leaf(&self, name: &str) -> Leaf {
        let (cert, key) = self.signed(name);
        Leaf { cert: cert.pem(), key: key.serialize_pem() }
    }
}

impl Leaf {
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap().to_vec()
    }
}

/// What an upstream wants to be shown.
#[derive(Clone, Copy, Debug)]
pub enum Asks<'a> {
    Nothing,
    /// A certificate by this authority, and nobody is served without.
    Certificate(&'a Authority),
    /// The same, and others are served as well.
    CertificateOrNone(&'a Authority),
}

/// A request as an upstream behind TLS has had it.
#[derive(Clone, Debug)]
pub struct Had {
    pub version: Version,
    pub headers: HeaderMap,
    /// The client's certificate.
    pub identity: Option<Vec<u8>>,
}

/// An upstream with a certificate of its own authority.
#[derive(Debug)]
pub struct Secure {
    pub address: SocketAddr,
    /// The authority's certificate.
    pub authority: PathBuf,
    had: Arc<Mutex<Vec<Had>>>,
    _folder: TempDir,
}

impl Secure {
    pub async fn start(name: &str, protocols: &[&str]) -> Self {
        Self::that_asks(Asks::Nothing, name, protocols).await
    }

    pub async fn that_asks(asks: Asks<'_>, name: &str, protocols: &[&str]) -> Self {
        let authority = Authority::new();
        let mut config = server(&authority, asks, name);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority.pem");
        std::fs::write(&path, authority.pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let had = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&had)));
        Self { address, authority: path, had, _folder: folder }
    }

    pub fn had(&self) -> Vec<Had> {
        self.had.lock().unwrap().clone()
    }

    pub fn spoken(&self) -> Vec<Version> {
        self.had().iter().map(|had| had.version).collect()
    }
}

/// A server of TLS with a certificate for `name`.
pub fn server(authority: &Authority, asks: Asks<'_>, name: &str) -> ServerConfig {
    let (cert, key) = authority.signed(name);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let trusted = |authority: &Authority| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
    };
    let config = match asks {
        Asks::Nothing => config.with_no_client_auth(),
        Asks::Certificate(by) => config.with_client_cert_verifier(trusted(by).build().unwrap()),
        Asks::CertificateOrNone(by) => {
            let verifier = trusted(by).allow_unauthenticated().build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    config.with_single_cert(vec![cert.der().clone()], key).unwrap()
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, had: Arc<Mutex<Vec<Had>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, had) = (acceptor.clone(), Arc::clone(&had));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let identity = shown.map(|shown| shown.to_vec());
            let service = service_fn(move |request: Request<Incoming>| {
                let (version, headers) = (request.version(), request.headers().clone());
                had.lock().unwrap().push(Had { version, headers, identity: identity.clone() });
                async { Ok::<_, Infallible>(answer(request).await) }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let is_streamed = String::from_utf8_lossy(&body).contains("\"stream\":true");
    let (kind, text) = if is_streamed {
        let event = crate::reply::event("hi");
        ("text/event-stream", format!("{event}{}data: [DONE]\n\n", crate::reply::finish()))
    } else {
        let message = r#"{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}"#;
        ("application/json", format!(r#"{{"object":"chat.completion","choices":[{message}]}}"#))
    };
    Response::builder().header("content-type", kind).body(text.into()).unwrap()
}

/// What takes TLS off what is behind it.
#[derive(Debug)]
pub struct Front {
    pub address: SocketAddr,
    /// In PEM.
    pub authority: String,
}

pub async fn front(name: &str, to: SocketAddr) -> Front {
    let authority = Authority::new();
    let config = server(&authority, Asks::Nothing, name);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut behind = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    Front { address, authority: authority.pem }
}

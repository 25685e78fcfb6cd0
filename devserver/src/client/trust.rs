//! Which authorities are trusted, and what the gateway shows of itself.

use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use weir::routing::upstream::connection::{Dialer, Tls, TlsFault, TlsFile};
use weir::secret::Secret;

use crate::cli::Failed;

/// Variables that say what is trusted in place of the machine's own list.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What upstreams are trusted by that say nothing of it. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// In what this machine trusts, or `SSL_CERT_FILE` and `SSL_CERT_DIR` name, and in Mozilla's list where that is
    /// nothing.
    pub(crate) fn of_machine() -> Result<Self, Failed> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let why = why.join("; ");
        let is_named = VARIABLES.iter().any(|name| std::env::var_os(name).is_some());
        if roots.is_empty() && is_named {
            return Err(Failed(format!("SSL_CERT_FILE and SSL_CERT_DIR name no certificate: {why}")));
        }
        if !why.is_empty() {
            tracing::warn!("not all trusted certificates could be read: {why}");
        }
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let none = Tls::new(None, None);
        let config = config(roots.clone(), &none).map_err(|fault| Failed::because("no TLS", fault.why))?;
        Ok(Self { roots: Arc::new(roots), config: Arc::new(config) })
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The same with certificates of an upstream.
    pub(super) fn with(&self, tls: &Tls) -> Result<ClientConfig, TlsFault> {
        config(RootCertStore::clone(&self.roots), tls)
    }
}

/// Makes connections as a document says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NativeDialer;

impl Dialer for NativeDialer {
    fn check(&self, tls: &Tls) -> Result<(), TlsFault> {
        config(RootCertStore::empty(), tls).map(drop)
    }
}

fn config(mut roots: RootCertStore, tls: &Tls) -> Result<ClientConfig, TlsFault> {
    let fault = |file: TlsFile| move |why: String| TlsFault { file, why };
    if let Some(ca) = &tls.ca {
        for certificate in certificates(ca).map_err(fault(TlsFile::Ca))? {
            roots.add(certificate).map_err(|e| fault(TlsFile::Ca)(odd(&e)))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| fault(TlsFile::Ca)(odd(&e)))?.with_root_certificates(roots);
    let mut config = match &tls.identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.cert).map_err(fault(TlsFile::Cert))?;
            let key = key(&identity.key).map_err(fault(TlsFile::Key))?;
            config.with_client_auth_cert(chain, key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    fault(TlsFile::Key)("is not the key of the certificate".to_owned())
                }
                rustls::Error::InvalidCertificate(_) => fault(TlsFile::Cert)(odd(&error)),
                error => fault(TlsFile::Key)(odd(&error)),
            })?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn odd(error: &rustls::Error) -> String {
    format!("cannot be used: {error}")
}

/// At least one.
fn certificates(pem: &Secret) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem.expose().as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned())
        }
        Ok(found) => Ok(found),
        Err(_) => Err("is damaged: not PEM".to_owned()),
    }
}

fn key(pem: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            "holds no key in PEM (-----BEGIN PRIVATE KEY-----), or one that is encrypted".to_owned()
        }
        // The words of the others quote what they found.
        _ => "is damaged: not PEM".to_owned(),
    })
}

//! How connections to an upstream are made: through which proxy, and with which certificates.
//!
//! Only a shell that makes its connections itself can heed it (it has a [`Dialer`]); elsewhere a document that says it
//! has a fault, so that nobody believes in a proxy or a certificate that nothing uses.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Uri;
use http::uri::{Authority, Scheme};

use crate::cache::fingerprint::{Fingerprint, Framed};
use crate::secret::Secret;
use crate::wire::percent::unescaped;

/// Through what an upstream is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// What the environment of the process says, `HTTPS_PROXY` and the others.
    #[default]
    Environment,
    /// Nothing, whatever the environment says.
    None,
    At(ProxyAddress),
}

/// Where an HTTP proxy is, and what it is shown. Its `Display` has no credential in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    uri: Uri,
    authorization: Option<Secret>,
    id: Fingerprint,
}

impl ProxyAddress {
    /// Reads `[http[s]://][user[:password]@]host[:port]`. The refusal quotes nothing, as a password may be in it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err("a proxy of a kind that is not spoken here: only http:// and https:// are"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // Parsers disagree about where a host begins behind one of these.
        if rest.contains(['/', '\\', '?', '#']) {
            return Err("not the address of a proxy");
        }
        let (user_info, place) = match rest.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, rest),
        };
        let uri = Uri::builder().scheme(scheme).authority(place).path_and_query("/").build();
        let uri = uri.map_err(|_| "not the address of a proxy")?;
        let host = uri.host().unwrap_or("");
        let has_odd_port = || uri.port_u16().is_none_or(|port| port == 0);
        if host.trim_matches(['[', ']']).is_empty() || (host != place && has_odd_port()) {
            return Err("not the address of a proxy");
        }
        let authorization = match user_info {
            None => None,
            Some(user_info) => Some(Secret::new(basic(user_info).ok_or("not a proxy's user and password")?)),
        };
        let shown = authorization.as_ref().map_or("", Secret::expose);
        let id = Framed::new("weir proxy 1").field("uri", uri.to_string().as_bytes());
        let id = id.field("authorization", shown.as_bytes()).finish();
        Ok(Self { uri, authorization, id })
    }

    /// Scheme, host and port.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What it is shown as `Proxy-Authorization`.
    pub fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }

    /// Other proxies have others, and so has this one with another credential.
    pub fn id(&self) -> Fingerprint {
        self.id
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.uri.authority().map_or("", Authority::as_str);
        write!(f, "{}://{authority}", self.uri.scheme_str().unwrap_or_default())
    }
}

/// `user:password` with its percent-encoding taken off, as a header says it (RFC 7617).
fn basic(user_info: &str) -> Option<String> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let both = format!("{}:{}", unescaped(user)?, unescaped(password)?);
    Some(format!("Basic {}", BASE64.encode(both)))
}

/// Certificates of an upstream, as PEM files hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that are trusted beside those that the machine trusts.
    pub ca: Option<Secret>,
    /// What the gateway shows of itself.
    pub identity: Option<Identity>,
    id: Fingerprint,
}

/// A client certificate with those that lead to its authority, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cert: Secret,
    pub key: Secret,
}

impl Tls {
    pub fn new(ca: Option<Secret>, identity: Option<Identity>) -> Self {
        let pem = |pem: Option<&Secret>| pem.map_or("", Secret::expose).to_owned();
        let id = Framed::new("weir tls 1")
            .field("ca", pem(ca.as_ref()).as_bytes())
            .field("cert", pem(identity.as_ref().map(|identity| &identity.cert)).as_bytes())
            .field("key", pem(identity.as_ref().map(|identity| &identity.key)).as_bytes())
            .finish();
        Self { ca, identity, id }
    }

    /// Other contents have others.
    pub fn id(&self) -> Fingerprint {
        self.id
    }
}

/// Makes connections to upstreams.
pub trait Dialer {
    /// Whether connections can be made with these; otherwise what is wrong with which of them.
    fn check(&self, tls: &Tls) -> Result<(), TlsFault>;
}

/// No connection can be made with a file of [`Tls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    pub file: TlsFile,
    /// In words that quote nothing of it.
    pub why: String,
}

/// A file of [`Tls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    Ca,
    Cert,
    Key,
}

impl TlsFile {
    /// As a document calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Cert => "cert",
            Self::Key => "key",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_where_its_address_says_and_is_shown_what_stands_before_it() {
        for (text, shown, authorization) in [
            ("http://proxy.example:3128", "http://proxy.example:3128", None),
            ("HTTP://proxy.example/", "http://proxy.example", None),
            ("https://proxy.example", "https://proxy.example", None),
            ("proxy.example:3128", "http://proxy.example:3128", None),
            ("http://[::1]:3128", "http://[::1]:3128", None),
            ("http://u:p@h:1", "http://h:1", Some("Basic dTpw")),
            ("u@h:1", "http://h:1", Some("Basic dTo=")),
            // RFC 7617's own example, and signs that an address has to encode.
            ("http://Aladdin:open%20sesame@h", "http://h", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("http://u:p%40%3a@h", "http://h", Some("Basic dTpwQDo=")),
        ] {
            let proxy = ProxyAddress::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(proxy.to_string(), shown, "{text}");
            assert_eq!(proxy.authorization().map(Secret::expose), authorization, "{text}");
            assert!(!format!("{proxy:?}").contains("Basic"), "{proxy:?}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused_and_not_quoted() {
        for text in [
            "",
            "http://",
            "http://@",
            "http://canary:canary@",
            "socks5://canary@h:1080",
            "ftp://h",
            "http://h:0",
            "http://h:",
            "http://h:99999",
            "http://h/path",
            "http://h?x=1",
            "http://h h",
            "http://u:can/ary@h",
            "http://u:%zz@h",
            "http://[]:1",
            "h\u{f6}st:1",
        ] {
            let refused = ProxyAddress::parse(text);
            let why = refused.expect_err(text);
            assert!(!why.contains("canary"), "{text}: {why}");
        }
    }

    #[test]
    fn proxies_and_certificates_are_told_apart_by_all_they_consist_of() {
        let proxy = |text| ProxyAddress::parse(text).unwrap().id();
        assert_eq!(proxy("http://u:p@h:1"), proxy("u:p@h:1/"));
        let others = ["http://h:1", "http://u:q@h:1", "https://u:p@h:1", "http://u:p@h:2"];
        assert!(others.iter().all(|other| proxy(other) != proxy("http://u:p@h:1")));
        let pem = |text: &str| Secret::new(text);
        let identity = |cert, key| Some(Identity { cert: pem(cert), key: pem(key) });
        let all = [
            Tls::new(Some(pem("a")), None),
            Tls::new(Some(pem("b")), None),
            Tls::new(None, identity("a", "b")),
            Tls::new(None, identity("ab", "")),
            Tls::new(Some(pem("a")), identity("a", "b")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other.id() != one.id()), "{at}");
        }
    }
}

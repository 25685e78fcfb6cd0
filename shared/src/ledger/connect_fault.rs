//! Why no connection to an upstream came about: one of a few, so that no part of it can hold a secret.

/// What stood in the way. For operators: logs, `/ready` and `x-weir-explain`; callers read nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// The platform does not say.
    Unknown,
    NameUnresolved,
    /// The resolver has not answered in the upstream's `timeout.connect`.
    NameTimedOut,
    Refused,
    Unreachable,
    /// No connection in the upstream's `timeout.connect`.
    TimedOut,
    /// The same, once the network had connected.
    TlsTimedOut,
    CertificateExpired,
    CertificateNotYetValid,
    CertificateOfAnotherName,
    UnknownIssuer,
    /// A certificate with another fault: revoked, a bad signature, not for servers.
    CertificateInvalid,
    /// The upstream does not accept the gateway's own certificate, or wants one.
    ClientCertificateRefused,
    /// No common version, no TLS at all.
    TlsFailed,
    ProxyUnreachable,
    /// No connection through it in the upstream's `timeout.connect`.
    ProxyTimedOut,
    /// 407.
    ProxyCredentials,
    /// The proxy answered CONNECT with something else than yes.
    ProxyRefused,
    /// A proxy of a kind that is not spoken here.
    ProxyUnsupported,
    /// The platform's own rules forbid it.
    Forbidden,
    /// The connection broke before the answer began.
    Broken,
    /// The same on a connection that was kept for the next call.
    Stale,
    /// The upstream sent the request back unread, again and again.
    Unprocessed,
    /// All connections that there may be carried all they could.
    ConnectionsBusy,
    /// The process may open no more files.
    NoDescriptors,
    NoMemory,
    /// All ports of this machine toward the upstream are in use.
    NoPorts,
}

impl ConnectFault {
    /// In words, as they are shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "no connection",
            Self::NameUnresolved => "name does not resolve",
            Self::NameTimedOut => "timed out resolving the name",
            Self::Refused => "connection refused",
            Self::Unreachable => "network unreachable",
            Self::TimedOut => "timed out connecting",
            Self::TlsTimedOut => "timed out at TLS",
            Self::CertificateExpired => "certificate has expired",
            Self::CertificateNotYetValid => "certificate is not valid yet",
            Self::CertificateOfAnotherName => "certificate not valid for name",
            Self::UnknownIssuer => "certificate of an unknown issuer",
            Self::CertificateInvalid => "certificate not valid",
            Self::ClientCertificateRefused => "client certificate refused",
            Self::TlsFailed => "TLS failed",
            Self::ProxyUnreachable => "proxy cannot be reached",
            Self::ProxyTimedOut => "timed out at the proxy",
            Self::ProxyCredentials => "proxy refuses the credentials",
            Self::ProxyRefused => "proxy refuses to connect",
            Self::ProxyUnsupported => "proxy of an unsupported kind",
            Self::Forbidden => "forbidden by the platform",
            Self::Broken => "connection broken",
            Self::Stale => "connection closed while idle",
            Self::Unprocessed => "sent back unread",
            Self::ConnectionsBusy => "all connections busy",
            Self::NoDescriptors => "out of file descriptors here",
            Self::NoMemory => "out of memory here",
            Self::NoPorts => "out of local ports here",
        }
    }

    /// What the gateway itself is short of, where that is what stood in the way: it says nothing of the upstream.
    pub const fn shortage(self) -> Option<&'static str> {
        match self {
            Self::ConnectionsBusy => Some("connections"),
            Self::NoDescriptors => Some("descriptors"),
            Self::NoMemory => Some("memory"),
            Self::NoPorts => Some("ports"),
            Self::Unknown
            | Self::NameUnresolved
            | Self::NameTimedOut
            | Self::Refused
            | Self::Unreachable
            | Self::TimedOut
            | Self::TlsTimedOut
            | Self::CertificateExpired
            | Self::CertificateNotYetValid
            | Self::CertificateOfAnotherName
            | Self::UnknownIssuer
            | Self::CertificateInvalid
            | Self::ClientCertificateRefused
            | Self::TlsFailed
            | Self::ProxyUnreachable
            | Self::ProxyTimedOut
            | Self::ProxyCredentials
            | Self::ProxyRefused
            | Self::ProxyUnsupported
            | Self::Forbidden
            | Self::Broken
            | Self::Stale
            | Self::Unprocessed => None,
        }
    }
}

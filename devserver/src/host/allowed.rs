//! Whom a component may call: `allowed_outbound_hosts` of `spin.toml`, by Spin's rules.
//!
//! An entry is `scheme://host:port`. Of these the scheme may be `*`, the host `*` or `*.domain`, the port `*` or
//! `low-high`; a port may be left out where the scheme has one. Whatever no entry names is refused, and an empty
//! list refuses everything.

use std::fmt;
use std::ops::RangeInclusive;

use http::Uri;

/// The whole list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AllowedHosts(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `None`: any.
    scheme: Option<String>,
    host: Host,
    ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// `.example.com`, for all below it.
    Below(String),
    Exactly(String),
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoScheme,
    NoHost,
    Path,
    Account,
    NoPort,
    Port,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoScheme => "no scheme (`https://example.com`)",
            Self::NoHost => "no host",
            Self::Path => "a path, which an entry may not have",
            Self::Account => "a user or password, which an entry may not have",
            Self::NoPort => "no port, and its scheme has none of its own",
            Self::Port => "not a port: 1 to 65535, `low-high` or `*`",
        })
    }
}

impl AllowedHosts {
    /// Adds an entry in which all variables have their values.
    pub(super) fn add(&mut self, entry: &str) -> Result<(), Fault> {
        self.0.push(Entry::parse(entry)?);
        Ok(())
    }

    /// Adds the Redis that the command line names, whatever `spin.toml` calls it.
    pub(super) fn add_redis(&mut self, address: &str) -> Result<(), Fault> {
        let uri: Uri = address.parse().map_err(|_| Fault::NoHost)?;
        let (scheme, host) = (uri.scheme_str().ok_or(Fault::NoScheme)?, uri.host().ok_or(Fault::NoHost)?);
        let port = uri.port_u16().or_else(|| port_of(scheme)).ok_or(Fault::NoPort)?;
        self.add(&format!("{scheme}://{host}:{port}"))
    }

    /// Without a port: its scheme's own.
    pub(super) fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let Some(port) = port.or_else(|| port_of(scheme)) else { return false };
        self.0.iter().any(|entry| entry.allows(scheme, host, port))
    }
}

impl Entry {
    fn parse(entry: &str) -> Result<Self, Fault> {
        let (scheme, rest) = entry.trim().split_once("://").ok_or(Fault::NoScheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(Fault::Path);
        }
        if rest.contains('@') {
            return Err(Fault::Account);
        }
        // The colons in `[::1]` are the host's.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (rest, None),
        };
        if scheme.is_empty() {
            return Err(Fault::NoScheme);
        }
        if host.is_empty() {
            return Err(Fault::NoHost);
        }
        let ports = match port {
            None => port_of(scheme).map(|port| port..=port).ok_or(Fault::NoPort)?,
            Some("*") => 0..=u16::MAX,
            Some(ports) => {
                let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
                let number = |text: &str| text.parse::<u16>().map_err(|_| Fault::Port);
                number(low)?..=number(high)?
            }
        };
        if ports.is_empty() {
            return Err(Fault::Port);
        }
        let host = host.to_ascii_lowercase();
        let host = match host.strip_prefix('*') {
            Some("") => Host::Any,
            Some(domain) if domain.starts_with('.') && domain.len() > 1 => Host::Below(domain.to_owned()),
            Some(_) => return Err(Fault::NoHost),
            None => Host::Exactly(host),
        };
        let scheme = (scheme != "*").then(|| scheme.to_ascii_lowercase());
        Ok(Self { scheme, host, ports })
    }

    fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        self.scheme.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(scheme))
            && self.ports.contains(&port)
            && match &self.host {
                Host::Any => true,
                Host::Below(domain) => host.ends_with(domain) && host.len() > domain.len(),
                Host::Exactly(own) => *own == host,
            }
    }
}

/// The port that Spin takes where none is written.
fn port_of(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" => Some(6379),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_cannot_be_meant_are_refused() {
        for (entry, fault) in [
            ("example.com", Fault::NoScheme),
            ("://example.com", Fault::NoScheme),
            ("https://", Fault::NoHost),
            ("https://*example.com", Fault::NoHost),
            ("https://*.", Fault::NoHost),
            ("https://example.com/v1", Fault::Path),
            ("https://example.com?x", Fault::Path),
            ("redis://user:secret@example.com", Fault::Account),
            ("rediss://example.com", Fault::NoPort),
            ("*://example.com", Fault::NoPort),
            ("http://example.com:", Fault::Port),
            ("http://example.com:port", Fault::Port),
            ("http://example.com:90-80", Fault::Port),
            ("http://example.com:70000", Fault::Port),
        ] {
            assert_eq!(AllowedHosts::default().add(entry), Err(fault), "{entry}");
        }
    }

    #[test]
    fn only_what_an_entry_names_is_allowed() {
        let mut list = AllowedHosts::default();
        for entry in [
            "https://api.example.com",
            "http://127.0.0.1:8000-8010/",
            "redis://Store",
            "https://*.example.org",
            "*://any.example.net:*",
            "http://[::1]:80",
        ] {
            list.add(entry).unwrap();
        }
        for (scheme, host, port, is_allowed) in [
            ("https", "api.example.com", None, true),
            ("HTTPS", "API.example.com", Some(443), true),
            ("https", "api.example.com", Some(444), false),
            ("http", "api.example.com", None, false),
            ("https", "evil-api.example.com", None, false),
            ("https", "api.example.com.evil", None, false),
            ("http", "127.0.0.1", Some(8000), true),
            ("http", "127.0.0.1", Some(8010), true),
            ("http", "127.0.0.1", Some(8011), false),
            ("redis", "store", None, true),
            ("redis", "store", Some(6380), false),
            ("rediss", "store", None, false),
            ("https", "a.example.org", None, true),
            ("https", "a.b.example.org", None, true),
            ("https", "example.org", None, false),
            ("https", "evilexample.org", None, false),
            ("ftp", "any.example.net", Some(1), true),
            ("ftp", "any.example.net", None, false),
            ("http", "[::1]", None, true),
        ] {
            assert_eq!(list.allows(scheme, host, port), is_allowed, "{scheme}://{host} {port:?}");
        }
    }

    #[test]
    fn a_redis_of_the_command_line_is_allowed_without_its_password() {
        let mut list = AllowedHosts::default();
        list.add_redis("redis://user:secret@127.0.0.1:7000/1").unwrap();
        assert!(list.allows("redis", "127.0.0.1", Some(7000)));
        assert!(!list.allows("redis", "127.0.0.1", Some(7001)));
        assert_eq!(list.add_redis("rediss://store"), Err(Fault::NoPort));
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        assert!(!AllowedHosts::default().allows("https", "example.com", None));
    }

    #[test]
    fn an_asterisk_allows_any_host_of_its_scheme() {
        let mut list = AllowedHosts::default();
        list.add("https://*:443").unwrap();
        assert!(list.allows("https", "example.com", None));
        assert!(!list.allows("http", "example.com", Some(443)));
    }
}

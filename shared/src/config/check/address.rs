//! Addresses of upstreams.
//!
//! Strict on purpose: parsers disagree about user info, `\` and `#`, and a key must never reach a host that
//! the operator did not mean.

use std::net::IpAddr;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

/// Reads a base URL; its path has no slash at the end, except when it is nothing else.
///
/// The refusal does not quote the address: user info may be in it.
pub(super) fn parse(text: &str) -> Result<Uri, &'static str> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("an address has no space or line break in it");
    }
    for (sign, problem) in [
        ('\\', "an address has no backslash in it"),
        ('#', "a base address has no fragment (#)"),
        ('?', "a base address has no query (?)"),
        ('@', "an address has no user or password in it (@); use api_key"),
    ] {
        if text.contains(sign) {
            return Err(problem);
        }
    }
    let uri: Uri = text.parse().map_err(|_| "not an address")?;
    let mut parts = uri.into_parts();
    if parts.scheme != Some(Scheme::HTTP) && parts.scheme != Some(Scheme::HTTPS) {
        return Err("an address begins with https:// or http://");
    }
    let authority = parts.authority.as_ref().ok_or("has no host")?;
    let host = authority.host();
    if host.trim_matches(['[', ']']).is_empty() {
        return Err("has no host");
    }
    if host != authority.as_str() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has a port that is none");
    }
    let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path).trim_end_matches('/');
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("an address has no \".\" or \"..\" in its path");
    }
    let path = if path.is_empty() { "/" } else { path };
    parts.path_and_query = Some(path.parse().map_err(|_| "not an address")?);
    Uri::from_parts(parts).map_err(|_| "not an address")
}

/// Whether what is sent to `uri` stays on this machine or in a private network.
pub(super) fn is_private(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or("").trim_matches(['[', ']']);
    if let Ok(address) = host.parse::<IpAddr>() {
        return match address.to_canonical() {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        };
    }
    let host = host.to_ascii_lowercase();
    let inner = [".localhost", ".local", ".internal", ".svc"];
    !host.contains('.') || inner.iter().any(|suffix| host.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_addresses_are_read_without_a_slash_at_the_end() {
        for (text, expected) in [
            ("https://api.holysheep.ai/v1", "https://api.holysheep.ai/v1"),
            ("https://api.holysheep.ai/v1/", "https://api.holysheep.ai/v1"),
            ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
            ("http://[::1]:8000", "http://[::1]:8000/"),
            ("https://api.deepseek.com", "https://api.deepseek.com/"),
        ] {
            assert_eq!(parse(text).map(|uri| uri.to_string()), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn addresses_that_could_be_misread_are_refused() {
        for text in [
            "",
            "api.openai.com",
            "/v1",
            "ftp://host/v1",
            "file:///etc/passwd",
            "https://",
            "https:///v1",
            "https://user:password@host/v1",
            "https://host@evil/v1",
            "https://host\\@evil/v1",
            "https://host/v1#x",
            "https://host/v1?key=x",
            "https://host/v1 ",
            "https://host\n/v1",
            "https://host:0/v1",
            "https://host:/v1",
            "https://host:99999/v1",
            "https://host/v1/../admin",
            "https://h\u{f6}st/v1",
            "https://[]/v1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn private_hosts_are_known() {
        for (text, expected) in [
            ("http://127.0.0.1", true),
            ("http://[::1]:1", true),
            ("http://10.1.2.3", true),
            ("http://192.168.0.1", true),
            ("http://[fd00::1]", true),
            ("http://[::ffff:10.0.0.1]", true),
            ("http://localhost", true),
            ("http://vllm:8000", true),
            ("http://vllm.models.svc", true),
            ("http://vllm.internal", true),
            ("http://8.8.8.8", false),
            ("http://api.openai.com", false),
            ("http://10.0.0.1.example.com", false),
        ] {
            assert_eq!(parse(text).map(|uri| is_private(&uri)), Ok(expected), "{text}");
        }
    }
}

//! Which Redis, and how it is reached.

use std::time::Duration;

use super::check_name;
use super::credential::text;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, BaseUrl};
use crate::config::report::Report;
use crate::config::source::Surroundings;
use crate::config::{Redis, Transport};
use crate::secret::Secret;
use crate::wire::percent::unescaped;

/// Where the document says nothing.
const TIMEOUT: Duration = Duration::from_millis(250);

/// Whose keys they are where nobody says.
const NAMESPACE: &str = "default";

const HINT: &str = "write url = \"redis://host:6379\" or url = { env = \"REDIS_URL\" }";

/// `None` after a fault.
pub(super) fn redis(
    store: &raw::Store,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<Redis> {
    // What is wrong with it is told where it is read for every kind.
    let timeout = store.timeout.map_or(TIMEOUT, |time| time.0);
    let namespace = store.namespace.clone().unwrap_or_else(|| NAMESPACE.into());
    check_name(&namespace, &path.key("namespace"), report);
    let path = path.key("url");
    let Some(url) = &store.url else {
        report.missing(&path, Problem::new("missing").hint(HINT));
        return None;
    };
    let told = match url {
        BaseUrl::Text(told) if told.contains('@') => {
            let problem = Problem::new("a password is not written here");
            report.fault(&path, problem.hint("write url = { env = \"REDIS_URL\" }"));
            return None;
        }
        BaseUrl::Text(_) | BaseUrl::Env(_) => text(url, &path, surroundings, report)?,
    };
    let place = Redis::at(&told);
    if place.is_none() {
        report.fault(&path, Problem::new("not the address of a Redis").hint(HINT));
    }
    place.map(|place| Redis { namespace, timeout, ..place })
}

impl Redis {
    /// The one at `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS, with everything else as
    /// it is by default. `None` if that is no such address.
    pub fn at(url: &str) -> Option<Self> {
        parse(url)
    }
}

fn parse(text: &str) -> Option<Redis> {
    let (transport, rest) = match text.split_once("://")? {
        ("redis", rest) => (Transport::Plain, rest),
        ("rediss", rest) => (Transport::Tls, rest),
        _ => return None,
    };
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user_info, place) = match authority.rsplit_once('@') {
        Some((user_info, place)) => (Some(user_info), place),
        None => (None, authority),
    };
    let (user, password) = match user_info {
        None => (None, None),
        Some(user_info) => {
            let (user, password) = user_info.split_once(':')?;
            (Some(unescaped(user)?).filter(|user| !user.is_empty()), Some(Secret::new(unescaped(password)?)))
        }
    };
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        Some(_) | None => (place, 6379),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    let database = if database.is_empty() { 0 } else { database.parse().ok()? };
    let (namespace, timeout) = (NAMESPACE.to_owned(), TIMEOUT);
    Some(Redis { host: host.to_owned(), port, transport, user, password, database, namespace, timeout })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_who() {
        for (text, expected) in [
            ("redis://h", Some(("h", 6379, Transport::Plain, None, None, 0))),
            ("rediss://h.example:6380/3", Some(("h.example", 6380, Transport::Tls, None, None, 3))),
            ("redis://:p%40%3A@h:1/", Some(("h", 1, Transport::Plain, None, Some("p@:"), 0))),
            ("redis://u:p@p@[::1]:7", Some(("::1", 7, Transport::Plain, Some("u"), Some("p@p"), 0))),
            ("redis://[::1]", Some(("::1", 6379, Transport::Plain, None, None, 0))),
            ("http://h", None),
            ("redis://", None),
            ("redis://:p@", None),
            ("redis://p@h", None),
            ("redis://h:0", None),
            ("redis://h:x", None),
            ("redis://h/x", None),
            ("redis://h\r\n", None),
            ("redis://:%zz@h", None),
            ("redis://h?db=1", None),
        ] {
            let read = parse(text);
            let read = read.as_ref().map(|r| {
                let password = r.password.as_ref().map(Secret::expose);
                (r.host.as_str(), r.port, r.transport, r.user.as_deref(), password, r.database)
            });
            assert_eq!(read, expected, "{text:?}");
        }
    }
}

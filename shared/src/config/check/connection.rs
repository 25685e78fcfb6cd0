//! How connections to an upstream are made.

use std::time::Duration;

use super::{at_least_one, credential, positive};
use crate::config::fault::{Problem, shown};
use crate::config::path::Path;
use crate::config::raw;
use crate::config::report::Report;
use crate::config::source::Surroundings;
use crate::routing::upstream::connection::{Identity, Proxy, ProxyAddress, Tls, TlsFile};
use crate::secret::Secret;

/// Where the platform makes the connections, and asks nobody how.
const PLATFORMS: &str = "the platform makes the connections here, and takes no word on it";

const SPELLED: &str = "write \"env\", \"none\" or \"http://proxy.example:3128\"";

/// What holds by default, after a fault as well.
pub(super) fn proxy(
    raw: Option<&raw::Proxy>,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Proxy {
    let address = match raw {
        None => return Proxy::Environment,
        Some(raw::Proxy::Text(text)) => match text.as_str() {
            "env" => return Proxy::Environment,
            "none" => return Proxy::None,
            _ if surroundings.dialer().is_none() => Err(elsewhere()),
            _ if text.contains('@') => {
                let hint = "write proxy = { env = \"NAME\" } or { file = \"PATH\" }";
                Err(Problem::new("a user or password is not written here").hint(hint))
            }
            _ if !text.contains("://") => Err(Problem::new("not the address of a proxy").hint(SPELLED)),
            address => parsed(address),
        },
        Some(raw::Proxy::Found(_)) if surroundings.dialer().is_none() => Err(elsewhere()),
        Some(raw::Proxy::Found(reference)) => {
            let Some(found) = credential::find(reference, path, surroundings, report) else {
                return Proxy::Environment;
            };
            found.map_err(Problem::new).and_then(|address| parsed(address.expose()))
        }
    };
    address.map_or_else(
        |problem| {
            report.fault(path, problem);
            Proxy::Environment
        },
        Proxy::At,
    )
}

fn elsewhere() -> Problem {
    Problem::new(PLATFORMS).hint("leave it out; only `weir serve` makes its own")
}

fn parsed(address: &str) -> Result<ProxyAddress, Problem> {
    ProxyAddress::parse(address).map_err(|problem| Problem::new(problem).hint(SPELLED))
}

/// From which age on a connection takes no new call.
pub(super) const AGE: Duration = Duration::from_mins(5);

/// Connections of HTTP/2 of one worker: with the hundred calls that most servers take on each, more than it has ever.
pub(super) const HTTP2_CONNECTIONS: usize = 16;

/// How old connections become, and how many there may be of HTTP/2.
pub(super) fn bounds(
    raw: &raw::Upstream,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> (Duration, usize) {
    let (age, most) = (path.key("connection_age"), path.key("http2_connections"));
    if surroundings.dialer().is_none() {
        for (is_said, path) in
            [(raw.connection_age.is_some(), &age), (raw.http2_connections.is_some(), &most)]
        {
            if is_said {
                report.fault(path, elsewhere());
            }
        }
        return (AGE, HTTP2_CONNECTIONS);
    }
    at_least_one(raw.http2_connections, &most, report);
    let most = raw.http2_connections.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    (positive(raw.connection_age, AGE, &age, report), most.unwrap_or(HTTP2_CONNECTIONS))
}

/// `None` where nothing is said, and after a fault.
pub(super) fn tls(
    raw: Option<&raw::Tls>,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<Tls> {
    let raw = raw?;
    let Some(dialer) = surroundings.dialer() else {
        report.fault(path, elsewhere());
        return None;
    };
    let pair = match (&raw.cert, &raw.key) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((cert, key)),
        (Some(_), None) => {
            report.missing(&path.key("key"), "missing: a certificate is shown with its key");
            return None;
        }
        (None, Some(_)) => {
            report.missing(&path.key("cert"), "missing: the certificate that the key is of");
            return None;
        }
    };
    if raw.ca.is_none() && pair.is_none() {
        if !report.excuses_part_of(path) {
            let hint = "write { ca = \"PATH\" } or { cert = \"PATH\", key = \"PATH\" }";
            report.fault(path, Problem::new("names no file").hint(hint));
        }
        return None;
    }
    let mut read = |file: TlsFile, name: &str| {
        let found = surroundings.file(name).map_err(|problem| credential::unreadable(&problem));
        let found = found.map_err(|why| report.fault(&path.key(file.name()), of_file(name, &why)));
        found.ok().map(Secret::new)
    };
    // What is wrong with each of them is told at once.
    let ca = raw.ca.as_deref().map(|name| read(TlsFile::Ca, name));
    let pair = pair.map(|(cert, key)| (read(TlsFile::Cert, cert), read(TlsFile::Key, key)));
    let ca = match ca {
        Some(ca) => Some(ca?),
        None => None,
    };
    let identity = match pair {
        Some((cert, key)) => Some(Identity { cert: cert?, key: key? }),
        None => None,
    };
    let tls = Tls::new(ca, identity);
    match dialer.check(&tls) {
        Ok(()) => Some(tls),
        Err(fault) => {
            let name = match fault.file {
                TlsFile::Ca => &raw.ca,
                TlsFile::Cert => &raw.cert,
                TlsFile::Key => &raw.key,
            };
            let name = name.as_deref().unwrap_or_default();
            report.fault(&path.key(fault.file.name()), of_file(name, &fault.why));
            None
        }
    }
}

fn of_file(name: &str, why: &str) -> String {
    format!("the file {} {why}", shown(name))
}

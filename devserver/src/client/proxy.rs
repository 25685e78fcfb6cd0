//! Which proxy leads to an upstream, and how it is asked for a tunnel.

use std::fmt;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;
use weir::config::Config;
use weir::ledger::connect_fault::ConnectFault;
use weir::routing::upstream::Upstream;
use weir::routing::upstream::connection::{Proxy, ProxyAddress};

use super::stream::Stream;

/// Bytes of a proxy's head that are read; with more it is no yes.
const LONGEST_HEAD: usize = 16 * 1024;

/// The proxies that the environment names, read once: it does not change while a process runs.
///
/// As in curl, a name in lower case stands before the same in capitals; a `HTTP_PROXY` in capitals counts for nothing
/// where a web server may have made it of a header (`REQUEST_METHOD` is set); a host of `NO_PROXY` stands for those
/// below it, `*` for all, and addresses may be networks. What is named and cannot be used is not passed by.
#[derive(Debug, Default)]
pub(crate) struct EnvironmentProxies {
    http: Option<Named>,
    https: Option<Named>,
    exempt: Option<Matcher>,
}

/// What a variable says.
#[derive(Clone, Debug)]
struct Named {
    variable: &'static str,
    address: Result<ProxyAddress, &'static str>,
}

/// What lies between here and an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    Direct,
    Through(ProxyAddress),
    /// One is named, and cannot be used.
    Unusable,
}

impl EnvironmentProxies {
    pub(crate) fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(env: impl Fn(&str) -> Option<String>) -> Self {
        let named = |variable: &'static str| {
            let value = env(variable).map(|value| value.trim().to_owned());
            let value = value.filter(|value| !value.is_empty())?;
            Some(Named { variable, address: ProxyAddress::parse(&value) })
        };
        let all = || named("all_proxy").or_else(|| named("ALL_PROXY"));
        let is_cgi = env("REQUEST_METHOD").is_some();
        let of_http = || if is_cgi { None } else { named("HTTP_PROXY") };
        let exempt = env("no_proxy").or_else(|| env("NO_PROXY")).unwrap_or_default();
        let exempt: Vec<&str> =
            exempt.split([',', ' ', '\t']).map(|one| one.strip_prefix("*.").unwrap_or(one)).collect();
        if exempt.contains(&"*") {
            return Self::default();
        }
        Self {
            http: named("http_proxy").or_else(of_http).or_else(all),
            https: named("https_proxy").or_else(|| named("HTTPS_PROXY")).or_else(all),
            // It lets everything through to a proxy but what is exempt.
            exempt: Some(Matcher::builder().all("http://stand-in").no(exempt.join(",")).build()),
        }
    }

    /// What stands in the way of calls to `to`, whoever knows of it.
    fn named(&self, to: &Uri) -> Option<&Named> {
        let is_exempt = |matcher: &Matcher| matcher.intercept(to).is_none();
        let named = if to.scheme() == Some(&Scheme::HTTP) { &self.http } else { &self.https };
        named.as_ref().filter(|_| !self.exempt.as_ref().is_some_and(is_exempt))
    }

    pub(super) fn hop(&self, proxy: &Proxy, to: &Uri) -> Hop {
        match proxy {
            Proxy::None => Hop::Direct,
            Proxy::At(address) => Hop::Through(address.clone()),
            Proxy::Environment => match self.named(to).map(|named| &named.address) {
                None => Hop::Direct,
                Some(Ok(address)) => Hop::Through(address.clone()),
                Some(Err(_)) => Hop::Unusable,
            },
        }
    }

    /// Through what each upstream is reached that is not reached directly, as operators are told it.
    pub(crate) fn routes(&self, config: &Config) -> Vec<ProxyRoute> {
        config.upstreams.iter().filter_map(|upstream| self.route(upstream)).collect()
    }

    fn route(&self, upstream: &Upstream) -> Option<ProxyRoute> {
        let (through, variable) = match &upstream.proxy {
            Proxy::None => return None,
            Proxy::At(address) => (Ok(address.to_string()), None),
            Proxy::Environment => {
                let named = self.named(&upstream.base_url)?;
                let through = named.address.as_ref().map(ProxyAddress::to_string).map_err(|why| *why);
                (through, Some(named.variable))
            }
        };
        Some(ProxyRoute { upstream: upstream.name.clone(), through, variable })
    }
}

/// Through which proxy an upstream is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyRoute {
    upstream: String,
    /// Without a credential; or in words why no call gets there.
    through: Result<String, &'static str>,
    /// Where the environment says it.
    variable: Option<&'static str>,
}

impl ProxyRoute {
    pub(crate) fn log(&self) {
        let Self { upstream, through, variable } = self;
        match through {
            Ok(proxy) => tracing::info!(upstream, proxy, variable, "calls go through a proxy"),
            Err(why) => {
                tracing::error!(upstream, variable, "calls fail, as their proxy cannot be used: {why}");
            }
        }
    }
}

impl fmt::Display for ProxyRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upstream, through, variable } = self;
        match through {
            Ok(proxy) => write!(f, "note: upstream.{upstream}: calls go through {proxy}"),
            Err(why) => {
                write!(f, "warning: upstream.{upstream}: calls fail, as their proxy cannot be used: {why}")
            }
        }?;
        variable.map_or(Ok(()), |variable| write!(f, " ({variable} of this environment)"))
    }
}

/// What a proxy is shown, marked so that nothing prints it.
pub(super) fn authorization(proxy: &ProxyAddress) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(proxy.authorization()?.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Asks the proxy at the other end of `stream` to connect it with `to`.
pub(super) async fn tunnel(stream: Stream, proxy: &ProxyAddress, to: &Uri) -> Result<Stream, ConnectFault> {
    let refused = |_| ConnectFault::ProxyRefused;
    let host = to.host().ok_or(ConnectFault::NameUnresolved)?;
    let place = format!("{host}:{}", to.port_u16().unwrap_or(443));
    let mut request = Request::connect(&place).header(HOST, &place).body(Empty::<Bytes>::new());
    let request = request.as_mut().map_err(|_| ConnectFault::NameUnresolved)?;
    if let Some(authorization) = authorization(proxy) {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    let request = std::mem::take(request);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(refused)?;
    // It ends with this call, unless the proxy has said yes: then it is done by itself.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
    let response = sender.send_request(request).await.map_err(refused)?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(ConnectFault::ProxyCredentials),
        _ => return Err(ConnectFault::ProxyRefused),
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(refused)?;
    let parts = upgraded.downcast::<TokioIo<Stream>>().map_err(|_| ConnectFault::ProxyRefused)?;
    // With TLS it is the client that speaks first: whatever came is not the upstream's.
    if parts.read_buf.is_empty() { Ok(parts.io.into_inner()) } else { Err(ConnectFault::ProxyRefused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> EnvironmentProxies {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        EnvironmentProxies::of(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    fn hop(variables: &[(&str, &str)], to: &'static str) -> String {
        match of(variables).hop(&Proxy::Environment, &Uri::from_static(to)) {
            Hop::Direct => "direct".to_owned(),
            Hop::Through(address) => address.to_string(),
            Hop::Unusable => "unusable".to_owned(),
        }
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it() {
        const HTTPS: (&str, &str) = ("HTTPS_PROXY", "http://s:1");
        const HTTP: (&str, &str) = ("HTTP_PROXY", "http://p:1");
        const ALL: (&str, &str) = ("ALL_PROXY", "a:1");
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
        let cases: &[Case<'_>] = &[
            (&[], "direct", "direct"),
            (&[HTTPS], "http://s:1", "direct"),
            (&[HTTP], "direct", "http://p:1"),
            (&[ALL], "http://a:1", "http://a:1"),
            (&[ALL, HTTPS], "http://s:1", "http://a:1"),
            (&[("https_proxy", "l:1"), HTTPS], "http://l:1", "direct"),
            (&[("http_proxy", "l:1"), HTTP], "direct", "http://l:1"),
            (&[("all_proxy", "l:1"), ALL], "http://l:1", "http://l:1"),
            // Set to nothing is not set.
            (&[("https_proxy", " "), HTTPS], "http://s:1", "direct"),
            // In a CGI program it is the header `Proxy` of whoever calls.
            (&[HTTP, HTTPS, ("REQUEST_METHOD", "GET")], "http://s:1", "direct"),
            (&[("http_proxy", "l:1"), ("REQUEST_METHOD", "GET")], "direct", "http://l:1"),
            // One that cannot be used is not passed by.
            (&[("ALL_PROXY", "socks5://s:1")], "unusable", "unusable"),
            (&[("HTTPS_PROXY", "http://s:x"), ALL], "unusable", "http://a:1"),
        ];
        for (variables, https, http) in cases {
            assert_eq!(hop(variables, "https://api.example/v1"), *https, "{variables:?}");
            assert_eq!(hop(variables, "http://api.example/v1"), *http, "{variables:?}");
        }
    }

    #[test]
    fn what_is_exempt_is_reached_directly() {
        for (exempt, to, is_exempt) in [
            ("api.example", "https://api.example/v1", true),
            ("api.example", "https://eu.api.example/v1", true),
            ("api.example", "https://myapi.example/v1", false),
            (".example", "https://api.example/v1", true),
            ("other, API.example", "http://api.example:8080/v1", true),
            ("*.example", "https://api.example/v1", true),
            ("*", "https://api.example/v1", true),
            ("other, *", "http://127.0.0.1:8000/v1", true),
            ("other 127.0.0.1", "http://127.0.0.1:8000/v1", true),
            ("127.0.0.1", "http://127.0.0.1:8000/v1", true),
            ("10.0.0.0/8", "http://10.1.2.3/v1", true),
            ("10.0.0.0/8", "http://11.1.2.3/v1", false),
            ("::1", "http://[::1]:8000/v1", true),
            ("", "https://api.example/v1", false),
        ] {
            let found = hop(&[("ALL_PROXY", "p:1"), ("NO_PROXY", exempt)], to);
            assert_eq!(found == "direct", is_exempt, "{exempt}: {to}");
            assert_eq!(hop(&[("all_proxy", "p:1"), ("no_proxy", exempt)], to), found);
        }
    }

    #[test]
    fn what_a_document_says_stands_before_the_environment() {
        let proxies = of(&[("ALL_PROXY", "p:1"), ("NO_PROXY", "*")]);
        let to = Uri::from_static("http://127.0.0.1/v1");
        let address = ProxyAddress::parse("http://own:1").unwrap();
        assert_eq!(proxies.hop(&Proxy::At(address.clone()), &to), Hop::Through(address));
        assert_eq!(of(&[("ALL_PROXY", "p:1")]).hop(&Proxy::None, &to), Hop::Direct);
    }
}

//! What a web page may not do to a gateway that asks for no key.
//!
//! A browser sends what a page tells it to, from wherever the page comes: a form, an image, a websocket. Where no key
//! is asked for, nothing but the headers that the browser adds by itself tells such a request from a program's. A page
//! can also make a name of its own lead here (DNS rebinding); a gateway of this machine answers to this machine's names.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::identity::access::{Access, Auth, OperatorsAddress};
use crate::refusal::Refusal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Characters of an origin that are told back.
const LONGEST_TOLD: usize = 256;

/// Refuses what a page sends here that may not call. Where keys are asked for, the key says who may.
pub(crate) fn check(access: Access<'_>, head: &Parts) -> Result<(), Refusal> {
    let on_any_address = match access.auth {
        // At the operators' address no key is asked for either.
        Auth::Keys if head.extensions.get::<OperatorsAddress>().is_some() => {
            access.admin.listen.is_none_or(|address| !address.ip().to_canonical().is_loopback())
        }
        Auth::Keys => return Ok(()),
        Auth::Open { on_any_address } => on_any_address,
    };
    // Whether it lives may be asked by any name.
    let answers_to_any = on_any_address || head.uri.path() == "/health";
    if let Some(host) = foreign_host(head).filter(|_| !answers_to_any) {
        return Err(Refusal::ForeignHost { host });
    }
    let may_call = |origin: &HeaderValue| access.cors.is_some_and(|cors| cors.allows(origin));
    foreign_origin(head, may_call).map_or(Ok(()), |origin| Err(Refusal::ForeignOrigin { origin }))
}

/// The host that was asked for, unless it is this machine. Whoever names none is no browser.
fn foreign_host(head: &Parts) -> Option<String> {
    let authority = asked(head)?;
    let parsed = authority.parse::<Authority>().ok();
    let host = parsed.as_ref().map_or(authority, Authority::host).to_ascii_lowercase();
    let is_loopback = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    (!is_loopback).then_some(host)
}

/// Where the page comes from that sent this, unless it is one of the gateway's own or one that `may_call`.
fn foreign_origin(head: &Parts, may_call: impl Fn(&HeaderValue) -> bool) -> Option<String> {
    let mut origins = head.headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(origin), None) if may_call(origin) => None,
        (Some(origin), None) if is_own(origin, head) => sent_by_another_site(&head.headers),
        (Some(origin), _) => Some(told(origin)),
        (None, _) => sent_by_another_site(&head.headers),
    }
}

/// Browsers leave `origin` out of what a link, an image or a form's GET asks for, and say this.
fn sent_by_another_site(headers: &HeaderMap) -> Option<String> {
    let is_own = |site: &HeaderValue| site == "same-origin" || site == "none";
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| !is_own(site)).then(|| "another site".to_owned())
}

/// Whether a page of `origin` was loaded from the very host that is asked. Its scheme may be that of a proxy in front.
fn is_own(origin: &HeaderValue, head: &Parts) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let (Some((scheme, of_page)), Some(asked)) = (origin, asked(head)) else { return false };
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |authority: &str| authority.strip_suffix(usual).unwrap_or(authority).to_ascii_lowercase();
    plain(of_page) == plain(asked)
}

fn asked(head: &Parts) -> Option<&str> {
    let named = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    head.uri.authority().map(Authority::as_str).or(named)
}

fn told(origin: &HeaderValue) -> String {
    String::from_utf8_lossy(origin.as_bytes()).chars().take(LONGEST_TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        request.into_parts().0
    }

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for (host, is_foreign) in [
            ("localhost:8080", false),
            ("LOCALHOST", false),
            ("weir.localhost", false),
            ("127.0.0.1:8080", false),
            ("[::1]:8080", false),
            ("evil.example:8080", true),
            ("localhost.evil.example", true),
            ("127.0.0.1.evil.example", true),
            ("192.168.1.7", true),
            ("@@", true),
        ] {
            assert_eq!(foreign_host(&head(&[("host", host)])).is_some(), is_foreign, "{host}");
        }
        assert_eq!(foreign_host(&head(&[])), None);
    }

    #[test]
    fn a_page_of_another_origin_is_foreign_however_it_asks() {
        let host = ("host", "localhost:8080");
        for (headers, foreign) in [
            (&[host][..], None),
            (&[host, ("origin", "http://localhost:8080")], None),
            (&[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")], None),
            (&[host, ("sec-fetch-site", "none")], None),
            (&[("host", "gw.example"), ("origin", "https://gw.example")], None),
            (&[("host", "gw.example:443"), ("origin", "https://gw.example")], None),
            (&[host, ("origin", "https://named.example"), ("sec-fetch-site", "cross-site")], None),
            (&[host, ("origin", "http://localhost:3000")], Some("http://localhost:3000")),
            (
                &[host, ("origin", "https://localhost:8080.evil.example")],
                Some("https://localhost:8080.evil.example"),
            ),
            (&[host, ("origin", "null")], Some("null")),
            (&[host, ("origin", "file://localhost:8080")], Some("file://localhost:8080")),
            (&[host, ("sec-fetch-site", "cross-site")], Some("another site")),
            (&[host, ("sec-fetch-site", "same-site")], Some("another site")),
            (
                &[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "cross-site")],
                Some("another site"),
            ),
            (
                &[host, ("origin", "https://named.example"), ("origin", "https://evil.example")],
                Some("https://named.example"),
            ),
            (&[("origin", "http://localhost:8080")], Some("http://localhost:8080")),
        ] {
            let found = foreign_origin(&head(headers), |origin| origin == "https://named.example");
            assert_eq!(found.as_deref(), foreign, "{headers:?}");
        }
    }
}

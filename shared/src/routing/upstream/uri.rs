//! Where at an upstream a request goes, and what it is shown there.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::routing::upstream::{Credential, Dialect, Upstream};

/// The URI of `suffix` (the path behind `/v1`) at an upstream. `model` is the upstream's own name for it.
/// `None` only if what the client sent cannot stand in a URI.
pub(crate) fn uri(
    upstream: &Upstream,
    suffix: &str,
    query: Option<&str>,
    model: Option<&str>,
) -> Option<Uri> {
    let base = &upstream.base_url;
    let mut path = base.path().trim_end_matches('/').to_owned();
    let mut query: Vec<&str> =
        query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !is_api_version(pair)).collect();
    let version;
    match &upstream.dialect {
        Dialect::OpenAi | Dialect::Simulated => path.push_str(suffix),
        Dialect::Azure { api_version } => {
            path.push_str("/openai");
            if let Some(model) = model.filter(|_| has_deployment_path(suffix)) {
                path.push_str("/deployments/");
                encode(model, &mut path);
            }
            path.push_str(suffix);
            version = format!("api-version={api_version}");
            query.push(&version);
        }
    }
    query.retain(|pair| !pair.is_empty());
    if !query.is_empty() {
        path.push('?');
        path.push_str(&query.join("&"));
    }
    Uri::builder()
        .scheme(base.scheme_str()?)
        .authority(base.authority()?.as_str())
        .path_and_query(path)
        .build()
        .ok()
}

/// The header that shows an upstream the gateway's credential.
pub(crate) fn show_credential(upstream: &Upstream, headers: &mut HeaderMap) {
    let Credential::Known(secret) = &upstream.credential else { return };
    let (name, text) = match &upstream.dialect {
        Dialect::OpenAi | Dialect::Simulated => {
            (header::AUTHORIZATION, format!("Bearer {}", secret.expose()))
        }
        Dialect::Azure { .. } => (HeaderName::from_static("api-key"), secret.expose().to_owned()),
    };
    // The checked configuration lets only header values through.
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

fn is_api_version(pair: &str) -> bool {
    pair.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("api-version"))
}

/// Azure keeps these below a deployment; the rest of its API names models in bodies, as everyone does.
fn has_deployment_path(suffix: &str) -> bool {
    ["/chat/completions", "/completions", "/embeddings", "/audio/", "/images/"]
        .iter()
        .any(|prefix| suffix.starts_with(prefix))
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::routing::upstream::Timeouts;
    use crate::routing::upstream::connection::Proxy;
    use crate::secret::Secret;
    use crate::wire::headers::HeaderNames;

    fn upstream(dialect: Dialect, base_url: &'static str) -> Upstream {
        let second = Duration::from_secs(1);
        Upstream {
            name: "u".into(),
            dialect,
            base_url: Uri::from_static(base_url),
            credential: Credential::Known(Secret::new("sk-1")),
            timeouts: Timeouts {
                connect: second,
                first_byte: second,
                whole: second,
                idle: second,
                total: second,
            },
            breaker: crate::routing::breaker::Policy::default(),
            breaker_per_model: false,
            concurrency: None,
            include_usage: true,
            terminator: None,
            proxy: Proxy::None,
            tls: None,
            connection_age: second,
            http2_connections: 1,
            forward_headers: HeaderNames::default(),
            return_headers: HeaderNames::default(),
            tenant: None,
        }
    }

    fn azure() -> Upstream {
        upstream(Dialect::Azure { api_version: "2024-10-21".into() }, "https://x.openai.azure.com")
    }

    #[test]
    fn a_path_leads_below_the_base() {
        let openai = upstream(Dialect::OpenAi, "https://api.example.com/v1");
        for (upstream, suffix, query, model, expected) in [
            (&openai, "/chat/completions", None, Some("m"), "https://api.example.com/v1/chat/completions"),
            (
                &openai,
                "/files",
                Some("limit=2&api-version=x"),
                None,
                "https://api.example.com/v1/files?limit=2",
            ),
            (
                &azure(),
                "/chat/completions",
                Some("api-version=old"),
                Some("gpt 4o/x"),
                "https://x.openai.azure.com/openai/deployments/gpt%204o%2Fx/chat/completions?api-version=2024-10-21",
            ),
            (
                &azure(),
                "/responses",
                None,
                Some("m"),
                "https://x.openai.azure.com/openai/responses?api-version=2024-10-21",
            ),
            (
                &azure(),
                "/files",
                Some("limit=2"),
                None,
                "https://x.openai.azure.com/openai/files?limit=2&api-version=2024-10-21",
            ),
        ] {
            assert_eq!(uri(upstream, suffix, query, model).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn each_dialect_has_its_credential_header() {
        for (upstream, name, value) in [
            (upstream(Dialect::OpenAi, "http://a/v1"), "authorization", "Bearer sk-1"),
            (azure(), "api-key", "sk-1"),
        ] {
            let mut headers = HeaderMap::new();
            show_credential(&upstream, &mut headers);
            assert_eq!(headers[name], value);
            assert!(!format!("{headers:?}").contains("sk-1"), "printed");
        }
    }
}

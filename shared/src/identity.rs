//! Who sent this request, by whichever header its client uses.

use std::sync::Arc;

use http::{HeaderMap, header};

use crate::caller::Caller;
use crate::config::{Auth, Config};
use crate::endpoint;
use crate::refusal::{Refusal, mask};

/// Query parameters by which clients of other APIs send keys. Queries end up in logs, so keys in them are
/// refused even when they are right.
const KEY_PARAMETERS: &[&str] = &["key", "api_key", "api-key", "apikey", "access_token", "token"];

/// The caller, or why it is none.
pub(crate) fn identify(
    config: &Config,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Arc<Caller>, Refusal> {
    if let Some(param) = query.and_then(key_parameter) {
        return Err(Refusal::KeyInQuery { param });
    }
    match config.auth {
        Auth::Open { .. } => Ok(Arc::new(Caller::anyone())),
        Auth::Keys => {
            let key = key(headers).ok_or(Refusal::NoKey)?;
            let found = config.keys.find(key).cloned();
            found.ok_or_else(|| Refusal::WrongKey { shown: mask(key) })
        }
    }
}

fn key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim).filter(|key| !key.is_empty());
    let bearer = text(header::AUTHORIZATION.as_str()).map(|value| match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
        Some(_) | None => value,
    });
    bearer.or_else(|| text("api-key")).or_else(|| text("x-api-key")).or_else(|| text("x-goog-api-key"))
}

fn key_parameter(query: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| endpoint::decode(pair.split('=').next()?))
        .map(|name| name.to_ascii_lowercase())
        .find(|name| KEY_PARAMETERS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_header_that_clients_use_carries_the_key() {
        for (name, value, expected) in [
            ("authorization", "Bearer k", Some("k")),
            ("authorization", "bearer  k ", Some("k")),
            ("api-key", "k", Some("k")),
            ("x-api-key", "k", Some("k")),
            ("x-goog-api-key", "k", Some("k")),
            ("x-api-key", " ", None),
            ("cookie", "k", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(key(&headers), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_key_in_the_query_is_found_however_it_is_written() {
        for (query, expected) in [
            ("a=1&key=x", Some("key")),
            ("API_KEY=x", Some("api_key")),
            ("%6bey=x", Some("key")),
            ("api-version=2024-10-21&limit=1", None),
            ("", None),
        ] {
            assert_eq!(key_parameter(query).as_deref(), expected, "{query}");
        }
    }
}

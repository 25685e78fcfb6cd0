//! Who sent this request, by whichever header its client uses.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};

use crate::dialect::endpoint;
use crate::identity::access::{Access, Auth, OperatorsAddress};
use crate::identity::caller::Caller;
use crate::refusal::Refusal;
use crate::wire::websocket;

/// Query parameters by which clients of other APIs send keys. Queries end up in logs, so keys in them are
/// refused even when they are right.
const KEY_PARAMETERS: &[&str] = &["key", "api_key", "api-key", "apikey", "access_token", "token"];

/// By which an operator shows the admin's key in a call, which has a caller's key as well.
const ADMIN_KEY: HeaderName = HeaderName::from_static("x-weir-admin-key");

/// The caller, or why it is none.
pub(crate) fn identify(access: Access<'_>, head: &Parts) -> Result<Arc<Caller>, Refusal> {
    check_alone(head)?;
    check_ways(head)?;
    match access.auth {
        Auth::Open { .. } => Ok(Arc::new(Caller::anyone(access.limits.clone()))),
        Auth::Keys => {
            let key = key(&head.headers).ok_or(Refusal::NoKey)?;
            let found = access.keys.find(key).cloned();
            found.ok_or_else(|| Refusal::WrongKey { shown: mask(key) })
        }
    }
}

/// Whether an operator asks, with the one key that says so. It is taken from `Authorization: Bearer` alone, a
/// caller's key is never one, and nothing of what is shown is told: it may be nearly right.
pub(crate) fn authorize(access: Access<'_>, head: &Parts) -> Result<(), Refusal> {
    check_ways(head)?;
    let key = bearer(&head.headers).ok_or(Refusal::NoKey)?;
    is_admins(access, key).then_some(()).ok_or_else(|| Refusal::WrongKey { shown: "***".into() })
}

/// Whether `head` is an operator's, who sees what others do not: it came to the operators' address, or shows the admin's
/// key, beside a caller's if it has to.
pub(crate) fn is_operators(access: Access<'_>, head: &Parts) -> bool {
    let mut beside = head.headers.get_all(ADMIN_KEY).iter();
    let beside = match (beside.next(), beside.next()) {
        (Some(key), None) => key.to_str().ok(),
        (Some(_) | None, _) => None,
    };
    head.extensions.get::<OperatorsAddress>().is_some()
        || beside.or_else(|| bearer(&head.headers)).is_some_and(|key| is_admins(access, key))
}

fn is_admins(access: Access<'_>, key: &str) -> bool {
    access.admin.hash.is_some_and(|hash| hash.is_of(key)) && access.keys.find(key).is_none()
}

/// Refuses a way by which no key may come.
fn check_ways(head: &Parts) -> Result<(), Refusal> {
    let in_query = head.uri.query().and_then(key_parameter);
    in_query.map_or(Ok(()), |param| Err(Refusal::KeyInQuery { param }))
}

/// Refuses keys of which two readers may take different ones.
fn check_alone(head: &Parts) -> Result<(), Refusal> {
    let ambiguous = |problem| Err(Refusal::Ambiguous { problem });
    if let Some(problem) = twice(&head.headers) {
        return ambiguous(problem);
    }
    let mut shown = credentials(&head.headers);
    let Some(first) = shown.next() else { return Ok(()) };
    if shown.any(|other| other != first) {
        return ambiguous("it shows keys that differ");
    }
    if head.uri.query().and_then(key_parameter).is_some() {
        return ambiguous("a key in its query, where it is exposed, beside another");
    }
    Ok(())
}

/// A key as it may be shown: what helps its owner to recognise it, and no more.
fn mask(key: &str) -> String {
    let chars: Vec<char> = key.chars().filter(char::is_ascii_graphic).collect();
    if chars.len() < 24 {
        return "***".into();
    }
    let (head, tail) = (&chars[..8], &chars[chars.len() - 4..]);
    head.iter().chain(&['*'; 3]).chain(tail).collect()
}

fn key(headers: &HeaderMap) -> Option<&str> {
    credentials(headers).next()
}

/// Every key that is shown, by whichever header.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim).filter(|key| !key.is_empty());
    let bearer = text(header::AUTHORIZATION.as_str()).map(|value| match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
        Some(_) | None => value,
    });
    let others = ["api-key", "x-api-key", "x-goog-api-key"].map(text);
    bearer.into_iter().chain(others.into_iter().flatten()).chain(websocket::keys(headers))
}

/// What is wrong where a header with a key stands twice. Some runtimes join the two with a comma, which no key holds.
fn twice(headers: &HeaderMap) -> Option<&'static str> {
    let is_twice = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().is_some_and(|value| value.as_bytes().contains(&b','));
        first || values.next().is_some()
    };
    [
        ("authorization", "more than one authorization"),
        ("api-key", "more than one api-key"),
        ("x-api-key", "more than one x-api-key"),
        ("x-goog-api-key", "more than one x-goog-api-key"),
    ]
    .into_iter()
    .find_map(|(name, problem)| is_twice(name).then_some(problem))
}

/// What stands behind `Bearer` in the only `authorization` there is.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
    Some(key.trim()).filter(|key| scheme.eq_ignore_ascii_case("bearer") && !key.is_empty())
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
    fn an_operators_key_comes_in_one_way() {
        for (values, expected) in [
            (&["Bearer k"][..], Some("k")),
            (&["bearer  k "], Some("k")),
            (&["k"], None),
            (&["Basic k"], None),
            (&["Bearer "], None),
            (&["Bearer k", "Bearer k"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("authorization", HeaderValue::from_static(value));
            }
            headers.insert("x-api-key", HeaderValue::from_static("k"));
            assert_eq!(bearer(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn a_key_is_shown_masked() {
        assert_eq!(mask("sk-invalid-1234567890c66a"), "sk-inval***c66a");
        assert_eq!(mask("short"), "***");
        assert_eq!(mask("sk-\r\n"), "***");
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

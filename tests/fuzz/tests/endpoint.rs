//! A request line: what goes upstream with the gateway's credential stays below the upstream's base.
#![cfg(test)]

use http::Method;
use weir::dialect::endpoint::{Address, Endpoint, PathPattern, decode};

#[test]
fn endpoint() {
    bolero::check!().for_each(holds);
}

#[test]
fn endpoint_damaged() {
    weir_fuzz::mutants("endpoint", 1000).for_each(|bytes| holds(&bytes));
}

/// `METHOD path`; without a method, all of them.
fn holds(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (first, rest) = text.split_once(' ').unwrap_or(("", text));
    match Method::from_bytes(first.as_bytes()) {
        Ok(method) => is_safe(&method, rest),
        Err(_) => [Method::GET, Method::POST, Method::DELETE].iter().for_each(|method| is_safe(method, text)),
    }
}

fn is_safe(method: &Method, path: &str) {
    let opened = ["/v1/rerank", "/v1/x/**"].map(|path| PathPattern::parse(path).unwrap());
    let address = Address::parse(method, path, &opened);
    match &address.endpoint {
        Endpoint::Unknown => return,
        Endpoint::Call(_) => assert_eq!(*method, Method::POST),
        Endpoint::Models => assert!(is_read(method)),
        Endpoint::Model(id) => {
            assert!(is_read(method));
            assert!(!id.is_empty());
            assert_eq!(decode(&address.suffix).unwrap(), format!("/models/{id}"));
        }
        Endpoint::Passthrough(_) => {}
        Endpoint::WrongMethod { allow } => assert_ne!(method.as_str(), *allow),
    }
    assert!(address.suffix.starts_with('/'), "{address:?}");
    // Whatever an upstream decodes, once or twice, it is no way up and out, and no parameter of a segment.
    let once = unescaped(&address.suffix);
    for suffix in [address.suffix.clone(), once.clone(), unescaped(&once)] {
        assert!(!suffix.contains(|c: char| c == '\\' || c == ';' || c.is_control()), "{address:?}");
        assert!(suffix.split('/').skip(1).all(|part| !matches!(part, "" | "." | "..")), "{address:?}");
    }
    // Without slashes that mean nothing, it is what came.
    let parts = |text: &str| text.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    assert!(parts(&unescaped(path)).ends_with(&parts(&once)), "{address:?}");
    // Spelled anew, it stays what it is.
    let again = Address::parse(method, &format!("/v1{}", address.suffix), &opened);
    assert_eq!((&again.endpoint, &again.suffix), (&address.endpoint, &address.suffix));
    if let Some(model) = &address.deployment {
        let whole = format!("openai/deployments/{model}{once}");
        assert_eq!(parts(&unescaped(path)), whole, "{address:?}");
    }
}

/// Percent-decodes as a forgiving server does: a `%` that stands alone stays.
fn unescaped(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let code = text.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let decoded = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| byte == b'%');
        out.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

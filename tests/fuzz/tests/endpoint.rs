//! A request line: what goes upstream with the gateway's credential stays below the upstream's base.
#![cfg(test)]

use http::Method;
use weir::endpoint::{Address, Endpoint, decode};

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
    let address = Address::parse(method, path);
    match &address.endpoint {
        Endpoint::Unknown => return,
        Endpoint::Call(_) => assert_eq!(*method, Method::POST),
        Endpoint::Models => assert_eq!(*method, Method::GET),
        Endpoint::Model(id) => {
            assert_eq!(*method, Method::GET);
            assert_eq!(decode(&address.suffix).unwrap(), format!("/models/{id}"));
        }
        Endpoint::Passthrough => {}
        Endpoint::WrongMethod { allow } => assert_ne!(method.as_str(), *allow),
    }
    assert!(address.suffix.starts_with('/') && path.ends_with(&address.suffix), "{address:?}");
    // Whatever an upstream decodes, once, it is no way up and out.
    for suffix in [address.suffix.clone(), unescaped(&address.suffix)] {
        assert!(!suffix.contains(|c: char| c == '\\' || c.is_control()), "{address:?}");
        assert!(suffix.split('/').all(|part| part != "." && part != ".."), "{address:?}");
    }
    if let Some(model) = &address.deployment {
        assert!(path.starts_with("/openai/deployments/"), "{address:?}");
        assert_eq!(unescaped(path), format!("/openai/deployments/{model}{}", unescaped(&address.suffix)));
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

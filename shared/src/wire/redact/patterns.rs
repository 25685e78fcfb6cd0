//! The spellings of a credential that are looked for.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::secret::Secret;
use crate::wire::json;

/// Bytes of the shortest text that is looked for. A shorter one is no credential, and stands in any answer.
const SHORTEST: usize = 6;

/// What documentation tells people to write where a key is wanted and none is needed (Ollama, LM Studio, llama.cpp):
/// these are words of any answer, and nobody's secret.
const PLACEHOLDERS: &[&str] = &["ollama", "lm-studio", "sk-no-key-required", "no-key", "not-needed"];

/// Each once, in lower case.
pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Vec<Vec<u8>> {
    let mut patterns = BTreeSet::new();
    for secret in secrets {
        for text in values(secret.expose()) {
            add(&text, &mut patterns);
        }
    }
    let patterns: BTreeSet<_> = patterns.into_iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
    patterns.into_iter().map(String::into_bytes).collect()
}

/// What is secret of what is shown: behind a scheme the rest, and of user and password the password as well.
fn values(shown: &str) -> Vec<String> {
    let Some((scheme, rest)) = shown.split_once(' ') else { return vec![shown.to_owned()] };
    let mut values = vec![rest.to_owned()];
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(both) = STANDARD.decode(rest).ok().and_then(|both| String::from_utf8(both).ok())
        && let Some((_, password)) = both.split_once(':')
    {
        values.push(password.to_owned());
    } else if !scheme.eq_ignore_ascii_case("bearer") {
        values.push(shown.to_owned());
    }
    values
}

fn add(text: &str, patterns: &mut BTreeSet<String>) {
    if text.len() < SHORTEST || PLACEHOLDERS.contains(&text) {
        return;
    }
    patterns.extend(spellings(text));
    for core in cores(text) {
        patterns.extend(spellings(&core.replace('+', "-").replace('/', "_")));
        patterns.extend(spellings(&core));
    }
    patterns.retain(|pattern| pattern.len() >= SHORTEST);
}

/// The base64 of every text that `text` is in the middle of: where it stands decides which of three it is, and the
/// characters at both ends depend on what is beside it.
fn cores(text: &str) -> impl Iterator<Item = String> + use<> {
    let text = text.as_bytes().to_vec();
    (0..3_usize).map(move |before| {
        let encoded = STANDARD_NO_PAD.encode([&vec![0; before], text.as_slice()].concat());
        let (from, to) = ((before * 8).div_ceil(6), (before + text.len()) * 8 / 6);
        encoded.get(from..to).unwrap_or_default().to_owned()
    })
}

/// As it is, as JSON has it, percent-encoded, and with every character escaped or in hexadecimal digits.
fn spellings(text: &str) -> Vec<String> {
    let quoted = json::quote(text);
    let quoted = quoted.trim_start_matches('"').strip_suffix('"').unwrap_or(text).to_owned();
    let slashes = quoted.replace('/', "\\/");
    let html = escaped(text, |byte| b"\"'&+/<=>\\`".contains(&byte), |byte| format!("\\u00{byte:02x}"));
    let percent = |kept: &'static [u8]| {
        let is_escaped = move |byte: u8| !byte.is_ascii_alphanumeric() && !kept.contains(&byte);
        escaped(text, is_escaped, |byte| format!("%{byte:02x}"))
    };
    let percent = [&b"-._~"[..], b"-._*", b"-._~!$&'()*+,;=:@/"].map(percent);
    let every =
        ["\\u00", "%", "\\x", ""].map(|before| escaped(text, |_| true, |byte| format!("{before}{byte:02x}")));
    [text.to_owned(), quoted, slashes, html].into_iter().chain(percent).chain(every).collect()
}

fn escaped(text: &str, is_escaped: impl Fn(u8) -> bool, escape: impl Fn(u8) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_escaped(byte) {
            out.push_str(&escape(byte));
        } else {
            // Header values are ASCII; of another only the first spelling is found.
            out.push(char::from(byte));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_found(secret: &str, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        of(&[Secret::new(secret)])
            .iter()
            .any(|pattern| memchr::memmem::find(text.as_bytes(), pattern).is_some())
    }

    #[test]
    fn a_key_is_found_in_every_spelling() {
        let key = "sk/one+two=\"3\"-x";
        for text in [
            key,
            r#"{"key":"sk/one+two=\"3\"-x"}"#,
            r"sk\u002Fone\u002Btwo\u003D\u00223\u0022-x",
            r"sk\u002fone\u002btwo\u003d\u00223\u0022-x",
            "sk%2Fone%2Btwo%3D%223%22-x",
            "sk%2fone%2Btwo%3d%223%22-x",
        ] {
            assert!(is_found(key, text), "{text}");
        }
        assert!(is_found("sk/one", r"sk\/one"));
        for text in [
            r"\u0073\u006B\u002D\u006f\u006e\u0065",
            "%73%6B%2D%6f%6e%65",
            r"\x73\x6B\x2d\x6f\x6e\x65",
            "736B2D6f6e65",
        ] {
            assert!(is_found("sk-one", text), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_looked_for() {
        for text in ["", "EMPTY", "none", "ollama", "sk-1"] {
            assert!(of(&[Secret::new(text)]).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_proxys_password_is_a_secret_of_its_own() {
        let shown = Secret::new(format!("Basic {}", STANDARD.encode("user:pass-canary")));
        let patterns = of(&[shown]);
        assert!(patterns.iter().any(|pattern| pattern == b"pass-canary"));
        assert!(
            patterns
                .iter()
                .any(|pattern| *pattern
                    == STANDARD.encode("user:pass-canary").to_ascii_lowercase().into_bytes())
        );
        assert!(patterns.iter().all(|pattern| !pattern.starts_with(b"basic")));
    }

    proptest! {
        #[test]
        fn a_key_is_found_in_base64_whatever_stands_around_it(
            key in "[ -~]{8,40}", before in proptest::collection::vec(any::<u8>(), 0..8),
            behind in proptest::collection::vec(any::<u8>(), 0..8), url_safe in any::<bool>(),
        ) {
            prop_assume!(!key.contains(' '));
            let text = STANDARD.encode([&before, key.as_bytes(), &behind].concat());
            let text = if url_safe { text.replace('+', "-").replace('/', "_") } else { text };
            prop_assert!(is_found(&key, &text));
        }
    }
}

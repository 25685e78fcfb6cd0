//! `weir key new`.

use weir::identity::caller::KeyHash;

use crate::cli::{Failed, NewKey, say};

/// Digits and letters of a key: 62 of them, so that a double click selects it whole.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// 43 of them are 256 bits.
const LENGTH: usize = 43;

pub(crate) fn print_new(flags: &NewKey) -> Result<(), Failed> {
    let key = new_key().map_err(|e| Failed::because("no randomness", e))?;
    let (name, hash) = (&flags.name, KeyHash::of(&key).to_text());
    // A bare dot would begin a table inside a table.
    let table = if name.contains('.') { format!("\"{name}\"") } else { name.clone() };
    say(format_args!(
        "The key, shown this once; hand it to the caller:\n\n  {key}\n\n\
         Its lines for weir.toml, which hold only its hash:\n\n\
         [key.{table}]\nhash   = \"{hash}\"\ntenant = \"{name}\"\nmodels = [\"*\"]"
    ));
    Ok(())
}

fn new_key() -> Result<String, getrandom::Error> {
    let mut key = String::from("sk-weir-");
    let length = key.len() + LENGTH;
    while key.len() < length {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        // Bytes beyond the last whole multiple of 62 would make some letters likelier.
        let fair =
            bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        key.extend(fair.take(length - key.len()));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_differ() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(a, b);
        assert!(a.len() == 51 && a.starts_with("sk-weir-"), "{a}");
        assert!(a.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{a}");
    }
}

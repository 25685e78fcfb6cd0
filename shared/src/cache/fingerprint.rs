//! Fingerprints: 256 bits that stand for a request wherever two requests must be told apart.
//!
//! A cache finds an answer by one, calls in flight join each other by one, an idempotency key is held to one.
//! All of them go wrong in the same way: two different requests under one fingerprint are a wrong answer, or
//! another tenant's. So nothing is ever put together without a frame, no hash is cut short, and what counts
//! as equal is what every reader of JSON must take for equal, and nothing more. The other mistake, two
//! fingerprints for what somebody might call one request, costs one call.
//!
//! Replicas of different versions share a store: a change of what is hashed must change the version in the
//! domain, which the tests' fixed vectors see to.

mod canonical;
mod spelling;
#[cfg(test)]
mod tests;

use std::fmt;

use http::HeaderName;
use sha2::{Digest, Sha256};

use crate::wire::headers::AllowedHeaders;
use crate::wire::pack::packed;

/// What [`of_object`] hashes under. The number is the version of the canonical form.
const OBJECT: &str = "weir.object.1";

/// SHA-256. It is a hash: to show it shows no prompt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

packed!(struct Fingerprint(bytes));

impl Fingerprint {
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> [u8; 32] {
        self.0
    }

    /// 64 lower-case digits.
    pub fn to_hex(self) -> String {
        self.digits().map(char::from).into_iter().collect()
    }

    /// The same without an allocation.
    pub(crate) fn digits(self) -> [u8; 64] {
        let mut digits = [0; 64];
        let (pairs, _) = digits.as_chunks_mut();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair =
                [byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
        }
        digits
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.to_hex())
    }
}

/// What a tenant is known by in a store.
pub fn of_tenant(name: &str) -> Fingerprint {
    Framed::new("weir tenant 1").field("name", name.as_bytes()).finish()
}

/// What an object is known by that a provider calls `id`.
pub fn of_provider_object(id: &str) -> Fingerprint {
    Framed::new("weir provider object 1").field("id", id.as_bytes()).finish()
}

/// What tells calls apart whose headers may change the answer. The order of different names does not count.
pub(crate) fn of_headers(allowed: &AllowedHeaders) -> Fingerprint {
    let allowed = allowed.as_map();
    let mut names: Vec<&HeaderName> = allowed.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let mut framed = Framed::new("weir headers 1");
    for name in names {
        for value in allowed.get_all(name) {
            framed = framed.field(name.as_str(), value.as_bytes());
        }
    }
    framed.finish()
}

/// Fields one after another, each framed by its name and both lengths: no two different lists hash alike.
#[derive(Clone, Debug)]
pub struct Framed(Sha256);

impl Framed {
    /// `domain` says what is hashed and in which version, such as `"weir.cache.1"`: the same fields for two
    /// purposes have two fingerprints.
    pub fn new(domain: &str) -> Self {
        Self(Sha256::new()).frame(domain.as_bytes())
    }

    #[must_use]
    pub fn field(self, name: &str, value: &[u8]) -> Self {
        self.frame(name.as_bytes()).frame(value)
    }

    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }

    /// The length is eight bytes on every target.
    fn frame(self, bytes: &[u8]) -> Self {
        Self(self.0.chain_update((bytes.len() as u64).to_be_bytes()).chain_update(bytes))
    }
}

/// The fingerprint of the JSON object that `text` is, apart from its top-level fields `without`.
///
/// It does not depend on the order of keys, at any depth, on white space, nor on which characters of a string
/// are escaped and how. Everything else counts: the order of items, keys that stand more than once, `null`
/// fields, and numbers as they are spelled, for 0.7 and 0.70 may be two numbers to some reader.
///
/// `None` when it is not a JSON object, or nested deeper than 128 levels, or of more
/// than 65,536 members at one level.
pub fn of_object(text: &str, without: &[&str]) -> Option<Fingerprint> {
    let object = canonical::object(text, without)?;
    Some(Framed::new(OBJECT).field("object", &object).finish())
}

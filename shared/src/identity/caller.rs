//! Who calls: keys, and the callers they belong to.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::dialect::endpoint::{PassedPath, PathPattern};
use crate::dialect::model_pattern::Pattern;
use crate::ledger::payer::Payer;
use crate::limits::Limits;
use crate::limits::concurrency::Priority;
use crate::wire::pack::packed;

/// Who a key belongs to.
#[derive(Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of its `[key.NAME]` table.
    pub name: String,
    /// The unit of isolation.
    pub tenant: String,
    /// What it may call; a name or what an alias makes of it must match one. Empty means nothing.
    pub models: Vec<Pattern>,
    /// What it may use of the paths that are passed through.
    pub passthrough: Vec<PathPattern>,
    pub limits: Limits,
    pub priority: Priority,
}

impl Caller {
    /// Everyone's tenant where no key is asked for.
    pub const OPEN_TENANT: &str = "default";

    /// Everyone, at a gateway with `auth = "open"`; the limits are each client address's.
    pub fn anyone(limits: Limits) -> Self {
        Self {
            name: "anyone".into(),
            tenant: Self::OPEN_TENANT.into(),
            models: vec![Pattern::new("*")],
            passthrough: vec![PathPattern::all()],
            limits,
            priority: Priority::default(),
        }
    }

    /// Whether it may call the model it `asked` for, which is `resolved` behind the aliases.
    pub fn may_call(&self, asked: &str, resolved: &str) -> bool {
        self.models.iter().any(|pattern| pattern.matches(asked) || pattern.matches(resolved))
    }

    /// Whether it may use a path that is passed through.
    pub fn may_pass(&self, path: &PassedPath) -> bool {
        self.passthrough.iter().any(|granted| granted.grants(path))
    }

    /// Whether it may call whatever `models` matches. A pattern that matches another pattern's text matches all that
    /// the other one does.
    pub fn may_call_all_of(&self, models: &Pattern) -> bool {
        self.models.iter().any(|pattern| pattern.matches(models.as_str()))
    }
}

impl Payer for Caller {
    fn name(&self) -> &str {
        &self.name
    }

    fn tenant(&self) -> &str {
        &self.tenant
    }
}

/// SHA-256 of a key. The key itself is stored nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

packed!(struct KeyHash(hash));

impl KeyHash {
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Reads `sha256:` and 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Whether it is the hash of `key`, in constant time.
    pub fn is_of(self, key: &str) -> bool {
        self.0.ct_eq(&Self::of(key).0).into()
    }

    /// As [`KeyHash::parse`] reads it.
    pub fn to_text(self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::from("sha256:"), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The callers by the hash of their key.
#[derive(Debug, Default)]
pub struct Keyring(Vec<(KeyHash, Arc<Caller>)>);

impl Keyring {
    /// Hashes must differ; the checked config sees to it.
    pub fn new(mut keys: Vec<(KeyHash, Arc<Caller>)>) -> Self {
        keys.sort_by_key(|(hash, _)| *hash);
        Self(keys)
    }

    pub(crate) fn into_keys(self) -> Vec<(KeyHash, Arc<Caller>)> {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everyone with a key, in no order that means anything.
    pub fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.0.iter().map(|(_, caller)| &**caller)
    }

    /// Finds by hash, then compares the whole hash in constant time: what time tells is about a hash that
    /// the client cannot choose.
    pub fn find(&self, key: &str) -> Option<&Arc<Caller>> {
        let hash = KeyHash::of(key);
        let at = self.0.binary_search_by_key(&hash, |(stored, _)| *stored).ok()?;
        let (stored, caller) = &self.0[at];
        bool::from(stored.0.ct_eq(&hash.0)).then_some(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_text_is_read_back() {
        let hash = KeyHash::of("sk-weir-test");
        assert_eq!(KeyHash::parse(&hash.to_text()), Some(hash));
        for bad in ["", "sha256:", "sha256:zz", "md5:00", &"0".repeat(64)] {
            assert_eq!(KeyHash::parse(bad), None, "{bad}");
        }
        assert!(hash.is_of("sk-weir-test") && !hash.is_of("sk-weir-tesT") && !hash.is_of(""));
    }

    #[test]
    fn keys_that_share_a_prefix_are_told_apart() {
        let caller = |name: &str| Arc::new(Caller { name: name.into(), ..Caller::anyone(Limits::default()) });
        let ring = Keyring::new(vec![
            (KeyHash::of("sk-weir-aaaa"), caller("a")),
            (KeyHash::of("sk-weir-aaab"), caller("b")),
        ]);
        assert_eq!(ring.find("sk-weir-aaaa").map(|c| c.name.as_str()), Some("a"));
        assert_eq!(ring.find("sk-weir-aaab").map(|c| c.name.as_str()), Some("b"));
        assert_eq!(ring.find("sk-weir-aaa"), None);
    }

    #[test]
    fn an_alias_or_its_target_may_be_granted() {
        let caller = Caller { models: vec![Pattern::new("fast")], ..Caller::anyone(Limits::default()) };
        assert!(caller.may_call("fast", "gpt-4o"));
        assert!(!caller.may_call("gpt-4o", "gpt-4o"));
    }
}

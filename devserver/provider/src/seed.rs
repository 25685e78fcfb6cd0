//! Determinism: every number, word and id of an answer is drawn from the request it answers,
//! so the same request gives the same answer in every process.

use sha2::{Digest, Sha256};

/// A stream of numbers fixed by what it was made from: SHA-256 to start, splitmix64 to go on.
#[derive(Clone, Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length keeps ["ab"] and ["a", "b"] apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.first_chunk().map_or(0, |start| u64::from_be_bytes(*start)))
    }

    /// Another stream from the same origin; drawing from one leaves the other as it was.
    pub(crate) fn branch(&self, label: &str) -> Self {
        Self::of([self.0.to_be_bytes().as_slice(), label.as_bytes()])
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 when there is no such number.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.draw().checked_rem(bound as u64).and_then(|drawn| usize::try_from(drawn).ok()).unwrap_or(0)
    }

    /// A number in `-1.0..=1.0`.
    pub(crate) fn signed_unit(&mut self) -> f32 {
        let [high, low, ..] = self.draw().to_be_bytes();
        f32::from(i16::from_be_bytes([high, low])) / 32_768.0
    }

    /// An identifier such as `chatcmpl-0123…`: the prefix and 32 hex digits.
    pub(crate) fn id(&self, prefix: &str) -> String {
        let mut branch = self.branch(prefix);
        format!("{prefix}{:016x}{:016x}", branch.draw(), branch.draw())
    }
}

#[cfg(test)]
mod tests {
    use super::Seed;

    #[test]
    fn the_same_origin_gives_the_same_ids_and_another_gives_others() {
        let seed = Seed::of([b"prompt".as_slice()]);
        assert_eq!(seed.id("call_"), Seed::of([b"prompt".as_slice()]).id("call_"));
        assert_ne!(seed.id("call_"), Seed::of([b"prompts".as_slice()]).id("call_"));
        assert_ne!(Seed::of([b"ab".as_slice()]).id(""), Seed::of([b"a".as_slice(), b"b"]).id(""));
    }

    #[test]
    fn drawing_below_nothing_gives_zero() {
        assert_eq!(Seed::of([]).below(0), 0);
    }
}

//! Hostile input for everything that parses.
//!
//! Each file in `tests/` is a target: a function that takes any bytes and asserts what must hold for all of
//! them. A `#[test]` by the target's name gives it what is in `tests/__fuzz__/NAME/corpus`, hand-made and kept,
//! and then random bytes for a bounded time (`bolero`). Random bytes do not get far into a format, so a second
//! test gives it the corpus damaged in every way that [`mutants`] knows, from a fixed seed.
//!
//! `cargo test -p weir-fuzz` does all of that in seconds. To search for hours, with coverage to guide it:
//!
//! ```text
//! cargo install cargo-bolero
//! cargo +nightly bolero test --package weir-fuzz request --profile dev --sanitizer NONE -T 1h
//! ```
//!
//! A crash is written to `tests/__fuzz__/NAME/crashes` and is an input of the test from then on: commit it with
//! its correction. What the run adds to a corpus git does not see until it has a name.

// The instrumentation of a fuzzing build wants its runtime in every test binary, in this one too.
#[cfg(test)]
use bolero as _;

mod mutants;

pub use crate::mutants::{corpus, mutants};

/// Stands in corpus files and in surroundings where a secret or a prompt would; no message may hold it. It has
/// the shape of a key, so that what hides keys has to hide it.
pub const CANARY: &str = "sk-canary-0123456789abcdef0123456789abcdef";

/// Cuts `bytes` into pieces whose lengths the bytes themselves decide: the same input, the same pieces.
pub fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    while !rest.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Mostly short, at times long: borders are where things go wrong.
        let length = match state >> 60 {
            0 => 64,
            short => usize::try_from(short).unwrap_or(1),
        };
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

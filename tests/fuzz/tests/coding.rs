//! A packed body: however it is cut, the same bytes or none, and never more than is taken.
#![cfg(test)]

use bytes::Bytes;
use weir::wire::coding::{Coding, Decoder, Fault, decode};

/// Bytes that are taken; the corpus holds bodies of more.
const MOST: u64 = 100_000;

/// What a decoder may give in one go before a bound is looked at: a window of zstd, which is held until it is full.
const AT_ONCE: u64 = (8 << 20) + 128 * 1024;

#[test]
fn coding() {
    bolero::check!().for_each(holds);
}

#[test]
fn coding_damaged() {
    weir_fuzz::mutants("coding", 60).for_each(|bytes| holds(&bytes));
}

/// The first byte says which coding the rest is said to have.
fn holds(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    let coding = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd][usize::from(kind % 4)];
    let whole = decode(coding, Bytes::copy_from_slice(body), MOST);
    if let Ok(whole) = &whole {
        assert!(whole.len() as u64 <= MOST, "{} bytes of {coding:?}", whole.len());
    }
    // A flush is dear, and a whole window's work with zstd.
    let by_bytes = body.chunks(1).collect();
    for (pieces, is_flushed) in [(by_bytes, false), (weir_fuzz::pieces(body), true)] {
        let cut = decode_pieces(coding, &pieces, is_flushed);
        assert_eq!(cut.as_ref().ok(), whole.as_ref().ok(), "{coding:?} depends on how it is cut");
    }
}

fn decode_pieces(coding: Coding, pieces: &[&[u8]], is_flushed: bool) -> Result<Bytes, Fault> {
    let (mut decoder, mut out) = (Decoder::new(coding, MOST), Vec::new());
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() || decoder.holds_more() {
            let (before, had) = (piece.len(), out.len());
            let outcome = decoder.decode(&mut piece, &mut out);
            assert!(out.len() as u64 <= MOST + AT_ONCE, "{} bytes of {coding:?}", out.len());
            outcome?;
            let is_further = piece.len() < before || out.len() > had || !decoder.holds_more();
            assert!(is_further, "{coding:?} neither takes nor gives");
        }
        if is_flushed {
            decoder.flush(&mut out)?;
        }
    }
    decoder.finish(&mut out)?;
    Ok(out.into())
}

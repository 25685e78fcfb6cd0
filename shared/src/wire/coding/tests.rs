//! What others pack is unpacked, in whatever pieces it comes, and no further than the bounds.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const PLENTY: u64 = 1 << 30;

/// A packer that can be told to give all it has.
trait Packer {
    fn add(&mut self, bytes: &[u8]) -> Vec<u8>;
    fn end(self: Box<Self>) -> Vec<u8>;
}

macro_rules! packer {
    ($kind:ty, $end:ident) => {
        impl Packer for $kind {
            fn add(&mut self, bytes: &[u8]) -> Vec<u8> {
                self.write_all(bytes).unwrap();
                self.flush().unwrap();
                std::mem::take(self.get_mut())
            }

            fn end(self: Box<Self>) -> Vec<u8> {
                self.$end().unwrap()
            }
        }
    };
}

packer!(GzEncoder<Vec<u8>>, finish);
packer!(ZlibEncoder<Vec<u8>>, finish);
packer!(DeflateEncoder<Vec<u8>>, finish);
packer!(::zstd::Encoder<'static, Vec<u8>>, finish);

impl Packer for brotli::CompressorWriter<Vec<u8>> {
    fn add(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.write_all(bytes).unwrap();
        self.flush().unwrap();
        std::mem::take(self.get_mut())
    }

    fn end(self: Box<Self>) -> Vec<u8> {
        self.into_inner()
    }
}

fn packers() -> Vec<(&'static str, Coding, Box<dyn Packer>)> {
    let best = Compression::best();
    let checked = || {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder
    };
    vec![
        ("gzip", Coding::Gzip, Box::new(GzEncoder::new(Vec::new(), best))),
        ("zlib", Coding::Deflate, Box::new(ZlibEncoder::new(Vec::new(), best))),
        ("raw deflate", Coding::Deflate, Box::new(DeflateEncoder::new(Vec::new(), best))),
        ("brotli", Coding::Brotli, Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22))),
        ("zstd", Coding::Zstd, Box::new(checked())),
        ("fast zstd", Coding::Zstd, Box::new(::zstd::Encoder::new(Vec::new(), -3).unwrap())),
        ("tight zstd", Coding::Zstd, Box::new(::zstd::Encoder::new(Vec::new(), 17).unwrap())),
    ]
}

fn packed(mut packer: Box<dyn Packer>, bytes: &[u8]) -> Vec<u8> {
    let mut out = packer.add(bytes);
    out.extend(packer.end());
    out
}

/// Text that repeats itself near and far, as streams of events do.
fn events(count: usize) -> Vec<Vec<u8>> {
    let word = |n: usize| ["alpha", "beta", "gamma", "delta"][(n * n + n / 7) % 4];
    (0..count)
        .map(|n| format!("data: {{\"n\":{n},\"delta\":{{\"content\":\"{} {}\"}}}}\n\n", word(n), word(n * 3)))
        .map(String::into_bytes)
        .collect()
}

fn in_pieces(coding: Coding, packed: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    let (mut decoder, mut out) = (Decoder::new(coding, PLENTY), Vec::new());
    for piece in packed.chunks(size) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() || decoder.holds_more() {
            decoder.decode(&mut piece, &mut out)?;
        }
        // Each flush of zstd moves a window: a byte at a time it is not asked.
        if size == 997 {
            decoder.flush(&mut out)?;
        }
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

#[test]
fn what_others_pack_comes_out_however_it_is_cut() {
    let text = events(1000).concat();
    for (label, coding, packer) in packers() {
        let packed = packed(packer, &text);
        assert!(packed.len() < text.len() / 2, "{label}");
        assert_eq!(decode(coding, packed.clone().into(), PLENTY).unwrap(), text, "{label}");
        for size in [1, 2, 997, 4096] {
            assert!(in_pieces(coding, &packed, size).as_ref() == Ok(&text), "{label} in pieces of {size}");
        }
    }
}

#[test]
fn each_event_is_there_as_soon_as_it_was_flushed() {
    for (label, coding, mut packer) in packers() {
        let (mut decoder, mut out, mut sent) = (Decoder::new(coding, PLENTY), Vec::new(), Vec::new());
        for (n, event) in events(60).into_iter().enumerate() {
            let mut piece = Bytes::from(packer.add(&event));
            while !piece.is_empty() || decoder.holds_more() {
                decoder.decode(&mut piece, &mut out).unwrap();
            }
            sent.extend(event);
            // Now and then nobody asks before more is there.
            if n % 5 < 3 {
                decoder.flush(&mut out).unwrap();
                assert!(out == sent, "{label}: event {n}");
            }
        }
        let mut rest = Bytes::from(packer.end());
        while !rest.is_empty() || decoder.holds_more() {
            decoder.decode(&mut rest, &mut out).unwrap();
        }
        assert_eq!(decoder.finish(&mut out), Ok(()), "{label}");
        assert!(out == sent, "{label}");
    }
}

#[test]
fn the_bound_holds_for_what_comes_out() {
    for (label, coding, packer) in packers() {
        let packed = Bytes::from(packed(packer, &vec![0; 2 << 20]));
        assert_eq!(decode(coding, packed.clone(), (2 << 20) - 1), Err(Fault::TooLarge), "{label}");
        assert_eq!(decode(coding, packed, 2 << 20).map(|out| out.len()), Ok(2 << 20), "{label}");
    }
}

#[test]
fn bombs_end_early_however_much_is_taken() {
    for (label, coding, packer) in packers() {
        let packed = Bytes::from(packed(packer, &vec![0; 16 << 20]));
        let (mut decoder, mut input, mut out) = (Decoder::new(coding, PLENTY), packed, Vec::new());
        let mut made = 0;
        let fault = loop {
            out.clear();
            match decoder.decode(&mut input, &mut out) {
                Ok(()) => made += out.len(),
                Err(fault) => break fault,
            }
            assert!(out.len() <= 4 * PIECE, "{label}: a piece of {}", out.len());
        };
        assert_eq!(fault, Fault::TooDense, "{label}");
        assert!(made < 10 << 20, "{label}: {made}");
    }
}

#[test]
fn members_and_frames_follow_one_another_up_to_a_number() {
    for (label, coding, _) in
        packers().into_iter().filter(|(_, coding, _)| matches!(coding, Coding::Gzip | Coding::Zstd))
    {
        let member = |bytes: &[u8]| {
            let (_, _, packer) = packers().into_iter().find(|(have, ..)| *have == label).unwrap();
            packed(packer, bytes)
        };
        let two = [member(b"{\"a\":"), member(b""), member(b"1}")].concat();
        assert_eq!(decode(coding, two.clone().into(), 99), Ok("{\"a\":1}".into()), "{label}");
        assert_eq!(in_pieces(coding, &two, 1), Ok(b"{\"a\":1}".to_vec()), "{label}");
        let many = member(b"x").repeat(MOST_MEMBERS as usize);
        assert_eq!(decode(coding, many.clone().into(), 999).map(|out| out.len()), Ok(256), "{label}");
        let more = [many, member(b"x")].concat();
        assert_eq!(decode(coding, more.into(), 999), Err(Fault::TooManyMembers), "{label}");
    }
    let skippable =
        [&b"\x53\x2a\x4d\x18\x03\0\0\0abc"[..], &::zstd::encode_all(&b"{}"[..], 3).unwrap()].concat();
    assert_eq!(decode(Coding::Zstd, skippable.clone().into(), 99), Ok("{}".into()));
    assert_eq!(in_pieces(Coding::Zstd, &skippable, 1), Ok(b"{}".to_vec()));
}

#[test]
fn what_is_cut_short_or_followed_by_something_is_told() {
    let text = events(50).concat();
    for (label, coding, packer) in packers() {
        let packed = packed(packer, &text);
        for at in [1, 2, 5, packed.len() / 2, packed.len() - 1] {
            let cut = Bytes::copy_from_slice(&packed[..at]);
            assert_eq!(decode(coding, cut, PLENTY), Err(Fault::Truncated), "{label} cut at {at}");
        }
        let more = [&packed[..], b"and something that is none of it"].concat();
        assert_eq!(decode(coding, more.into(), PLENTY), Err(Fault::Malformed), "{label}");
        assert_eq!(decode(coding, Bytes::new(), PLENTY), Ok(Bytes::new()), "{label}");
    }
    for coding in [Coding::Gzip, Coding::Zstd] {
        assert_eq!(decode(coding, "{\"model\":\"m\",\"messages\":[]}".into(), 99), Err(Fault::Malformed));
    }
}

/// A window that no decoder has to have: 2 GiB of it (RFC 8878, 3.1.1.1.2).
#[test]
fn a_window_beyond_what_everyone_has_is_too_large() {
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    assert_eq!(decode(Coding::Zstd, Bytes::copy_from_slice(&head), PLENTY), Err(Fault::TooLarge));
}

#[test]
fn codings_have_their_names() {
    for (name, coding) in [
        ("gzip", Some(Coding::Gzip)),
        (" X-GZIP ", Some(Coding::Gzip)),
        ("deflate", Some(Coding::Deflate)),
        ("Br", Some(Coding::Brotli)),
        ("zstd", Some(Coding::Zstd)),
        ("gzip, br", None),
        ("compress", None),
        ("", None),
    ] {
        assert_eq!(Coding::named(name), coding, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn noise_is_taken_alike_whole_and_in_pieces(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0usize..200,
        kind in 0usize..7,
        size in 1usize..50,
    ) {
        let (_, coding, packer) = packers().swap_remove(kind);
        let mut packed = packed(packer, &events(20).concat());
        let at = at.min(packed.len());
        let end = (at + noise.len()).min(packed.len());
        packed.splice(at..end, noise);
        let whole = decode(coding, packed.clone().into(), PLENTY).map(|out| out.to_vec());
        prop_assert_eq!(in_pieces(coding, &packed, size * 2), whole);
    }
}

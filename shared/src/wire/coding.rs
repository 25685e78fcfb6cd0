//! Content codings (RFC 9110, 8.4.1): what a client sends packed, and what an upstream packs although nobody asked.
//!
//! A [`Decoder`] takes bytes as they come and gives what can be known of them at once, piece by piece, so that a
//! stream of events flows on. Three bounds hold whatever comes: the bytes that come out, how many times more of them
//! than went in, and the members (gzip) or frames (zstd) that follow one another. More codings than one on the same
//! body are not undone.

mod decoded;
mod flate;
mod zstd;

use std::fmt;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, Bytes};

pub(crate) use self::decoded::{Decoded, Undecoded, take};
use self::flate::{Deflate, Gzip};
use self::zstd::Zstd;

/// Members or frames of one body. Each costs a decoder of its own, and twenty bytes are enough for one.
const MOST_MEMBERS: u32 = 256;

/// How many times its own size a body may unpack to, once more than [`ANY_RATIO`] has come of it. JSON packs to a
/// tenth or a thirtieth; a bomb starts at a thousand.
const MOST_RATIO: u64 = 250;

/// Bytes that may come of a body of whatever size.
const ANY_RATIO: u64 = 4 << 20;

/// Bytes of one piece, roughly: a decoder stops behind them and is asked again.
const PIECE: usize = 64 * 1024;

/// The codings that are undone, as an error names them.
pub(crate) const TAKEN: &str = "gzip, deflate, br, zstd or identity";

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    /// With a zlib header, as the standard wants it, or raw, as some send it.
    Deflate,
    Brotli,
    Zstd,
}

/// Why a body cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not of the coding that it is said to have.
    Malformed,
    /// It ends before its end.
    Truncated,
    /// More comes out than is taken.
    TooLarge,
    /// So much comes of so little that it is no honest body.
    TooDense,
    /// It is cut into more members or frames than an honest body.
    TooManyMembers,
}

impl Coding {
    /// As a `content-encoding` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The one coding that a `content-encoding` names.
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Unpacks a whole body, to at most that many bytes.
pub fn decode(coding: Coding, body: Bytes, most: u64) -> Result<Bytes, Fault> {
    let (mut decoder, mut body, mut out) = (Decoder::new(coding, most), body, Vec::new());
    while !body.is_empty() || decoder.holds_more() {
        decoder.decode(&mut body, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out.into())
}

/// Undoes a coding as its bytes come.
pub struct Decoder {
    engine: Engine,
    taken: u64,
    made: u64,
    most: u64,
}

enum Engine {
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli { state: Box<Brotli>, stage: Stage },
    Zstd(Box<Zstd>),
}

/// How far a brotli body has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reading,
    /// More comes of what was taken.
    Holding,
    Over,
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("taken", &self.taken)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// At most that many bytes come out.
    pub fn new(coding: Coding, most: u64) -> Self {
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(Gzip::default()),
            Coding::Deflate => Engine::Deflate(Deflate::default()),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                Engine::Brotli {
                    state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())),
                    stage: Stage::Reading,
                }
            }
            Coding::Zstd => Engine::Zstd(Box::default()),
        };
        Self { engine, taken: 0, made: 0, most }
    }

    /// Takes some of `input`, and appends what comes of it; little more than a `PIECE` at once, or than
    /// the window of a zstd frame.
    /// Until `input` is empty and nothing is held, it is to be called again.
    pub fn decode(&mut self, input: &mut Bytes, out: &mut Vec<u8>) -> Result<(), Fault> {
        let (before, had) = (input.len(), out.len());
        while (!input.is_empty() || self.holds_more()) && out.len() - had < PIECE {
            match &mut self.engine {
                Engine::Gzip(gzip) => gzip.decode(input, out)?,
                Engine::Deflate(deflate) => deflate.decode(input, out)?,
                Engine::Brotli { state, stage } => decode_brotli(state, stage, input, out)?,
                Engine::Zstd(zstd) => zstd.decode(input, out)?,
            }
        }
        self.count(before.saturating_sub(input.len()) as u64, (out.len() - had) as u64)
    }

    /// Whether [`Self::decode`] has something to give without taking anything.
    pub fn holds_more(&self) -> bool {
        match &self.engine {
            Engine::Brotli { stage, .. } => *stage == Stage::Holding,
            Engine::Gzip(_) | Engine::Deflate(_) | Engine::Zstd(_) => false,
        }
    }

    /// Gives all that can be known of what was taken, though a coding would rather wait for more. Dear with zstd, so
    /// asked only when nothing more is there to be taken.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let had = out.len();
        match &mut self.engine {
            Engine::Zstd(zstd) => zstd.flush(out)?,
            // These hold nothing back.
            Engine::Gzip(_) | Engine::Deflate(_) | Engine::Brotli { .. } => {}
        }
        self.count(0, (out.len() - had) as u64)
    }

    /// Nothing more is to come. A body without a byte is none, and none the worse for it.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let had = out.len();
        let is_whole = match &mut self.engine {
            Engine::Gzip(gzip) => gzip.is_whole(),
            Engine::Deflate(deflate) => deflate.is_whole(),
            Engine::Brotli { stage, .. } => *stage == Stage::Over,
            Engine::Zstd(zstd) => zstd.is_whole(),
        };
        self.flush(out)?;
        self.count(0, (out.len() - had) as u64)?;
        if is_whole || self.taken == 0 { Ok(()) } else { Err(Fault::Truncated) }
    }

    fn count(&mut self, taken: u64, made: u64) -> Result<(), Fault> {
        self.taken += taken;
        self.made += made;
        if self.made > self.most {
            return Err(Fault::TooLarge);
        }
        if self.made > ANY_RATIO && self.made / MOST_RATIO > self.taken {
            return Err(Fault::TooDense);
        }
        Ok(())
    }
}

fn decode_brotli(
    state: &mut Brotli,
    stage: &mut Stage,
    input: &mut Bytes,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    if *stage == Stage::Over {
        return Err(Fault::Malformed);
    }
    let had = out.len();
    out.resize(had + PIECE, 0);
    let (mut left, mut read, mut room, mut written, mut total) = (input.len(), 0, PIECE, had, 0);
    let result =
        BrotliDecompressStream(&mut left, &mut read, input, &mut room, &mut written, out, &mut total, state);
    out.truncate(written);
    input.advance(read);
    *stage = match result {
        BrotliResult::ResultSuccess => Stage::Over,
        BrotliResult::NeedsMoreInput => Stage::Reading,
        BrotliResult::NeedsMoreOutput => Stage::Holding,
        BrotliResult::ResultFailure => return Err(Fault::Malformed),
    };
    Ok(())
}

#[cfg(test)]
mod tests;

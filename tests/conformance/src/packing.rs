//! Content codings, for what clients and upstreams of a case send packed.

use std::cell::RefCell;
use std::io::{self, Write};
use std::mem;
use std::rc::Rc;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Packing {
    Gzip,
    /// With the header of zlib.
    Deflate,
    Br,
    Zstd,
}

impl Packing {
    pub(crate) const fn coding(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    /// One body out of all pieces: each can be read when it is there, and the last one ends it.
    #[expect(
        clippy::expect_used,
        reason = "an encoder fails where it cannot write, and these write to memory"
    )]
    pub(crate) fn pack(self, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.try_pack(pieces).expect("memory takes what is written")
    }

    fn try_pack(self, pieces: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
        let made = Made::default();
        let mut encoder: Box<dyn Write> = match self {
            Self::Gzip => Box::new(GzEncoder::new(made.clone(), Compression::best())),
            Self::Deflate => Box::new(ZlibEncoder::new(made.clone(), Compression::best())),
            Self::Br => Box::new(brotli::CompressorWriter::new(made.clone(), 4096, 5, 22)),
            Self::Zstd => Box::new(zstd::Encoder::new(made.clone(), 3)?.auto_finish()),
        };
        let mut packed = Vec::new();
        for piece in pieces {
            encoder.write_all(piece)?;
            encoder.flush()?;
            packed.push(made.take());
        }
        // Each encoder writes its end when it is dropped.
        drop(encoder);
        if let Some(last) = packed.last_mut() {
            last.extend(made.take());
        }
        Ok(packed)
    }
}

/// What an encoder has made so far.
#[derive(Clone, Default)]
struct Made(Rc<RefCell<Vec<u8>>>);

impl Made {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut self.0.borrow_mut())
    }
}

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

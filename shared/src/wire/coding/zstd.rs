//! zstd (RFC 8878): frames of blocks, skippable ones among them. No dictionaries; the windows are those that every
//! decoder has to support. Checksums are not compared: what is wrong inside shows as JSON that is none.

use bytes::{Buf as _, Bytes, BytesMut};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Fault, MOST_MEMBERS};

/// The largest window that is held: RFC 9659 asks for as much of whoever takes `zstd`.
const LARGEST_WINDOW: u64 = 8 << 20;

/// The largest block (RFC 8878, 3.1.1.2.4).
const LARGEST_BLOCK: usize = 128 * 1024;

/// A frame's head at its longest: magic number, descriptor, window, dictionary, size.
const LONGEST_HEAD: usize = 18;

pub(super) struct Zstd {
    decoder: FrameDecoder,
    frames: u32,
    at: At,
    /// What is not enough yet for a head or a block.
    held: BytesMut,
}

enum At {
    Head,
    Skipped { left: u32 },
    Block(Frame),
}

#[derive(Clone, Copy)]
struct Frame {
    /// A checksum of four bytes follows its last block.
    is_checked: bool,
    /// Bytes that the decoder keeps to look back at; `None` where it keeps all.
    window: Option<usize>,
    /// Bytes that will come out of the decoder, but have gone on before.
    repeated: usize,
    /// Whether it holds something that has not gone on.
    is_fresh: bool,
}

impl Default for Zstd {
    fn default() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self { decoder, frames: 0, at: At::Head, held: BytesMut::new() }
    }
}

impl Zstd {
    /// Reads a head or a block, or keeps what there is of one.
    pub(super) fn decode(&mut self, input: &mut Bytes, out: &mut Vec<u8>) -> Result<(), Fault> {
        let wanted = match &self.at {
            At::Skipped { left } => {
                let skipped = input.len().min(*left as usize);
                input.advance(skipped);
                let left = left - u32::try_from(skipped).unwrap_or(*left);
                self.at = if left == 0 { At::Head } else { At::Skipped { left } };
                return Ok(());
            }
            At::Head => LONGEST_HEAD,
            At::Block(frame) => block(&self.held, frame).max(3),
        };
        let more = input.len().min(wanted.saturating_sub(self.held.len()));
        self.held.extend_from_slice(&input.split_to(more));
        match self.at {
            At::Head => self.read_head(input),
            At::Block(frame) if self.held.len() >= block(&self.held, &frame) => self.read_block(frame, out),
            At::Block(_) | At::Skipped { .. } => Ok(()),
        }
    }

    fn read_head(&mut self, input: &mut Bytes) -> Result<(), Fault> {
        let mut head = &*self.held;
        match self.decoder.reset(&mut head) {
            Ok(()) => {
                let descriptor = self.held.get(4).copied().unwrap_or_default();
                let is_single = descriptor & 0x20 != 0;
                let window = self.held.get(5).copied().filter(|_| !is_single).map(window);
                let frame =
                    Frame { is_checked: descriptor & 0x04 != 0, window, repeated: 0, is_fresh: false };
                self.at = At::Block(frame);
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => self.at = if length == 0 { At::Head } else { At::Skipped { left: length } },
            // There may be too little of it.
            Err(FrameDecoderError::ReadFrameHeaderError(
                ReadFrameHeaderError::MagicNumberReadError(_)
                | ReadFrameHeaderError::FrameDescriptorReadError(_)
                | ReadFrameHeaderError::WindowDescriptorReadError(_)
                | ReadFrameHeaderError::DictionaryIdReadError(_)
                | ReadFrameHeaderError::FrameContentSizeReadError(_),
            )) if self.held.len() < LONGEST_HEAD => return Ok(()),
            Err(FrameDecoderError::WindowSizeTooBig { .. }) => return Err(Fault::TooLarge),
            Err(_) => return Err(Fault::Malformed),
        }
        self.frames += 1;
        if self.frames > MOST_MEMBERS {
            return Err(Fault::TooManyMembers);
        }
        // More may have been taken than the head.
        let rest = head.len();
        let rest = self.held.split_off(self.held.len() - rest);
        self.held.clear();
        if !rest.is_empty() {
            *input = if input.is_empty() { rest.freeze() } else { [&rest, &**input].concat().into() };
        }
        Ok(())
    }

    fn read_block(&mut self, mut frame: Frame, out: &mut Vec<u8>) -> Result<(), Fault> {
        let block = self.held.split();
        self.feed(&block)?;
        frame.is_fresh = true;
        self.collect(&mut frame, out)?;
        self.at = if self.decoder.is_finished() { At::Head } else { At::Block(frame) };
        Ok(())
    }

    fn feed(&mut self, mut block: &[u8]) -> Result<(), Fault> {
        self.decoder
            .decode_blocks(&mut block, BlockDecodingStrategy::UptoBlocks(1))
            .map(drop)
            .map_err(|_| Fault::Malformed)
    }

    fn collect(&mut self, frame: &mut Frame, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.decoder.can_collect() == 0 {
            return Ok(());
        }
        let collected = self.decoder.collect().ok_or(Fault::Malformed)?;
        let repeated = collected.len().min(frame.repeated);
        frame.repeated -= repeated;
        out.extend_from_slice(&collected[repeated..]);
        Ok(())
    }

    /// The decoder gives nothing before a whole window lies behind it, and a stream of events may end before that.
    /// So a window of zeros pushes out what it holds, and what it may still look back at goes in again as plain
    /// blocks: neither touches the tables that the next block builds upon.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let At::Block(mut frame) = self.at else { return Ok(()) };
        let Some(window) = frame.window.filter(|_| frame.is_fresh) else { return Ok(()) };
        for size in pieces(window) {
            self.feed(&[&head(1, size)[..], &[0]].concat())?;
        }
        let pushed = self.decoder.collect().ok_or(Fault::Malformed)?;
        out.extend_from_slice(&pushed[pushed.len().min(frame.repeated)..]);
        let past = &pushed[pushed.len().saturating_sub(window)..];
        let mut rest = past;
        for size in pieces(past.len()) {
            let (block, behind) = rest.split_at(size);
            self.feed(&[&head(0, size)[..], block].concat())?;
            rest = behind;
        }
        // All of the zeros, and what went in again.
        let mut seen = Frame { repeated: window + past.len(), is_fresh: false, ..frame };
        self.collect(&mut seen, out)?;
        frame = seen;
        self.at = At::Block(frame);
        Ok(())
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.at, At::Head) && self.held.is_empty() && self.frames > 0
    }
}

/// Bytes of the block that `held` begins with; of its head as long as that is not here.
fn block(held: &[u8], frame: &Frame) -> usize {
    let Some([a, b, c]) = held.first_chunk() else { return 3 };
    let head = u32::from_le_bytes([*a, *b, *c, 0]);
    let (is_last, is_one_byte) = (head & 1 == 1, head >> 1 & 3 == 1);
    let content = if is_one_byte { 1 } else { (head >> 3) as usize };
    // One that is too large is refused by its head.
    let content = if content > LARGEST_BLOCK { 0 } else { content };
    3 + content + if is_last && frame.is_checked { 4 } else { 0 }
}

/// The head of a block that is not the last: plain (0) or one byte many times (1).
fn head(kind: u32, size: usize) -> [u8; 3] {
    let [a, b, c, _] = (u32::try_from(size).unwrap_or_default() << 3 | kind << 1).to_le_bytes();
    [a, b, c]
}

/// Sizes of the blocks that so many bytes are cut into. No window is smaller than 1 KiB.
fn pieces(bytes: usize) -> impl Iterator<Item = usize> {
    (0..bytes).step_by(1024).map(move |at| (bytes - at).min(1024))
}

/// RFC 8878, 3.1.1.1.2.
fn window(descriptor: u8) -> usize {
    let base = 1_usize << (10 + (descriptor >> 3)).min(40);
    base + base / 8 * usize::from(descriptor & 7)
}

//! What of a block of events goes to the client.

use bytes::{Bytes, BytesMut};

use crate::dialect::openai::events::Passage;
use crate::wire::sse::Frame;

/// A block of events, taken frame by frame. As long as nothing is left out it is the block itself; then a copy.
#[derive(Debug)]
pub(crate) struct Excerpt<'a> {
    block: &'a Bytes,
    /// Bytes of the frames that were taken.
    taken: usize,
    edited: Option<BytesMut>,
}

impl<'a> Excerpt<'a> {
    pub(crate) fn of(block: &'a Bytes) -> Self {
        Self { block, taken: 0, edited: None }
    }

    /// Takes the next frame of the block.
    pub(crate) fn take(&mut self, frame: &Frame<'_>, passage: Passage) {
        if passage != Passage::AsItIs && self.edited.is_none() {
            let mut out = BytesMut::with_capacity(self.block.len());
            out.extend_from_slice(&self.block[..self.taken]);
            self.edited = Some(out);
        }
        match (&mut self.edited, passage) {
            (Some(out), Passage::AsItIs) => out.extend_from_slice(frame.raw),
            (Some(out), Passage::Without(span)) => {
                out.extend_from_slice(&frame.raw[..span.start]);
                out.extend_from_slice(&frame.raw[span.end..]);
            }
            (_, Passage::Drop | Passage::Without(_) | Passage::AsItIs) => {}
        }
        self.taken += frame.raw.len();
    }

    /// What goes on of the frames that were taken; the rest of the block does not.
    pub(crate) fn finish(self) -> Bytes {
        let Self { block, taken, edited } = self;
        edited.map_or_else(|| block.slice(..taken), BytesMut::freeze)
    }
}

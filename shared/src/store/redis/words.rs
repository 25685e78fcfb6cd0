//! The words of a command, one after another in one buffer.

use std::fmt;

/// Byte strings in their order.
#[derive(Clone, Default)]
pub struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends.iter().zip(starts).map(|(end, start)| self.bytes.get(start..*end).unwrap_or_default())
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn push(&mut self, word: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(word));
    }

    /// The word that `write` adds.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Bytes altogether.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len()
    }

    /// Room for words of so many bytes altogether.
    pub(super) fn with_capacity(words: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(words) }
    }
}

impl fmt::Debug for Words {
    /// Answers may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words of {} bytes", self.ends.len(), self.bytes.len())
    }
}

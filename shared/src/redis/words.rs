//! The words of a command, one after another in one buffer.

use std::fmt;
use std::time::Duration;

use crate::limit::EXACT;

/// Byte strings in their order.
#[derive(Clone, Default)]
pub struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What a word may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    /// More than a script can count is as much as it can count.
    Count(u64),
    /// In microseconds.
    Span(Duration),
    /// 16 hex digits.
    Id(u64),
    /// Where a number may be missing.
    None,
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

    pub(super) fn push(&mut self, word: Word<'_>) {
        match word {
            Word::Text(text) => self.bytes.extend_from_slice(text.as_bytes()),
            Word::Bytes(bytes) => self.bytes.extend_from_slice(bytes),
            Word::Count(count) => self.digits(count.min(EXACT)),
            Word::Span(span) => {
                self.digits(u64::try_from(span.as_micros()).unwrap_or(EXACT).min(EXACT));
            }
            Word::Id(id) => self.bytes.extend_from_slice(&hex(id)),
            Word::None => self.bytes.extend_from_slice(b"-1"),
        }
        self.ends.push(self.bytes.len());
    }

    fn digits(&mut self, number: u64) {
        let start = self.bytes.len();
        let mut rest = number;
        loop {
            // A digit fits.
            self.bytes.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if let Some(digits) = self.bytes.get_mut(start..) {
            digits.reverse();
        }
    }
}

impl fmt::Debug for Words {
    /// Answers may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words of {} bytes", self.ends.len(), self.bytes.len())
    }
}

/// 16 lower-case digits.
pub(super) fn hex(id: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    let mut rest = id;
    for digit in digits.iter_mut().rev() {
        // Four bits fit.
        let value = u8::try_from(rest & 15).unwrap_or(0);
        *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        rest >>= 4;
    }
    digits
}

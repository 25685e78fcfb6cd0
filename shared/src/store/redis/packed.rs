//! What is said to a script, in one argument in `MessagePack`: Redis unpacks it many times faster than a script turns
//! digits into numbers, and reads it faster than as many arguments.

use std::fmt;
use std::time::Duration;

use crate::limits::rate::EXACT;

/// What a word may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    Text(&'a str),
    /// More than a script can count is as much as it can count.
    Count(u64),
    /// In microseconds.
    Span(Duration),
    /// 16 hex digits.
    Id(u64),
    /// Where a number may be missing.
    None,
}

/// Words in their order.
#[derive(Clone)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    count: u32,
}

/// A list, and where its length stands.
const LIST: [u8; 5] = [0xdd, 0, 0, 0, 0];

/// Words that a script gets one by one; its stack has room for 8,000. A list costs it more.
const MOST_LOOSE: u32 = 1000;

impl Packed {
    pub(super) fn as_bytes(&self) -> &[u8] {
        let is_list = self.count > MOST_LOOSE;
        self.bytes.get(if is_list { 0 } else { LIST.len() }..).unwrap_or_default()
    }

    pub(super) fn push(&mut self, word: Word<'_>) {
        match word {
            Word::Text(text) => self.text(text.as_bytes()),
            Word::Count(count) => self.number(count.min(EXACT)),
            Word::Span(span) => self.number(u64::try_from(span.as_micros()).unwrap_or(EXACT).min(EXACT)),
            Word::Id(id) => self.text(&hex(id)),
            Word::None => self.bytes.push(0xff),
        }
        self.count = self.count.saturating_add(1);
        if let Some(length) = self.bytes.first_chunk_mut::<5>() {
            let [a, b, c, d] = self.count.to_be_bytes();
            *length = [LIST[0], a, b, c, d];
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Says 1 where 0 was said, at this place.
    pub(super) fn say_one(&mut self, at: usize) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte = 1;
        }
    }

    fn number(&mut self, number: u64) {
        let bytes = number.to_be_bytes();
        match number {
            0..0x80 => self.bytes.extend_from_slice(&bytes[7..]),
            0x80..0x1_0000_0000 => {
                self.bytes.push(0xce);
                self.bytes.extend_from_slice(&bytes[4..]);
            }
            _ => {
                self.bytes.push(0xcf);
                self.bytes.extend_from_slice(&bytes);
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        // Nothing that is said is nearly as long.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let [.., last] = length.to_be_bytes();
        if length < 32 {
            self.bytes.push(0xa0 | last);
        } else {
            self.bytes.push(0xdb);
            self.bytes.extend_from_slice(&length.to_be_bytes());
        }
        self.bytes.extend_from_slice(text);
    }
}

impl Default for Packed {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&LIST);
        Self { bytes, count: 0 }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words in {} bytes", self.count, self.bytes.len())
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

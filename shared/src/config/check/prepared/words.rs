//! How a prepared document is written: numbers and texts, one behind the other.
//!
//! A number is its decimal digits and a space; a text is the number of its bytes, its bytes and a space. It is all
//! UTF-8 without control characters, unless the document had some, so that a variable or a `ConfigMap` carries it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// What can be written and read back.
pub(super) trait Shape: Sized {
    fn write(&self, to: &mut Writer);

    /// Something of the kind even where something else stands, which the reader then knows: with no way out at every
    /// field this is a third of the code, and components are small.
    fn read(from: &mut Reader<'_>) -> Self;
}

#[derive(Default)]
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn number(&mut self, number: u64) {
        // A string takes everything.
        let _ = write!(self.0, "{number} ");
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.push_str(text);
        self.0.push(' ');
    }

    pub(super) fn into_text(self) -> String {
        self.0.trim_end().to_owned()
    }
}

pub(super) struct Reader<'a> {
    rest: &'a str,
    is_wrong: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, is_wrong: false }
    }

    /// All of it was read, and all of it was what was expected.
    pub(super) fn is_right(&self) -> bool {
        self.rest.is_empty() && !self.is_wrong
    }

    /// Nothing that comes can be believed.
    pub(super) fn fail(&mut self) {
        (self.rest, self.is_wrong) = ("", true);
    }

    /// Of `value`, or of what stands in for it.
    pub(super) fn expect<T>(&mut self, value: Option<T>, stand_in: T) -> T {
        value.unwrap_or_else(|| {
            self.fail();
            stand_in
        })
    }

    #[inline(never)]
    pub(super) fn number(&mut self) -> u64 {
        let number = self.try_number();
        self.expect(number, 0)
    }

    #[inline(never)]
    pub(super) fn text(&mut self) -> &'a str {
        let text = self.try_text();
        self.expect(text, "")
    }

    fn try_number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        let mut length = 0;
        for byte in self.rest.bytes().take_while(u8::is_ascii_digit) {
            number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            length += 1;
        }
        (length > 0).then_some(())?;
        self.skip(length)?;
        Some(number)
    }

    fn try_text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.try_number()?).ok()?;
        let text = self.rest.get(..length)?;
        self.skip(length)?;
        Some(text)
    }

    /// And the space behind it, which the last has lost.
    fn skip(&mut self, length: usize) -> Option<()> {
        let rest = self.rest.get(length..)?;
        self.rest = if rest.is_empty() { rest } else { rest.strip_prefix(' ')? };
        Some(())
    }
}

/// Tells texts apart that differ by accident; who means to deceive has the document itself.
pub(super) const fn sum_of(parts: &[&[u8]]) -> u64 {
    // FNV-1a, eight bytes at a time.
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = parts;
    while let [part, behind @ ..] = rest {
        let mut bytes = *part;
        while let Some((word, behind)) = bytes.split_first_chunk::<8>() {
            sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME).rotate_left(23);
            bytes = behind;
        }
        while let [byte, behind @ ..] = bytes {
            sum = (sum ^ *byte as u64).wrapping_mul(PRIME).rotate_left(23);
            bytes = behind;
        }
        rest = behind;
    }
    sum
}

impl Shape for u64 {
    fn write(&self, to: &mut Writer) {
        to.number(*self);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        from.number()
    }
}

impl Shape for u32 {
    fn write(&self, to: &mut Writer) {
        to.number(u64::from(*self));
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let number = from.number().try_into().ok();
        from.expect(number, 0)
    }
}

impl Shape for usize {
    fn write(&self, to: &mut Writer) {
        to.number(*self as u64);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let number = from.number().try_into().ok();
        from.expect(number, 0)
    }
}

impl Shape for bool {
    fn write(&self, to: &mut Writer) {
        to.number(u64::from(*self));
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let number = from.number();
        from.expect((number < 2).then_some(number == 1), false)
    }
}

impl Shape for String {
    fn write(&self, to: &mut Writer) {
        to.text(self);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        from.text().to_owned()
    }
}

impl Shape for Duration {
    fn write(&self, to: &mut Writer) {
        to.number(self.as_secs());
        to.number(u64::from(self.subsec_nanos()));
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let (seconds, nanos) = (from.number(), u32::read(from));
        let span = (nanos < 1_000_000_000).then(|| Self::new(seconds, nanos));
        from.expect(span, Self::ZERO)
    }
}

impl<T: Shape> Shape for Option<T> {
    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        if bool::read(from) { Some(T::read(from)) } else { None }
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn write(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        for value in self {
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        // Each has a byte at least: no number makes memory.
        let count = usize::read(from);
        let count = if count > from.rest.len() {
            from.fail();
            0
        } else {
            count
        };
        let mut values = Self::with_capacity(count.min(256));
        for _ in 0..count {
            values.push(T::read(from));
            if from.is_wrong {
                break;
            }
        }
        values
    }
}

impl<A: Shape, B: Shape> Shape for (A, B) {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        (A::read(from), B::read(from))
    }
}

impl<T: Shape> Shape for Arc<T> {
    fn write(&self, to: &mut Writer) {
        (**self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self::new(T::read(from))
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn write(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        for (key, value) in self {
            key.write(to);
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Vec::<(String, T)>::read(from).into_iter().collect()
    }
}

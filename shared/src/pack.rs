//! What crosses from one process to another, or outlives one, as bytes: a form that is read in one way or not at all.
//!
//! Formats that describe themselves say more than both sides know already, and derives would hang on public types for
//! good; so a type names its fields once, with [`packed`], in the order they are written. Nothing is skipped and
//! nothing is guessed: whoever changes a field changes the version that its messages begin with, which fixed vectors
//! in the tests see to.
//!
//! Points in time are written as spans from the writer's now and read as spans from the reader's, for no two clocks
//! agree. What is kept is written by a clock that goes on, with the origin of time as its now.
//!
//! Reading never panics, never sets aside more than there are bytes for, and takes no bytes too few and none too many.

mod domain;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::time::Instant;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

/// What can be written as bytes and read again.
pub(crate) trait Pack: Sized {
    fn pack(&self, to: &mut Packer);

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled>;
}

/// Bytes to be.
#[derive(Debug)]
pub(crate) struct Packer {
    bytes: Vec<u8>,
    now: Instant,
}

/// Bytes that are read from their beginning.
#[derive(Debug)]
pub(crate) struct Unpacker<'a> {
    rest: &'a [u8],
    now: Instant,
}

/// `version`, then `value`.
pub(crate) fn pack(version: u8, value: &impl Pack, now: Instant) -> Vec<u8> {
    let mut packer = Packer { bytes: vec![version], now };
    value.pack(&mut packer);
    packer.bytes
}

/// What [`pack`] has written, all of it and by the same version.
pub(crate) fn unpack<T: Pack>(version: u8, bytes: &[u8], now: Instant) -> Result<T, Garbled> {
    let rest = bytes.strip_prefix(&[version]).ok_or(Garbled)?;
    let mut unpacker = Unpacker { rest, now };
    let value = T::unpack(&mut unpacker)?;
    if unpacker.rest.is_empty() { Ok(value) } else { Err(Garbled) }
}

impl Packer {
    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u128) {
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                return self.bytes.push(low);
            }
            self.bytes.push(0x80 | low);
        }
    }

    fn length(&mut self, length: usize) {
        self.number(length as u128);
    }
}

impl<'a> Unpacker<'a> {
    fn number(&mut self) -> Result<u128, Garbled> {
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let [byte] = self.array()?;
            let bits = u128::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits).ok_or(Garbled)?;
            if byte & 0x80 == 0 {
                // One number has one spelling.
                return if byte == 0 && shift > 0 { Err(Garbled) } else { Ok(number) };
            }
        }
        Err(Garbled)
    }

    fn small<T: TryFrom<u128>>(&mut self) -> Result<T, Garbled> {
        T::try_from(self.number()?).map_err(|_| Garbled)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(Garbled)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Which of the variants it is.
    pub(crate) fn tag(&mut self) -> Result<u8, Garbled> {
        let [tag] = self.array()?;
        Ok(tag)
    }

    fn slice(&mut self) -> Result<&'a [u8], Garbled> {
        let length = self.small()?;
        let (slice, rest) = self.rest.split_at_checked(length).ok_or(Garbled)?;
        self.rest = rest;
        Ok(slice)
    }
}

/// Names the fields of a struct, or the variants of an enum by a byte each, in the order they are written. With
/// `if`, what is read is held to it: some numbers are no value of any meaning, and sums of them no number.
macro_rules! packed {
    (struct $name:ty { $($field:ident),* $(,)? }) => {
        $crate::pack::packed!(struct $name { $($field),* } if |_| true);
    };
    (struct $name:ty { $($field:ident),* $(,)? } if $is_one:expr) => {
        impl $crate::pack::Pack for $name {
            fn pack(&self, to: &mut $crate::pack::Packer) {
                let Self { $($field),* } = self;
                $( $crate::pack::Pack::pack($field, to); )*
            }

            fn unpack(from: &mut $crate::pack::Unpacker<'_>) -> Result<Self, $crate::pack::Garbled> {
                let is_one: fn(&Self) -> bool = $is_one;
                $( let $field = $crate::pack::Pack::unpack(from)?; )*
                let value = Self { $($field),* };
                if is_one(&value) { Ok(value) } else { Err($crate::pack::Garbled) }
            }
        }
    };
    (enum $name:ty {
        $($tag:literal => $variant:ident $({ $($field:ident),* })? $(( $($item:ident),* ))?),* $(,)?
    }) => {
        impl $crate::pack::Pack for $name {
            fn pack(&self, to: &mut $crate::pack::Packer) {
                match self {
                    $( Self::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        $crate::pack::Pack::pack(&($tag as u8), to);
                        $( $( $crate::pack::Pack::pack($field, to); )* )?
                        $( $( $crate::pack::Pack::pack($item, to); )* )?
                    } )*
                }
            }

            fn unpack(from: &mut $crate::pack::Unpacker<'_>) -> Result<Self, $crate::pack::Garbled> {
                match from.tag()? {
                    $( $tag => {
                        $( $( let $field = $crate::pack::Pack::unpack(from)?; )* )?
                        $( $( let $item = $crate::pack::Pack::unpack(from)?; )* )?
                        Ok(Self::$variant $({ $($field),* })? $(( $($item),* ))?)
                    } )*
                    _ => Err($crate::pack::Garbled),
                }
            }
        }
    };
}
pub(crate) use packed;

impl Pack for u8 {
    fn pack(&self, to: &mut Packer) {
        to.bytes.push(*self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        from.tag()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $( impl Pack for $number {
            fn pack(&self, to: &mut Packer) {
                to.number(u128::from(*self));
            }

            fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
                from.small()
            }
        } )*
    };
}
numbers!(u32, u64, u128);

impl Pack for bool {
    fn pack(&self, to: &mut Packer) {
        to.bytes.push(u8::from(*self));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        match from.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Garbled),
        }
    }
}

impl<T: Pack, const N: usize> Pack for [T; N] {
    fn pack(&self, to: &mut Packer) {
        for item in self {
            item.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        let items: Vec<T> = (0..N).map(|_| T::unpack(from)).collect::<Result<_, _>>()?;
        items.try_into().map_err(|_| Garbled)
    }
}

impl Pack for Bytes {
    fn pack(&self, to: &mut Packer) {
        to.length(self.len());
        to.bytes.extend_from_slice(self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        from.slice().map(Self::copy_from_slice)
    }
}

impl Pack for String {
    fn pack(&self, to: &mut Packer) {
        to.length(self.len());
        to.bytes.extend_from_slice(self.as_bytes());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        std::str::from_utf8(from.slice()?).map(Self::from).map_err(|_| Garbled)
    }
}

impl<T: Pack> Pack for Option<T> {
    fn pack(&self, to: &mut Packer) {
        self.is_some().pack(to);
        if let Some(value) = self {
            value.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        if bool::unpack(from)? { T::unpack(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Pack, E: Pack> Pack for Result<T, E> {
    fn pack(&self, to: &mut Packer) {
        self.is_ok().pack(to);
        match self {
            Ok(value) => value.pack(to),
            Err(error) => error.pack(to),
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        Ok(if bool::unpack(from)? { Ok(T::unpack(from)?) } else { Err(E::unpack(from)?) })
    }
}

impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, to: &mut Packer) {
        to.length(self.len());
        for item in self {
            item.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        // What is said to follow is not believed: room is made as it comes.
        let length: usize = from.small()?;
        let mut items = Self::new();
        for _ in 0..length {
            items.push(T::unpack(from)?);
        }
        Ok(items)
    }
}

impl<T: Pack> Pack for Arc<T> {
    fn pack(&self, to: &mut Packer) {
        T::pack(self, to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        T::unpack(from).map(Self::new)
    }
}

impl<T: Pack> Pack for Box<T> {
    fn pack(&self, to: &mut Packer) {
        T::pack(self, to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        T::unpack(from).map(Self::new)
    }
}

impl<A: Pack, B: Pack> Pack for (A, B) {
    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
        self.1.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        Ok((A::unpack(from)?, B::unpack(from)?))
    }
}

impl Pack for Duration {
    fn pack(&self, to: &mut Packer) {
        self.as_secs().pack(to);
        self.subsec_nanos().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        let (seconds, nanos) = (u64::unpack(from)?, u32::unpack(from)?);
        if nanos < 1_000_000_000 { Ok(Self::new(seconds, nanos)) } else { Err(Garbled) }
    }
}

/// What has passed is now.
impl Pack for Instant {
    fn pack(&self, to: &mut Packer) {
        self.since(to.now).pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        Ok(from.now.after(Duration::unpack(from)?))
    }
}

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

mod number;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
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

impl<'a> Unpacker<'a> {
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

/// Names the fields of a struct, or the variants of an enum by a byte each, in the order they are written. What
/// is `found` is left out: whoever reads the rest finds it anew. With `if`, what is read is held to it: some
/// numbers are no value of any meaning, and sums of them no number.
macro_rules! packed {
    (struct $name:ident ( $($item:ident),* $(,)? )) => {
        impl $crate::wire::pack::Pack for $name {
            fn pack(&self, to: &mut $crate::wire::pack::Packer) {
                let Self($($item),*) = self;
                $( $crate::wire::pack::Pack::pack($item, to); )*
            }

            fn unpack(from: &mut $crate::wire::pack::Unpacker<'_>) -> Result<Self, $crate::wire::pack::Garbled> {
                $( let $item = $crate::wire::pack::Pack::unpack(from)?; )*
                Ok(Self($($item),*))
            }
        }
    };
    (struct $name:ty { $($field:ident),* $(,)? } $(found { $($found:ident),* })?) => {
        $crate::wire::pack::packed!(struct $name { $($field),* } $(found { $($found),* })? if |_| true);
    };
    (struct $name:ty { $($field:ident),* $(,)? } $(found { $($found:ident),* })? if $is_one:expr) => {
        impl $crate::wire::pack::Pack for $name {
            fn pack(&self, to: &mut $crate::wire::pack::Packer) {
                let Self { $($field,)* $( $($found: _),* )? } = self;
                $( $crate::wire::pack::Pack::pack($field, to); )*
            }

            fn unpack(from: &mut $crate::wire::pack::Unpacker<'_>) -> Result<Self, $crate::wire::pack::Garbled> {
                let is_one: fn(&Self) -> bool = $is_one;
                $( let $field = $crate::wire::pack::Pack::unpack(from)?; )*
                let value = Self { $($field,)* $( $($found: Default::default()),* )? };
                if is_one(&value) { Ok(value) } else { Err($crate::wire::pack::Garbled) }
            }
        }
    };
    (enum $name:ty {
        $($tag:literal => $variant:ident $({ $($field:ident),* })? $(( $($item:ident),* ))?),* $(,)?
    }) => {
        impl $crate::wire::pack::Pack for $name {
            fn pack(&self, to: &mut $crate::wire::pack::Packer) {
                match self {
                    $( Self::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        $crate::wire::pack::Pack::pack(&($tag as u8), to);
                        $( $( $crate::wire::pack::Pack::pack($field, to); )* )?
                        $( $( $crate::wire::pack::Pack::pack($item, to); )* )?
                    } )*
                }
            }

            fn unpack(from: &mut $crate::wire::pack::Unpacker<'_>) -> Result<Self, $crate::wire::pack::Garbled> {
                match from.tag()? {
                    $( $tag => {
                        $( $( let $field = $crate::wire::pack::Pack::unpack(from)?; )* )?
                        $( $( let $item = $crate::wire::pack::Pack::unpack(from)?; )* )?
                        Ok(Self::$variant $({ $($field),* })? $(( $($item),* ))?)
                    } )*
                    _ => Err($crate::wire::pack::Garbled),
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
        let mut items = Vec::with_capacity(N);
        for _ in 0..N {
            items.push(T::unpack(from)?);
        }
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

/// In the order of its keys.
impl<K: Pack + Ord, V: Pack> Pack for BTreeMap<K, V> {
    fn pack(&self, to: &mut Packer) {
        to.length(self.len());
        for (key, value) in self {
            key.pack(to);
            value.pack(to);
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        let items = Vec::<(K, V)>::unpack(from)?;
        if items.is_sorted_by(|(key, _), (next, _)| key < next) {
            Ok(items.into_iter().collect())
        } else {
            Err(Garbled)
        }
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

//! Reads values that are spelled in a form of their own, or in a short and a long one.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// What can be read from a text, a number, a switch, a table or a list; each that is not overridden is refused.
///
/// A refusal says what is wrong and never what was written: it may have been a credential.
pub(super) trait Spelled<'de>: Sized {
    /// What should stand here.
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Result<Self, &'static str>;

    fn from_number(_number: u64) -> Option<Self> {
        None
    }

    fn from_decimal(_number: f64) -> Option<Self> {
        None
    }

    fn from_switch(_is_on: bool) -> Option<Self> {
        None
    }

    fn from_table<A: MapAccess<'de>>(_table: A) -> Result<Self, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Map, &Self::EXPECTED))
    }

    fn from_list<A: SeqAccess<'de>>(_list: A) -> Result<Self, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Seq, &Self::EXPECTED))
    }
}

pub(super) fn deserialize<'de, T: Spelled<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Reader(PhantomData))
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Spelled<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| E::invalid_type(Unexpected::Unsigned(number), &T::EXPECTED))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        T::from_decimal(number).ok_or_else(|| E::invalid_type(Unexpected::Float(number), &T::EXPECTED))
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<T, E> {
        T::from_switch(is_on).ok_or_else(|| E::invalid_type(Unexpected::Bool(is_on), &T::EXPECTED))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        T::from_table(table)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::from_list(list)
    }
}

/// Makes a [`Spelled`] type readable.
macro_rules! spelled {
    ($($name:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::raw::spelled::deserialize(deserializer)
            }
        }
    )+};
}

pub(super) use spelled;

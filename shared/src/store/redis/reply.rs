//! A reply, read word by word.

use std::time::Duration;
use std::vec::IntoIter;

use bytes::Bytes;

use super::packed::hex;
use super::{Garbled, Told, Value};
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Forced, Override};
use crate::time::Instant;

/// The words behind the command's name.
#[derive(Debug)]
pub(super) struct Reader {
    words: IntoIter<Value>,
    faults: u64,
}

impl Reader {
    pub(super) fn new(value: Value, nonce: u64) -> Result<Self, Garbled> {
        let Value::Array(words) = value else { return Err(Garbled) };
        let mut reader = Self { words: words.into_iter(), faults: 0 };
        if reader.bytes()? != hex(nonce).as_slice() {
            return Err(Garbled);
        }
        reader.faults = reader.count()?;
        Ok(reader)
    }

    /// All has been read.
    pub(super) fn told<T>(mut self, answer: T) -> Result<Told<T>, Garbled> {
        match self.words.next() {
            None => Ok(Told { answer, faults: self.faults }),
            Some(_) => Err(Garbled),
        }
    }

    /// One more value is not what its key says.
    pub(super) fn fault(&mut self) {
        self.faults += 1;
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Garbled> {
        match self.words.next() {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            Some(Value::Nil | Value::Int(_) | Value::Array(_)) | None => Err(Garbled),
        }
    }

    /// 16 hex digits.
    pub(super) fn id(&mut self) -> Result<u64, Garbled> {
        let digits = self.bytes()?;
        let digits = std::str::from_utf8(&digits).map_err(|_| Garbled)?;
        u64::from_str_radix(digits, 16).map_err(|_| Garbled)
    }

    /// In eight bytes each.
    pub(super) fn numbers<const COUNT: usize>(&mut self) -> Result<[i64; COUNT], Garbled> {
        let bytes = self.bytes()?;
        let (numbers, rest) = bytes.as_chunks();
        let numbers: &[[u8; 8]; COUNT] = numbers.try_into().map_err(|_| Garbled)?;
        if !rest.is_empty() {
            return Err(Garbled);
        }
        Ok(numbers.map(i64::from_be_bytes))
    }

    /// As many as the word before them says: no shell has to read lists within lists.
    pub(super) fn words(&mut self) -> Result<Vec<Bytes>, Garbled> {
        let count = self.count()?;
        (0..count).map(|_| self.bytes()).collect()
    }

    pub(super) fn texts(&mut self) -> Result<Vec<String>, Garbled> {
        let words = self.words()?.into_iter();
        words.map(|word| String::from_utf8(word.into()).map_err(|_| Garbled)).collect()
    }

    fn int(&mut self) -> Result<i64, Garbled> {
        match self.words.next() {
            Some(Value::Int(int)) => Ok(int),
            Some(Value::Nil | Value::Bytes(_) | Value::Array(_)) | None => Err(Garbled),
        }
    }

    pub(super) fn count(&mut self) -> Result<u64, Garbled> {
        self.optional()?.ok_or(Garbled)
    }

    /// -1 is none.
    pub(super) fn optional(&mut self) -> Result<Option<u64>, Garbled> {
        match self.int()? {
            -1 => Ok(None),
            int => u64::try_from(int).map(Some).map_err(|_| Garbled),
        }
    }

    pub(super) fn index(&mut self) -> Result<usize, Garbled> {
        usize::try_from(self.count()?).map_err(|_| Garbled)
    }

    pub(super) fn is_so(&mut self) -> Result<bool, Garbled> {
        match self.int()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Garbled),
        }
    }

    pub(super) fn span(&mut self) -> Result<Duration, Garbled> {
        Ok(Duration::from_micros(self.count()?))
    }

    /// What holds for the next request.
    pub(super) fn gate(&mut self, now: Instant) -> Result<Gate, Garbled> {
        let forced = self.forced(now)?;
        let automatic = self.state(now)?;
        Ok(forced.map_or(automatic, Gate::Forced))
    }

    /// What breakers say by themselves.
    pub(super) fn state(&mut self, now: Instant) -> Result<Gate, Garbled> {
        let (state, left) = (self.bytes()?, self.optional()?);
        match (&state[..], left) {
            (b"closed", None) => Ok(Gate::Closed),
            (b"open", Some(left)) => Ok(Gate::Open { until: now.after(Duration::from_micros(left)) }),
            (b"half-open", None) => Ok(Gate::HalfOpen),
            _ => Err(Garbled),
        }
    }

    pub(super) fn forced(&mut self, now: Instant) -> Result<Option<Override>, Garbled> {
        let (forced, left) = (self.bytes()?, self.optional()?);
        let forced = match &forced[..] {
            b"" => return Ok(None),
            b"open" => Forced::Open,
            b"closed" => Forced::Closed,
            _ => return Err(Garbled),
        };
        Ok(Some(Override { forced, until: left.map(|left| now.after(Duration::from_micros(left))) }))
    }
}

//! Numbers: whole ones take as many bytes as they need, and one number has one spelling.

use super::{Garbled, Pack, Packer, Unpacker};

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

    pub(super) fn length(&mut self, length: usize) {
        self.number(length as u128);
    }
}

impl Unpacker<'_> {
    fn number(&mut self) -> Result<u128, Garbled> {
        if let Some((byte @ ..0x80, rest)) = self.rest.split_first() {
            // Most are small.
            self.rest = rest;
            return Ok(u128::from(*byte));
        }
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let [byte] = self.array()?;
            let bits = u128::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits).ok_or(Garbled)?;
            if byte & 0x80 == 0 {
                // One number has one spelling.
                return if byte == 0 { Err(Garbled) } else { Ok(number) };
            }
        }
        Err(Garbled)
    }

    pub(super) fn small<T: TryFrom<u128>>(&mut self) -> Result<T, Garbled> {
        T::try_from(self.number()?).map_err(|_| Garbled)
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

impl Pack for usize {
    fn pack(&self, to: &mut Packer) {
        to.length(*self);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        from.small()
    }
}

/// By its bits: what is read is what was written.
impl Pack for f64 {
    fn pack(&self, to: &mut Packer) {
        self.to_bits().to_be_bytes().pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        from.array().map(Self::from_be_bytes)
    }
}

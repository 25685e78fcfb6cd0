//! gzip (RFC 1952) and deflate (RFC 1950, and RFC 1951 without its header).

use std::io::Write;
use std::mem;

use bytes::{Buf as _, Bytes};
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::{Fault, MOST_MEMBERS};

/// Bytes that are given to a decoder at once: a thousand times as many come out at most.
const BITE: usize = 256;

/// Members behind one another, each checked by its sum.
#[derive(Default)]
pub(super) struct Gzip {
    member: Option<GzDecoder<Vec<u8>>>,
    members: u32,
}

impl Gzip {
    pub(super) fn decode(&mut self, input: &mut Bytes, out: &mut Vec<u8>) -> Result<(), Fault> {
        let member = match &mut self.member {
            Some(member) => member,
            None if self.members == MOST_MEMBERS => return Err(Fault::TooManyMembers),
            None => {
                self.members += 1;
                self.member.insert(GzDecoder::new(Vec::new()))
            }
        };
        let bite = &input[..input.len().min(BITE)];
        let read = write(member, bite)?;
        out.append(member.get_mut());
        input.advance(read);
        // Behind its end a member takes nothing.
        if read == 0 {
            self.end_member(out)?;
        }
        Ok(())
    }

    fn end_member(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(mut member) = self.member.take() {
            member.try_finish().map_err(|_| Fault::Malformed)?;
            out.append(member.get_mut());
        }
        Ok(())
    }

    pub(super) fn is_whole(&mut self) -> bool {
        self.member.as_mut().is_some_and(|member| member.try_finish().is_ok())
    }
}

/// Which of the two it is shows in the first two bytes.
#[derive(Default)]
pub(super) enum Deflate {
    #[default]
    Unknown,
    Half(u8),
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
}

impl Deflate {
    pub(super) fn decode(&mut self, input: &mut Bytes, out: &mut Vec<u8>) -> Result<(), Fault> {
        let bite = &input[..input.len().min(BITE)];
        let read = match self {
            Self::Unknown => {
                *self = Self::Half(bite[0]);
                1
            }
            Self::Half(first) => {
                let first = *first;
                let is_zlib = first & 0x0f == 8 && u16::from_be_bytes([first, bite[0]]).is_multiple_of(31);
                *self = if is_zlib {
                    Self::Zlib(ZlibDecoder::new(Vec::new()))
                } else {
                    Self::Raw(DeflateDecoder::new(Vec::new()))
                };
                self.take(&[first])?;
                0
            }
            Self::Zlib(_) | Self::Raw(_) => match self.take(bite)? {
                // Something follows the end.
                0 => return Err(Fault::Malformed),
                read => read,
            },
        };
        match self {
            Self::Zlib(decoder) => out.append(decoder.get_mut()),
            Self::Raw(decoder) => out.append(decoder.get_mut()),
            Self::Unknown | Self::Half(_) => {}
        }
        input.advance(read);
        Ok(())
    }

    fn take(&mut self, bite: &[u8]) -> Result<usize, Fault> {
        match self {
            Self::Zlib(decoder) => write(decoder, bite),
            Self::Raw(decoder) => write(decoder, bite),
            Self::Unknown | Self::Half(_) => Ok(0),
        }
    }

    pub(super) fn is_whole(&mut self) -> bool {
        match mem::take(self) {
            Self::Zlib(mut decoder) => decoder.try_finish().is_ok(),
            Self::Raw(mut decoder) => decoder.try_finish().is_ok(),
            Self::Unknown | Self::Half(_) => false,
        }
    }
}

/// Has `decoder` take some of `bite` and give all that it knows.
fn write(decoder: &mut impl Write, bite: &[u8]) -> Result<usize, Fault> {
    let read = decoder.write(bite).map_err(|_| Fault::Malformed)?;
    decoder.flush().map_err(|_| Fault::Malformed)?;
    Ok(read)
}

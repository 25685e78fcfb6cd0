//! An upstream's answer, unpacked as it comes.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::{Coding, Decoder, Fault};
use crate::wire::upload::Broken;

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecoded {
    Broken,
    Coding(Fault),
}

/// A body and the coding that is undone on it, if any.
#[derive(Debug)]
pub(crate) struct Decoded<D> {
    download: D,
    decoder: Option<Box<Decoder>>,
    /// What the decoder has not taken yet.
    input: Bytes,
    is_over: bool,
}

/// The coding of an answer. The headers that told of it go: nobody sees it any more. One that is not known stays, and
/// what has it goes on as it is.
pub(crate) fn take(headers: &mut HeaderMap) -> Option<Coding> {
    let mut names = headers.get_all(CONTENT_ENCODING).iter();
    let (name, None) = (names.next()?, names.next()) else { return None };
    let coding = Coding::named(name.to_str().ok()?)?;
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    Some(coding)
}

impl<D> Decoded<D> {
    /// As it comes.
    pub(crate) fn plain(download: D) -> Self {
        Self { download, decoder: None, input: Bytes::new(), is_over: false }
    }

    /// With the coding undone. How much may come of it is bounded by how much comes, and by whoever reads it.
    pub(crate) fn with(self, coding: Option<Coding>) -> Self {
        let decoder = coding.map(|coding| Box::new(Decoder::new(coding, u64::MAX)));
        Self { decoder, ..self }
    }
}

impl<D: Stream<Item = Result<Bytes, Broken>> + Unpin> Decoded<D> {
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Undecoded>>> {
        let Some(decoder) = &mut self.decoder else {
            let next = ready!(Pin::new(&mut self.download).poll_next(cx));
            return Poll::Ready(next.map(|chunk| chunk.map_err(|Broken| Undecoded::Broken)));
        };
        let mut out = Vec::new();
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            while (!self.input.is_empty() || decoder.holds_more()) && out.is_empty() {
                if let Err(fault) = decoder.decode(&mut self.input, &mut out) {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(Undecoded::Coding(fault))));
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(mem::take(&mut out).into())));
            }
            let undone = match Pin::new(&mut self.download).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.input = chunk;
                    continue;
                }
                Poll::Ready(Some(Err(Broken))) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(Undecoded::Broken)));
                }
                Poll::Ready(None) => {
                    self.is_over = true;
                    decoder.finish(&mut out)
                }
                Poll::Pending => decoder.flush(&mut out),
            };
            match undone {
                // It is waited for with the next poll.
                Ok(()) if !out.is_empty() => return Poll::Ready(Some(Ok(out.into()))),
                Ok(()) if self.is_over => {}
                Ok(()) => return Poll::Pending,
                Err(fault) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(Undecoded::Coding(fault))));
                }
            }
        }
    }
}

//! Bodies that go out: an answer to a client, a long request to an upstream.
//!
//! A chunk is looked for when one is wanted, and goes at once, in the very call that asked for it or that
//! brought it. No more is read ahead than the one that is asked for to see whether it is there as well.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use wasm_bindgen::JsValue;

use crate::ear::{Waiting, Word};
use crate::gone::Gone;
use crate::js::Sink;
use crate::task;

/// Bytes that cross at once, where as many are there.
const LARGEST_CHUNK: usize = 64 * 1024;

/// A `ReadableStream` of these chunks. Where they break off, so does it. They are dropped when it is cancelled
/// and when whoever wants them is gone, for the platform does not cancel what it has never read from.
pub(crate) fn body<F: Display>(
    chunks: impl Stream<Item = Result<Bytes, F>> + Unpin + 'static,
    gone: Gone,
) -> JsValue {
    let waiting = Waiting::new();
    let sink = waiting.lend(Sink::new);
    let body = sink.body();
    task::spawn(Pump { sink, waiting, gone, chunks, reader: Reader::Busy, fault: None });
    body
}

struct Pump<S> {
    sink: Sink,
    waiting: Waiting,
    gone: Gone,
    chunks: S,
    reader: Reader,
    /// What came behind the chunk that was put last, which is to be read before.
    fault: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// With what was put.
    Busy,
    Waiting,
    Gone,
}

/// What is ready together.
enum Gathered {
    Chunk(Bytes),
    End(Bytes),
    Fault(Bytes, String),
}

impl<S: Unpin> Pump<S> {
    fn poll_reader(&mut self, cx: &mut Context<'_>) -> Reader {
        while let Poll::Ready(word) = self.waiting.poll(cx) {
            self.reader = match word {
                Word::Value(_) => Reader::Waiting,
                Word::Over | Word::Failed | Word::Bytes(_) => Reader::Gone,
            };
        }
        if Pin::new(&mut self.gone).poll(cx).is_ready() {
            self.reader = Reader::Gone;
        }
        self.reader
    }
}

impl<S: Stream<Item = Result<Bytes, F>> + Unpin, F: Display> Pump<S> {
    /// What is ready together crosses together; nothing waits for more.
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<Gathered> {
        let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
        while first.len().saturating_add(rest.len()) < LARGEST_CHUNK {
            match Pin::new(&mut self.chunks).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) if first.is_empty() => first = chunk,
                Poll::Ready(Some(Ok(chunk))) => rest.extend_from_slice(&chunk),
                Poll::Ready(Some(Err(fault))) => {
                    return Poll::Ready(Gathered::Fault(joined(first, &rest), fault.to_string()));
                }
                Poll::Ready(None) => return Poll::Ready(Gathered::End(joined(first, &rest))),
                Poll::Pending if first.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Gathered::Chunk(joined(first, &rest)))
    }

    /// Puts what there is. Whether there is more to come, the reader's state says.
    fn put(&mut self, gathered: Gathered) -> Result<Reader, JsValue> {
        let (bytes, next) = match gathered {
            Gathered::Chunk(bytes) => (bytes, Reader::Busy),
            Gathered::End(bytes) => (bytes, Reader::Gone),
            // An error would take away what is not read yet.
            Gathered::Fault(bytes, fault) if !bytes.is_empty() => {
                self.fault = Some(fault);
                (bytes, Reader::Busy)
            }
            Gathered::Fault(_, fault) => {
                self.sink.abort(&fault)?;
                return Ok(Reader::Gone);
            }
        };
        if !bytes.is_empty() {
            self.sink.put(&bytes)?;
        }
        if next == Reader::Gone {
            self.sink.close()?;
        }
        Ok(next)
    }
}

impl<S: Stream<Item = Result<Bytes, F>> + Unpin, F: Display> Future for Pump<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let pump = &mut *self;
        loop {
            match pump.poll_reader(cx) {
                Reader::Gone => return Poll::Ready(()),
                Reader::Busy => return Poll::Pending,
                Reader::Waiting => {}
            }
            let gathered = match pump.fault.take() {
                Some(fault) => Gathered::Fault(Bytes::new(), fault),
                None => std::task::ready!(pump.gather(cx)),
            };
            // Where nothing can be put, nobody reads on.
            pump.reader = pump.put(gathered).unwrap_or(Reader::Gone);
        }
    }
}

fn joined(first: Bytes, rest: &[u8]) -> Bytes {
    if rest.is_empty() { first } else { [&first, rest].concat().into() }
}

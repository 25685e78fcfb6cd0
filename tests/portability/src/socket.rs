//! A connection of a websocket, in the hands of a test.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::io::{AsyncRead, AsyncWrite};

/// What the gateway reads from it, and has written to it. A clone is the same connection.
#[derive(Clone, Debug, Default)]
pub struct Socket(Arc<Mutex<Pipe>>);

#[derive(Debug, Default)]
struct Pipe {
    said: Vec<u8>,
    has_ended: bool,
    reader: Option<Waker>,
    heard: Vec<u8>,
    is_closed: bool,
    is_gone: bool,
}

impl Socket {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Pipe)) {
        let mut pipe = self.pipe();
        change(&mut pipe);
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }

    /// Its peer sends this.
    pub fn say(&self, bytes: &[u8]) {
        self.change(|pipe| pipe.said.extend_from_slice(bytes));
    }

    /// Its peer sends nothing more.
    pub fn end(&self) {
        self.change(|pipe| pipe.has_ended = true);
    }

    /// Its peer takes nothing more.
    pub fn refuse(&self) {
        self.change(|pipe| pipe.is_gone = true);
    }

    /// What its peer has been sent.
    pub fn heard(&self) -> Vec<u8> {
        self.pipe().heard.clone()
    }

    /// Whether the gateway sends nothing more.
    pub fn is_closed(&self) -> bool {
        self.pipe().is_closed
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        if pipe.said.is_empty() && !pipe.has_ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let read = pipe.said.len().min(buffer.len());
        for (slot, byte) in buffer.iter_mut().zip(pipe.said.drain(..read)) {
            *slot = byte;
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        if pipe.is_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        pipe.heard.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe().is_closed = true;
        Poll::Ready(Ok(()))
    }
}

//! What an instance prints: lines of this process's log, so many and so long as a log can bear.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes of a line that are shown.
const LONGEST: usize = 2048;

/// Lines of all instances in a window.
const MOST: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(1);

/// Bytes that one write may have.
const WRITE: usize = 64 * 1024;

/// One stream of one instance.
#[derive(Clone, Debug)]
pub(super) struct Output {
    stream: &'static str,
    pace: Arc<Pace>,
}

/// Keeps instances together from filling the log.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Passed>>);

#[derive(Debug)]
struct Passed {
    since: Instant,
    lines: u32,
}

/// What is done with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Show,
    /// After so many that were not.
    ShowAfter(u32),
    Hide,
}

impl Pace {
    fn pass(&self, now: Instant) -> Pass {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *passed {
            Some(passed) if now.duration_since(passed.since) < WINDOW => {
                passed.lines = passed.lines.saturating_add(1);
                if passed.lines <= MOST { Pass::Show } else { Pass::Hide }
            }
            other => {
                let hidden = other.as_ref().map_or(0, |passed| passed.lines.saturating_sub(MOST));
                *other = Some(Passed { since: now, lines: 1 });
                if hidden == 0 { Pass::Show } else { Pass::ShowAfter(hidden) }
            }
        }
    }
}

impl Output {
    pub(super) fn new(stream: &'static str, pace: &Arc<Pace>) -> Self {
        Self { stream, pace: Arc::clone(pace) }
    }

    fn lines(&self) -> Lines {
        Lines { output: self.clone(), line: Vec::new(), cut: 0 }
    }

    fn tell(&self, line: &[u8], cut: usize) {
        let pass = self.pace.pass(Instant::now());
        if let Pass::ShowAfter(hidden) = pass {
            tracing::warn!(hidden, "the component prints faster than the log takes it");
        }
        if pass != Pass::Hide {
            let line = String::from_utf8_lossy(line);
            let stream = self.stream;
            if cut == 0 {
                tracing::info!(stream, "{line}");
            } else {
                tracing::info!(stream, cut, "{line}");
            }
        }
    }
}

/// A stream, cut into lines.
#[derive(Debug)]
struct Lines {
    output: Output,
    line: Vec<u8>,
    /// Bytes of the line that were too many.
    cut: usize,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                Some(_) | None => (piece, false),
            };
            let room = LONGEST - self.line.len();
            let (kept, cut) = text.split_at(text.len().min(room));
            self.line.extend_from_slice(kept);
            self.cut += cut.len();
            if ends {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if !self.line.is_empty() {
            self.output.tell(&self.line, self.cut);
        }
        self.line.clear();
        self.cut = 0;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.lines())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.lines())
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_as_may_be_shown_and_no_longer() {
        let mut lines = Output::new("stdout", &Arc::default()).lines();
        lines.take(&[b'a'; LONGEST - 1]);
        assert_eq!((lines.line.len(), lines.cut), (LONGEST - 1, 0));
        lines.take(b"bcd");
        assert_eq!((lines.line.len(), lines.cut), (LONGEST, 2));
        lines.take(b"e\nf");
        assert_eq!((lines.line.as_slice(), lines.cut), (b"f".as_slice(), 0));
    }

    #[test]
    fn lines_beyond_the_pace_are_counted_and_not_shown() {
        let pace = Pace::default();
        let start = Instant::now();
        for _ in 0..MOST {
            assert_eq!(pace.pass(start), Pass::Show);
        }
        assert_eq!(pace.pass(start), Pass::Hide);
        assert_eq!(pace.pass(start), Pass::Hide);
        assert_eq!(pace.pass(start + WINDOW), Pass::ShowAfter(2));
        assert_eq!(pace.pass(start + WINDOW), Pass::Show);
    }
}

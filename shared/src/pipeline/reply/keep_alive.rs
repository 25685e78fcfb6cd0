//! Comments of the gateway's own, so that nothing on the way takes a silent stream for a dead one.
//!
//! They are made where an answer leaves for its client: what is recorded, kept or told to others has none of them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::platform::Platform;
use crate::time::Instant;

const COMMENT: &[u8] = b": keep-alive\n\n";

/// Watches one client's stream for silence.
pub(crate) struct KeepAlive<P: Platform> {
    platform: P,
    after: Duration,
    /// Set anew when it fires, not with every chunk.
    timer: Option<P::Sleep>,
    /// Since when the client, who has asked for more, has got nothing.
    silent_since: Option<Instant>,
    border: Border,
}

/// Whether what went out last has ended an event: only there may a comment stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Border {
    Event,
    /// Inside an event, at the end of a line; whether that ended in a carriage return alone.
    Line {
        is_half: bool,
    },
    Inside,
}

impl<P: Platform> KeepAlive<P> {
    pub(crate) fn new(platform: &P, after: Duration) -> Self {
        Self { platform: platform.clone(), after, timer: None, silent_since: None, border: Border::Event }
    }

    /// These bytes went out.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.silent_since = None;
        self.border = self.border.behind(bytes);
    }

    /// The comment, when it is time for one. Nothing else has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let since = match self.silent_since {
            Some(since) => since,
            None => *self.silent_since.insert(self.platform.now()),
        };
        loop {
            if let Some(timer) = &mut self.timer
                && Pin::new(timer).poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            let silent = self.platform.now().since(since);
            if silent < self.after {
                self.timer = Some(self.platform.sleep(self.after.saturating_sub(silent)));
                continue;
            }
            self.silent_since = None;
            if self.border == Border::Event {
                self.timer = None;
                return Poll::Ready(Bytes::from_static(COMMENT));
            }
            // Half an event has gone out, and the rest is awaited.
            self.timer = Some(self.platform.sleep(self.after));
        }
    }
}

impl Border {
    fn behind(self, bytes: &[u8]) -> Self {
        let tail = bytes.len().saturating_sub(4);
        let mut border = if tail == 0 { self } else { Self::Inside };
        for byte in &bytes[tail..] {
            border = match (border, byte) {
                (Self::Line { is_half: true } | Self::Inside, b'\n') => Self::Line { is_half: false },
                (Self::Line { .. } | Self::Event, b'\n' | b'\r') => Self::Event,
                (Self::Inside, b'\r') => Self::Line { is_half: true },
                (Self::Line { .. } | Self::Event | Self::Inside, _) => Self::Inside,
            };
        }
        border
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stands_between_events_only() {
        for (pieces, is_between) in [
            (&["data: 1\n\n"][..], true),
            (&["data: 1\r\n\r\n"], true),
            (&["data: 1\r\r"], true),
            (&["data: 1\n"], false),
            (&["data: 1\r\n"], false),
            (&["data: 1"], false),
            (&["data: 1\n", "\n"], true),
            (&["data: 1\r", "\n"], false),
            (&["data: 1\r\n", "\r\n"], true),
            (&["data: 1\n\nd"], false),
            (&["a\n\n", "b"], false),
            (&[], true),
        ] {
            let border = pieces.iter().fold(Border::Event, |border, piece| border.behind(piece.as_bytes()));
            assert_eq!(border == Border::Event, is_between, "{pieces:?}");
        }
    }
}

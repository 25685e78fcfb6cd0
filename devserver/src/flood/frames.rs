//! The heads of HTTP/2's frames, as they go by in pieces of any size (RFC 9113, 4.1).

/// Three bytes of length, the type, the flags, the stream.
const HEAD: usize = 9;

/// Where one direction of a connection is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    come: usize,
    /// Bytes of the payload that are to come.
    payload: usize,
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) stream: u32,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Opens a stream, or ends it.
    Headers,
    /// Carries something.
    Data,
    /// Costs its sender nothing: SETTINGS, PING, PRIORITY, and what nobody knows.
    Control,
    /// Others bound it: resets, windows, continuations, DATA with nothing in it.
    Bounded,
}

impl Frames {
    /// Tells of each head that is complete with `bytes`.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Head)) {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.come).min(bytes.len());
            self.head[self.come..self.come + taken].copy_from_slice(&bytes[..taken]);
            self.come += taken;
            bytes = &bytes[taken..];
            if self.come == HEAD {
                self.come = 0;
                let [a, b, c, kind, _flags, stream @ ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.payload = length as usize;
                let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
                tell(Head { kind: Kind::of(kind, length), stream });
            }
        }
    }

    /// Whether a frame may begin here.
    pub(super) fn is_between(&self) -> bool {
        self.come == 0 && self.payload == 0
    }
}

impl Kind {
    fn of(kind: u8, length: u32) -> Self {
        match kind {
            0 if length > 0 => Self::Data,
            1 => Self::Headers,
            // DATA, RST_STREAM, PUSH_PROMISE, GOAWAY, WINDOW_UPDATE, CONTINUATION.
            0 | 3 | 5 | 7..=9 => Self::Bounded,
            // PRIORITY, SETTINGS, PING, extensions.
            2 | 4 | 6 | 10.. => Self::Control,
        }
    }
}

/// GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113, 6.8 and 7).
pub(super) fn enhance_your_calm(last_stream: u32) -> [u8; HEAD + 8] {
    let [a, b, c, d] = last_stream.to_be_bytes();
    [0, 0, 8, 7, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 11]
}

//! The frames of one direction, as they go by in pieces of any size (RFC 6455, 5.2). They go on as they are; what is
//! read of them is their heads, the code of a close frame, and which bytes are text.

/// Two bytes, up to eight of length, four of mask.
const LONGEST_HEAD: usize = 14;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// A close frame that says no code (RFC 6455, 7.4.1).
pub(crate) const NO_CODE: u16 = 1005;

/// Where one direction is, and the code it was closed with.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Bytes of a message at most.
    largest: u64,
    /// The head of the next frame, as far as it has come. It is held back until it is complete, so that a frame of
    /// the gateway's own may stand before it.
    head: [u8; LONGEST_HEAD],
    come: usize,
    /// The frame under way.
    frame: Option<Frame>,
    /// Bytes of the message under way.
    message: u64,
    /// That message is text, and not compressed.
    is_text: bool,
    closed: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    ends_message: bool,
    mask: [u8; 4],
    length: u64,
    /// Bytes of the payload that have come.
    come: u64,
    code: [u8; 2],
}

/// A message is larger than the gateway takes; nothing of the frame that makes it so has gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// What a piece had of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed<'b> {
    /// Bytes of the piece, from its beginning.
    pub(crate) taken: usize,
    /// Of those, the ones that belong to a text.
    pub(crate) text: &'b [u8],
    /// The text is complete.
    pub(crate) ends_text: bool,
}

impl Frames {
    pub(crate) const fn new(largest: u64) -> Self {
        Self {
            largest,
            head: [0; LONGEST_HEAD],
            come: 0,
            frame: None,
            message: 0,
            is_text: false,
            closed: None,
        }
    }

    /// Takes of `bytes` what belongs to the frame that they begin with, or go on with, and puts behind `out` what may
    /// go on.
    pub(crate) fn pass<'b>(&mut self, bytes: &'b [u8], out: &mut Vec<u8>) -> Result<Passed<'b>, TooLarge> {
        let mut at = 0;
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => loop {
                let Some(&byte) = bytes.get(at) else {
                    return Ok(Passed { taken: at, text: &[], ends_text: false });
                };
                self.head[self.come] = byte;
                self.come += 1;
                at += 1;
                if self.come == head_length(&self.head, self.come) {
                    let frame = self.begin()?;
                    out.extend_from_slice(&self.head[..self.come]);
                    self.come = 0;
                    break frame;
                }
            },
        };
        let rest = &bytes[at..];
        let owed = usize::try_from(frame.length - frame.come).unwrap_or(usize::MAX);
        let payload = &rest[..owed.min(rest.len())];
        out.extend_from_slice(payload);
        frame.note(payload);
        let is_texts = self.is_text && matches!(frame.opcode, CONTINUATION | TEXT);
        let is_over = frame.come == frame.length;
        if is_over {
            self.end(frame);
        } else {
            self.frame = Some(frame);
        }
        Ok(Passed {
            taken: at + payload.len(),
            text: if is_texts { payload } else { &[] },
            ends_text: is_texts && is_over && frame.ends_message,
        })
    }

    /// Whether what has gone on ends with the end of a frame.
    pub(crate) fn is_between(&self) -> bool {
        self.frame.is_none()
    }

    /// The code of the close frame that has gone by; 1005 where it said none.
    pub(crate) fn closed(&self) -> Option<u16> {
        self.closed
    }

    /// The head is complete.
    fn begin(&mut self) -> Result<Frame, TooLarge> {
        let frame = Frame::of(&self.head);
        let is_compressed = self.head[0] & 0x70 != 0;
        let message = match frame.opcode {
            CONTINUATION => self.message.saturating_add(frame.length),
            TEXT | BINARY => {
                self.is_text = frame.opcode == TEXT && !is_compressed;
                frame.length
            }
            _ => self.message,
        };
        if message.max(frame.length) > self.largest {
            return Err(TooLarge);
        }
        self.message = message;
        Ok(frame)
    }

    fn end(&mut self, frame: Frame) {
        if frame.opcode == CLOSE {
            let code = if frame.length < 2 { NO_CODE } else { u16::from_be_bytes(frame.code) };
            self.closed.get_or_insert(code);
        } else if frame.opcode <= BINARY && frame.ends_message {
            self.message = 0;
        }
    }
}

impl Frame {
    fn of(head: &[u8; LONGEST_HEAD]) -> Self {
        let extended = extended(head);
        let length = match extended {
            0 => u64::from(head[1] & 0x7f),
            bytes => head[2..2 + bytes].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let mut mask = [0; 4];
        if is_masked(head) {
            mask.copy_from_slice(&head[2 + extended..6 + extended]);
        }
        let (opcode, ends_message) = (head[0] & 0x0f, head[0] & 0x80 != 0);
        Self { opcode, ends_message, mask, length, come: 0, code: [0; 2] }
    }

    /// These bytes of the payload have come; the first two of a close frame are its code.
    fn note(&mut self, payload: &[u8]) {
        let come = usize::try_from(self.come).unwrap_or(usize::MAX);
        let code = self.code.iter_mut().zip(self.mask).skip(come);
        for ((slot, mask), byte) in code.zip(payload) {
            *slot = byte ^ mask;
        }
        self.come += payload.len() as u64;
    }
}

fn is_masked(head: &[u8; LONGEST_HEAD]) -> bool {
    head[1] & 0x80 != 0
}

/// Bytes between the first two and the mask.
fn extended(head: &[u8; LONGEST_HEAD]) -> usize {
    match head[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// Of a head of which `come` bytes have come.
fn head_length(head: &[u8; LONGEST_HEAD], come: usize) -> usize {
    if come < 2 {
        return 2;
    }
    2 + extended(head) + if is_masked(head) { 4 } else { 0 }
}

/// Longest reason that fits into a close frame beside its code.
const LONGEST_REASON: usize = 123;

/// A close frame; one with a mask is a client's (RFC 6455, 5.3).
pub(crate) fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    let length = u8::try_from(payload.len()).unwrap_or_default();
    let mut frame = vec![0x80 | CLOSE, length | if mask.is_some() { 0x80 } else { 0 }];
    frame.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        let bit = if masked { 0x80 } else { 0 };
        match payload.len() {
            short @ 0..=125 => bytes.push(bit | u8::try_from(short).unwrap()),
            medium @ 126..=65535 => {
                bytes.push(bit | 0x7e);
                bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                bytes.push(bit | 0x7f);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        let mask = if masked { MASK } else { [0; 4] };
        bytes.extend(&MASK[..if masked { 4 } else { 0 }]);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// What goes on of `bytes`, cut into pieces, and the texts in it.
    fn pass(frames: &mut Frames, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<String>), TooLarge> {
        let (mut out, mut texts, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for mut bytes in bytes.chunks(piece) {
            while !bytes.is_empty() {
                let passed = frames.pass(bytes, &mut out)?;
                text.extend(passed.text);
                if passed.ends_text {
                    texts.push(String::from_utf8(std::mem::take(&mut text)).unwrap());
                }
                bytes = &bytes[passed.taken..];
            }
        }
        Ok((out, texts))
    }

    proptest! {
        #[test]
        fn frames_go_on_as_they_are_however_they_are_cut(
            sizes in prop::collection::vec((0_usize..300, any::<bool>()), 0..8),
            large in 0_usize..3,
            code in 1000_u16..5000,
            piece in 1_usize..40,
        ) {
            let mut all = Vec::new();
            let mut borders = vec![0];
            for (size, masked) in sizes.into_iter().chain((0..large).map(|_| (70_000, true))) {
                all.extend(frame(0x82, masked, &vec![8; size]));
                borders.push(all.len());
            }
            let mut frames = Frames::new(70_000);
            let mut out = Vec::new();
            for bytes in all.chunks(piece) {
                let mut rest = bytes;
                while !rest.is_empty() {
                    rest = &rest[frames.pass(rest, &mut out).unwrap().taken..];
                }
                prop_assert_eq!(frames.is_between(), borders.contains(&out.len()));
            }
            prop_assert_eq!(&out, &all);
            prop_assert_eq!(frames.closed(), None);
            let last = frame(0x88, piece % 2 == 0, &[&code.to_be_bytes()[..], b"bye"].concat());
            prop_assert_eq!(pass(&mut frames, &last, piece).unwrap().0, last);
            prop_assert_eq!((frames.closed(), frames.is_between()), (Some(code), true));
        }
    }

    #[test]
    fn one_frame_ends_where_the_next_begins() {
        let (first, second) = (frame(0x81, true, b"hello"), frame(0x88, false, b""));
        let mut frames = Frames::new(100);
        let both = [first.clone(), second].concat();
        let mut out = Vec::new();
        assert_eq!(frames.pass(&both, &mut out).unwrap().taken, first.len());
        assert_eq!(frames.closed(), None);
        assert_eq!(frames.pass(&both[first.len()..], &mut out).unwrap().taken, 2);
        assert_eq!(frames.closed(), Some(NO_CODE));
        assert_eq!(out, both);
    }

    #[test]
    fn a_head_goes_on_once_it_is_complete() {
        let mut frames = Frames::new(1000);
        let bytes = frame(0x81, false, &[b'a'; 200]);
        let mut out = Vec::new();
        assert_eq!(frames.pass(&bytes[..3], &mut out).unwrap().taken, 3);
        assert!(out.is_empty() && frames.is_between(), "a frame may stand before it");
        frames.pass(&bytes[3..5], &mut out).unwrap();
        assert_eq!((&out[..], frames.is_between()), (&bytes[..5], false));
    }

    #[test]
    fn texts_are_told_from_the_rest() {
        let bytes = [
            frame(0x01, false, b"{\"a\""),
            frame(0x89, false, b"ping"),
            frame(0x80, false, b":1}"),
            frame(0xc1, false, b"compressed"),
            frame(0x82, false, b"binary"),
            frame(0x02, false, b"bin"),
            frame(0x80, false, b"ary"),
            frame(0x81, false, b""),
        ]
        .concat();
        for piece in [1, 3, bytes.len()] {
            let (out, texts) = pass(&mut Frames::new(100), &bytes, piece).unwrap();
            assert_eq!(out, bytes);
            assert_eq!(texts, ["{\"a\":1}", ""], "by {piece}");
        }
    }

    #[test]
    fn a_message_above_the_bound_does_not_begin() {
        let largest = |parts: &[(u8, usize)]| {
            let bytes: Vec<u8> =
                parts.iter().flat_map(|(first, size)| frame(*first, true, &vec![0; *size])).collect();
            pass(&mut Frames::new(100), &bytes, 7).is_ok()
        };
        for (parts, fits) in [
            (&[(0x82, 100), (0x81, 100)][..], true),
            (&[(0x82, 101)], false),
            (&[(0x02, 60), (0x89, 50), (0x80, 40), (0x02, 100)], true),
            (&[(0x02, 60), (0x00, 40), (0x80, 1)], false),
            (&[(0x89, 101)], false),
        ] {
            assert_eq!(largest(parts), fits, "{parts:?}");
        }
        let endless = [0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(pass(&mut Frames::new(u64::MAX - 1), &endless, 4), Err(TooLarge));
    }

    #[test]
    fn a_close_frame_of_our_own_reads_as_one() {
        for mask in [None, Some(MASK)] {
            let bytes = close_frame(1001, &"é".repeat(100), mask);
            let mut frames = Frames::new(1000);
            pass(&mut frames, &bytes, 3).unwrap();
            assert_eq!((frames.closed(), frames.is_between()), (Some(1001), true));
        }
        assert_eq!(close_frame(1000, "a", None), [0x88, 3, 3, 0xe8, b'a']);
    }
}

//! An answer with its credentials overwritten as it comes.

use std::sync::Arc;

use bytes::Bytes;

use super::Redactor;

/// What has been read of one answer, and not yet passed on.
pub(crate) struct RedactedStream {
    redactor: Arc<Redactor>,
    /// Could be the beginning of a credential. As it came, since a credential may begin in another.
    held: Vec<u8>,
    /// Bytes at the beginning of `held` that are the end of a credential.
    covered: usize,
}

impl RedactedStream {
    pub(crate) fn new(redactor: Arc<Redactor>) -> Self {
        Self { redactor, held: Vec::new(), covered: 0 }
    }

    /// What of `chunk`, and of what was held, may go on: mostly the chunk itself. May be empty.
    pub(crate) fn push(&mut self, mut chunk: Bytes) -> Bytes {
        if !self.held.is_empty() {
            self.held.extend_from_slice(&chunk);
            chunk = std::mem::take(&mut self.held).into();
        }
        let passed = chunk.len() - self.redactor.unsure(&chunk);
        self.held.extend_from_slice(&chunk[passed..]);
        if self.covered == 0 && !self.redactor.is_in(&chunk) {
            chunk.truncate(passed);
            return chunk;
        }
        let mut bytes = Vec::from(chunk);
        let mut covered = self.covered;
        for range in self.redactor.find(&bytes) {
            if range.start < passed {
                covered = covered.max(range.end);
            }
            bytes[range].fill(b'*');
        }
        bytes[..self.covered].fill(b'*');
        self.covered = covered.saturating_sub(passed);
        bytes.truncate(passed);
        bytes.into()
    }

    /// What was held when nothing more comes.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        let mut bytes = std::mem::take(&mut self.held);
        for range in self.redactor.find(&bytes) {
            bytes[range].fill(b'*');
        }
        bytes[..std::mem::take(&mut self.covered)].fill(b'*');
        (!bytes.is_empty()).then(|| bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    const SECRET: &str = "sk-canary-0123456789";

    fn stream() -> RedactedStream {
        let secrets = [Secret::new(SECRET), Secret::new("canary-canary-2")];
        RedactedStream::new(Arc::new(Redactor::new(&secrets)))
    }

    fn all(chunks: &[&[u8]]) -> Vec<u8> {
        let mut stream = stream();
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&stream.push(Bytes::copy_from_slice(chunk)));
        }
        out.extend_from_slice(&stream.finish().unwrap_or_default());
        out
    }

    #[test]
    fn a_credential_is_overwritten_wherever_it_is_cut() {
        let text = format!("data: {{\"echo\":\"Bearer {SECRET}\"}}\n\n");
        let expected = text.replace(SECRET, &"*".repeat(SECRET.len()));
        for cut in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            assert_eq!(all(&[a, b]), expected.as_bytes(), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(all(&bytes), expected.as_bytes());
    }

    #[test]
    fn nothing_is_held_that_begins_no_credential() {
        let mut stream = stream();
        for text in ["data: {\"a\":1}\n\n", "sk-canary-012345678x", "", "task"] {
            let held = if text == "task" { 2 } else { 0 };
            let out = stream.push(Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(text.len() - out.len(), held, "{text}");
        }
        // Never as much as a whole one.
        assert!(stream.push(Bytes::from_static(b"-canary-012345678")).is_empty());
        assert_eq!(stream.finish().unwrap(), "sk-canary-012345678");
    }

    #[test]
    fn a_chunk_without_a_credential_is_the_chunk_that_came() {
        let chunk = Bytes::from_static(b"data: {}\n\n");
        assert_eq!(stream().push(chunk.clone()).as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn the_end_of_a_credential_that_could_begin_another_is_overwritten() {
        let secrets = [Secret::new("xyzabc"), Secret::new("abcdef")];
        for (chunks, expected) in [
            (["1xyzabc", "def2"], "1*********2"),
            (["1xyzabc", "zzz2"], "1******zzz2"),
            (["1xyzabc", ""], "1******"),
        ] {
            let mut stream = RedactedStream::new(Arc::new(Redactor::new(&secrets)));
            let mut out = Vec::new();
            for chunk in chunks {
                out.extend_from_slice(&stream.push(Bytes::from_static(chunk.as_bytes())));
            }
            out.extend_from_slice(&stream.finish().unwrap_or_default());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_credential_within_another_takes_nothing_from_it() {
        let secrets = [Secret::new("abcdef"), Secret::new("abcdefgh"), Secret::new("efghijkl")];
        let mut stream = RedactedStream::new(Arc::new(Redactor::new(&secrets)));
        let mut out = stream.push(Bytes::from_static(b"xabcdefg")).to_vec();
        out.extend_from_slice(&stream.push(Bytes::from_static(b"hijklx")));
        assert_eq!(String::from_utf8(out).unwrap(), "x************x");
    }

    proptest! {
        #[test]
        fn what_has_no_credential_goes_through_untouched_in_any_pieces(
            text in "(sk-|canary|canary-|0123|456789|\n|[a-z]){0,30}", cuts in proptest::collection::vec(1_usize..9, 1..20),
        ) {
            let (mut rest, mut pieces) = (text.as_bytes(), Vec::new());
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() { break }
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            let expected = text.replace(SECRET, &"*".repeat(SECRET.len()));
            prop_assume!(!text.contains("canary-canary-2"));
            prop_assert_eq!(String::from_utf8(all(&pieces)).unwrap(), expected);
        }
    }
}

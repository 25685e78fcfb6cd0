//! The events of an answer while they are written.

/// How many times as long as the answer its events may be: each event repeats what the answer says once.
const GROWTH: usize = 16;
/// What they may be in any case.
const FLOOR: usize = 64 << 10;

/// Writes events, up to a bound. Each step is `None` beyond it.
#[derive(Debug)]
pub(super) struct Telling {
    out: String,
    bound: usize,
    /// The number of the next event, where the dialect numbers them.
    sequence: u64,
}

impl Telling {
    /// The events of an answer of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self { out: String::new(), bound: bytes.saturating_mul(GROWTH).saturating_add(FLOOR), sequence: 0 }
    }

    /// An event without a name, its data in parts.
    pub(super) fn data(&mut self, parts: &[&str]) -> Option<()> {
        self.write(&[&["data: "], parts, &["\n\n"]])
    }

    /// An event of the Responses API: its type, and the fields behind its number, in parts.
    pub(super) fn event(&mut self, kind: &str, fields: &[&str]) -> Option<()> {
        let sequence = self.sequence.to_string();
        self.sequence += 1;
        let head = ["event: ", kind, "\ndata: {\"type\":\"", kind, "\",\"sequence_number\":", &sequence, ","];
        self.write(&[&head, fields, &["}\n\n"]])
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn write(&mut self, parts: &[&[&str]]) -> Option<()> {
        let parts = || parts.iter().copied().flatten();
        let grown = self.out.len() + parts().map(|part| part.len()).sum::<usize>();
        if grown > self.bound {
            return None;
        }
        self.out.extend(parts().copied());
        Some(())
    }
}

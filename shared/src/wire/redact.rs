//! Credentials taken out of what an upstream answers.
//!
//! An upstream that echoes a request, or a page of whatever stands before it, would show a caller the key that the
//! gateway shows the upstream. So every byte of an answer is searched for every credential of the configuration, as it
//! is and in the spellings in which software repeats it: JSON escapes, percent-encoding, base64. What is found is
//! overwritten with as many asterisks, so that lengths hold. All other bytes go on as they came and when they came: no
//! more is held back than could be the beginning of a credential.
//!
//! A hash, a cipher or a spelling that is not listed here is not found.

mod patterns;
mod stream;

use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

pub(crate) use self::stream::RedactedStream;
use crate::secret::Secret;

#[expect(clippy::disallowed_types, reason = "a part of a value that is passed, and no static")]
type Once<T> = std::sync::OnceLock<T>;

/// Finds the credentials of a configuration. Upper and lower case are one, as they are in escapes.
#[derive(Default)]
pub struct Redactor {
    /// In lower case.
    patterns: Vec<Vec<u8>>,
    /// Built when the first answer is read: a configuration may be loaded to answer one request from the cache.
    search: Once<Option<Search>>,
}

struct Search {
    automaton: AhoCorasick,
    /// Which bytes are in a pattern, and which begin one.
    bytes: [bool; 256],
    beginnings: [bool; 256],
    longest: usize,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(***)")
    }
}

impl Redactor {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self { patterns: patterns::of(secrets), search: Once::new() }
    }

    fn search(&self) -> Option<&Search> {
        self.search.get_or_init(|| Search::new(&self.patterns)).as_ref()
    }

    /// Whether a credential stands in `bytes`.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.search().is_some_and(|search| search.automaton.is_match(bytes))
    }

    /// Where in `bytes` they stand. They may overlap, as one that is the beginning of another.
    fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let Some(search) = self.search() else { return Vec::new() };
        search.automaton.find_overlapping_iter(bytes).map(|found| found.range()).collect()
    }

    /// Bytes at the end of `bytes` that could be the beginning of a credential.
    fn unsure(&self, bytes: &[u8]) -> usize {
        let Some(search) = self.search() else { return 0 };
        let most = bytes.len().min(search.longest.saturating_sub(1));
        // An event of a stream ends in a line break, which is in no credential: mostly this is all.
        let is_foreign = |byte: &u8| !search.bytes[usize::from(*byte)];
        let tail = bytes[bytes.len() - most..].rsplit(is_foreign).next().unwrap_or_default();
        let may_begin = |from: &usize| {
            let rest = &tail[*from..];
            search.beginnings[usize::from(rest[0])]
                && self.patterns.iter().any(|pattern| {
                    pattern.len() > rest.len() && pattern[..rest.len()].eq_ignore_ascii_case(rest)
                })
        };
        (0..tail.len()).find(may_begin).map_or(0, |from| tail.len() - from)
    }
}

impl Search {
    /// `None` where there is nothing to look for.
    fn new(patterns: &[Vec<u8>]) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        // Too many patterns to be counted are the one fault there is; a document cannot hold them.
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(AhoCorasickKind::ContiguousNFA)).ascii_case_insensitive(true);
        let automaton = builder.build(patterns).ok()?;
        let mut search = Self { automaton, bytes: [false; 256], beginnings: [false; 256], longest: 0 };
        for pattern in patterns {
            search.longest = search.longest.max(pattern.len());
            for byte in pattern {
                search.bytes[usize::from(*byte)] = true;
                search.bytes[usize::from(byte.to_ascii_uppercase())] = true;
            }
            let first = pattern.first().copied().unwrap_or_default();
            search.beginnings[usize::from(first)] = true;
            search.beginnings[usize::from(first.to_ascii_uppercase())] = true;
        }
        Some(search)
    }
}

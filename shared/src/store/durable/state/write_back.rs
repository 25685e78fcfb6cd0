//! What of a desk is written, what has changed since, and when the next batch is due.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::record::Name;
use crate::cache::fingerprint::{Fingerprint, Framed};
use crate::time::Instant;

/// What has changed is due after this long.
const SETTLES: Duration = Duration::from_secs(1);

/// What means nothing any more may lie about for this long.
const LINGERS: Duration = Duration::from_mins(1);

/// Keys of a batch at most.
pub(super) const MOST_KEYS: usize = 128;

/// Bytes of a value at most; a record that has more is written as several.
pub(super) const MOST_VALUE: usize = 128 * 1024;

/// What is to be written as one: all of it, or nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// At most 128, with the deletions; each value has at most 128 KiB.
    pub puts: Vec<(String, Vec<u8>)>,
    pub deletions: Vec<String>,
}

/// What it says is nobody's to read.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("puts", &self.puts.iter().map(|(key, value)| (key, value.len())).collect::<Vec<_>>())
            .field("deletions", &self.deletions)
            .finish()
    }
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletions.is_empty()
    }

    fn len(&self) -> usize {
        self.puts.len() + self.deletions.len()
    }
}

/// A record as it lies in the storage.
#[derive(Clone, Copy, Debug)]
struct Written {
    parts: usize,
    /// Of its bytes.
    hash: Fingerprint,
    /// When it means nothing any more.
    ends: Instant,
}

/// The names of what is written and of what is to be.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    changed: BTreeSet<Name>,
    /// When the oldest of the changes came.
    since: Option<Instant>,
    written: BTreeMap<Name, Written>,
    by_end: BTreeSet<(Instant, Name)>,
    /// Keys of what could not be read.
    rubbish: Vec<String>,
    /// The last batch, and what was written of it before.
    last: Vec<(Name, Option<Written>)>,
}

impl Shelf {
    /// The record of this name has changed.
    pub(super) fn touch(&mut self, name: Name, now: Instant) {
        self.changed.insert(name);
        self.mark(now);
    }

    /// The record of this name was read from these bytes, in so many parts.
    pub(super) fn found(&mut self, name: &Name, parts: usize, bytes: &[u8], ends: Instant) {
        self.note(name, Some(Written { parts, hash: hash(bytes), ends }));
    }

    /// What is under these keys could not be read.
    pub(super) fn discard(&mut self, keys: impl Iterator<Item = String>, now: Instant) {
        self.rubbish.extend(keys);
        self.mark(now);
    }

    /// Something is to be written. The clock may have been ahead when the first of it came.
    fn mark(&mut self, now: Instant) {
        self.since = Some(self.since.map_or(now, |since| since.min(now)));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let changed = self.since.map(|since| since.after(SETTLES));
        let ended = self.by_end.first().map(|(ends, _)| ends.after(LINGERS));
        changed.into_iter().chain(ended).min()
    }

    /// The next batch; empty where nothing is to be written. `value` is what there is to say of a record, and until
    /// when it means something.
    pub(super) fn changes(
        &mut self,
        now: Instant,
        value: impl Fn(&Name) -> Option<(Vec<u8>, Instant)>,
    ) -> Changes {
        self.last.clear();
        let rubbish = self.rubbish.len().min(MOST_KEYS);
        let mut changes = Changes { puts: Vec::new(), deletions: self.rubbish.drain(..rubbish).collect() };
        while let Some(name) = self.next(now) {
            let before = self.written.get(&name).copied();
            let value = value(&name).filter(|(_, ends)| *ends > now);
            let bytes = value.as_ref().map(|(bytes, _)| bytes.as_slice()).unwrap_or_default();
            let after = value.as_ref().map(|(_, ends)| Written {
                parts: bytes.len().div_ceil(MOST_VALUE),
                hash: hash(bytes),
                ends: *ends,
            });
            let [old, new] = [before, after].map(|written| written.map_or(0, |written| written.parts));
            if changes.len() + new.max(old) > MOST_KEYS && !changes.is_empty() {
                break;
            }
            self.changed.remove(&name);
            if after.map(|after| after.hash) != before.map(|before| before.hash) {
                let key = name.key();
                let values = bytes.chunks(MOST_VALUE).enumerate();
                changes.puts.extend(values.map(|(part, bytes)| (part_key(&key, part), bytes.to_vec())));
                changes.deletions.extend((new..old).map(|part| part_key(&key, part)));
            }
            self.note(&name, after);
            self.last.push((name, before));
        }
        if self.changed.is_empty() && self.rubbish.is_empty() {
            self.since = None;
        }
        changes
    }

    /// The last batch was not written.
    pub(super) fn unwritten(&mut self, now: Instant) {
        for (name, before) in std::mem::take(&mut self.last) {
            self.note(&name, before);
            self.touch(name, now);
        }
    }

    /// What has changed, and what has ended.
    fn next(&self, now: Instant) -> Option<Name> {
        let ended = || self.by_end.first().filter(|(ends, _)| *ends <= now).map(|(_, name)| name);
        self.changed.first().or_else(ended).cloned()
    }

    fn note(&mut self, name: &Name, written: Option<Written>) {
        let before = match written {
            Some(written) => {
                self.by_end.insert((written.ends, name.clone()));
                self.written.insert(name.clone(), written)
            }
            None => self.written.remove(name),
        };
        let is_moved = |before: &Written| written.is_none_or(|written| written.ends != before.ends);
        if let Some(before) = before.filter(is_moved) {
            self.by_end.remove(&(before.ends, name.clone()));
        }
    }
}

fn hash(bytes: &[u8]) -> Fingerprint {
    Framed::new("weir record 1").field("bytes", bytes).finish()
}

/// The first part has the record's own key.
pub(super) fn part_key(key: &str, part: usize) -> String {
    if part == 0 { key.to_owned() } else { format!("{key}:{part}") }
}

/// The record's key, and which part of it a key is of.
pub(super) fn part_of(key: &str) -> (&str, usize) {
    match key.rsplit_once(':') {
        Some((record, part)) if record.contains(':') => {
            part.parse().map_or((key, 0), |part: usize| (record, part))
        }
        Some(_) | None => (key, 0),
    }
}

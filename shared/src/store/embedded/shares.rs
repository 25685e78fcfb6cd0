//! Answers bounded by bytes, of which whoever keeps the most makes room for all.
//!
//! Where one is to be kept and the room is taken, the oldest goes of the owner who keeps the most, the newcomer's own
//! counted (longest queue drop). So an owner alone has all the room, and one who floods it pushes out his own: what others
//! keep stays, as long as they keep no more than he does. An answer that was given since it came to stand where it
//! stands has a second chance: it goes to the end of its owner's line.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Entry;
use crate::cache::fingerprint::Fingerprint;
use crate::time::Instant;
use crate::wire::pack::packed;

/// While somebody fetches a new answer, nobody else does, unless it takes longer than this.
pub(crate) const REFRESH_LEASE: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// What it is the answer to, or of an idempotency key: which request it was given with.
    pub(super) request: Fingerprint,
    pub(super) entry: Arc<Entry>,
    pub(super) since: Instant,
    pub(super) until: Instant,
    /// Somebody fetches a new one, until then.
    pub(super) refreshing: Option<Instant>,
}

packed!(struct Stored { request, entry, since, until, refreshing });

impl Stored {
    pub(super) fn new(request: Fingerprint, entry: &Arc<Entry>, now: Instant, life: Duration) -> Self {
        Self { request, entry: Arc::clone(entry), since: now, until: now.after(life), refreshing: None }
    }

    pub(super) fn weight(&self) -> u64 {
        self.entry.weight()
    }

    /// Times of a clock that was ahead are moved to now, as far from each other as they were.
    pub(super) fn clamp(&mut self, now: Instant) {
        if self.since > now {
            self.until = now.after(self.until.since(self.since));
            self.since = now;
        }
        self.refreshing = self.refreshing.map(|until| until.min(now.after(REFRESH_LEASE)));
    }
}

#[derive(Debug)]
pub(super) struct Shares {
    most: u64,
    weight: u64,
    /// Where the next one comes to stand.
    next: u64,
    by_key: BTreeMap<Fingerprint, Kept>,
    /// The line of each owner, the oldest first.
    lines: BTreeMap<Arc<str>, Line>,
    /// Whoever keeps the most is the last.
    by_weight: BTreeSet<(u64, Arc<str>)>,
}

#[derive(Debug)]
struct Kept {
    stored: Stored,
    weight: u64,
    owner: Arc<str>,
    place: u64,
    is_used: Cell<bool>,
}

#[derive(Debug, Default)]
struct Line {
    weight: u64,
    places: BTreeMap<u64, Fingerprint>,
}

impl Shares {
    /// Holds at most so many bytes.
    pub(super) fn new(most: u64) -> Self {
        let (by_key, lines, by_weight) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { most, weight: 0, next: 0, by_key, lines, by_weight }
    }

    /// Holds at most so many bytes from now on.
    pub(super) fn resize(&mut self, most: u64) {
        self.most = most;
        self.make_room(0, None, &mut Vec::new());
    }

    pub(super) const fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn get(&self, key: &Fingerprint) -> Option<&Stored> {
        let kept = self.by_key.get(key)?;
        kept.is_used.set(true);
        Some(&kept.stored)
    }

    /// What it weighs may not be changed.
    pub(super) fn get_mut(&mut self, key: &Fingerprint) -> Option<&mut Stored> {
        self.by_key.get_mut(key).map(|kept| &mut kept.stored)
    }

    /// Keeps it for `owner`, in place of what there was, if there is room for it in his share. Gives what made room.
    pub(super) fn insert(&mut self, owner: &str, key: Fingerprint, stored: Stored) -> Vec<Fingerprint> {
        self.remove(&key);
        let (weight, mut gone) = (stored.weight(), Vec::new());
        if weight > self.most || !self.make_room(weight, Some(owner), &mut gone) {
            return gone;
        }
        let owner =
            self.lines.get_key_value(owner).map_or_else(|| owner.into(), |(name, _)| Arc::clone(name));
        let place = self.next;
        self.next = place.wrapping_add(1);
        let kept = Kept { stored, weight, owner: Arc::clone(&owner), place, is_used: Cell::new(false) };
        self.by_key.insert(key, kept);
        self.weigh(&owner, |line| {
            line.weight = line.weight.saturating_add(weight);
            line.places.insert(place, key);
        });
        self.weight = self.weight.saturating_add(weight);
        gone
    }

    fn remove(&mut self, key: &Fingerprint) {
        let Some(Kept { weight, owner, place, .. }) = self.by_key.remove(key) else { return };
        self.weigh(&owner, |line| {
            line.weight = line.weight.saturating_sub(weight);
            line.places.remove(&place);
        });
        self.weight = self.weight.saturating_sub(weight);
    }

    /// Whether there is room for so many bytes of `newcomer`'s: where he would keep the most and has nothing to give
    /// way, there is none.
    fn make_room(&mut self, wanted: u64, newcomer: Option<&str>, gone: &mut Vec<Fingerprint>) -> bool {
        while self.weight.saturating_add(wanted) > self.most {
            let Some((most, owner)) = self.by_weight.last().cloned() else { return false };
            let own = newcomer.and_then(|name| self.lines.get_key_value(name));
            let owned = own.map_or(0, |(_, line)| line.weight);
            let is_largest = newcomer.is_some() && owned.saturating_add(wanted) >= most;
            let owner = match own {
                Some((name, _)) if is_largest => Arc::clone(name),
                None if is_largest => return false,
                Some(_) | None => owner,
            };
            gone.extend(self.drop_oldest(&owner));
        }
        true
    }

    /// Each that was used goes to the end of the line once, so the line comes to its end.
    fn drop_oldest(&mut self, owner: &Arc<str>) -> Option<Fingerprint> {
        while let Some((place, key)) = self.lines.get_mut(owner).and_then(|line| line.places.pop_first()) {
            let Some(kept) = self.by_key.get_mut(&key) else { continue };
            if !kept.is_used.replace(false) {
                kept.place = place;
                self.remove(&key);
                return Some(key);
            }
            kept.place = self.next;
            self.next = self.next.wrapping_add(1);
            let place = kept.place;
            if let Some(line) = self.lines.get_mut(owner) {
                line.places.insert(place, key);
            }
        }
        None
    }

    /// Changes an owner's line, and where he stands among the others.
    fn weigh(&mut self, owner: &Arc<str>, change: impl FnOnce(&mut Line)) {
        let line = self.lines.entry(Arc::clone(owner)).or_default();
        self.by_weight.remove(&(line.weight, Arc::clone(owner)));
        change(line);
        if line.places.is_empty() {
            self.lines.remove(owner);
        } else {
            self.by_weight.insert((line.weight, Arc::clone(owner)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::fingerprint::Framed;
    use crate::dialect::endpoint::{Form, Operation};

    fn key(owner: &str, name: u64) -> Fingerprint {
        Framed::new("test").field("owner", owner.as_bytes()).field("name", &name.to_be_bytes()).finish()
    }

    fn stored(size: usize) -> Stored {
        let entry = Entry {
            operation: Operation::Chat,
            form: Form::Whole,
            content_type: String::new(),
            model: String::new(),
            body: vec![b'x'; size].into(),
        };
        Stored::new(key("", 0), &Arc::new(entry), Instant::default(), Duration::from_mins(1))
    }

    fn keep(shares: &mut Shares, owner: &str, name: u64, size: usize) {
        shares.insert(owner, key(owner, name), stored(size));
    }

    fn has(shares: &Shares, owner: &str, names: std::ops::Range<u64>) -> usize {
        names.filter(|name| shares.by_key.contains_key(&key(owner, *name))).count()
    }

    #[test]
    fn a_flood_pushes_out_its_own() {
        let mut shares = Shares::new(1 << 20);
        for name in 0..100 {
            keep(&mut shares, "quiet", name, 1000);
        }
        for name in 0..100_000 {
            keep(&mut shares, "flood", name, 1000);
        }
        assert_eq!(has(&shares, "quiet", 0..100), 100);
        assert!(has(&shares, "flood", 0..100_000) > 500, "it has what the other leaves");
        assert_eq!(has(&shares, "flood", 0..99_000), 0, "and its oldest went first");
        for name in 0..1000 {
            keep(&mut shares, "newcomer", name, 1000);
        }
        let [flood, newcomer] = ["flood", "newcomer"].map(|owner| shares.lines[owner].weight);
        assert!(flood.abs_diff(newcomer) < 3000, "{flood} and {newcomer}");
    }

    #[test]
    fn an_answer_that_is_given_has_a_second_chance() {
        let mut shares = Shares::new(20_000);
        for name in 0..10_000 {
            keep(&mut shares, "t", name, 1000);
            assert!(shares.get(&key("t", 0)).is_some(), "{name}");
        }
    }

    #[test]
    fn one_that_is_larger_than_its_share_is_not_kept() {
        let mut shares = Shares::new(110_000);
        for owner in 0..40 {
            keep(&mut shares, &owner.to_string(), 0, 2000);
        }
        keep(&mut shares, "large", 0, 90_000);
        assert_eq!(has(&shares, "large", 0..1), 0);
        assert_eq!(shares.lines.len(), 40);
        shares.resize(0);
        assert_eq!((shares.weight, shares.lines.len(), shares.by_weight.len()), (0, 0, 0));
    }

    proptest! {
        /// What is counted is what is there, and never more than the bound.
        #[test]
        fn the_books_of_the_shares_balance(
            steps in proptest::collection::vec((0_u64..4, 0_u64..20, 0_usize..4000, any::<bool>()), 1..200),
        ) {
            let mut shares = Shares::new(20_000);
            for (owner, name, size, asks) in steps {
                keep(&mut shares, &owner.to_string(), name, size);
                if asks {
                    shares.get(&key(&owner.to_string(), name / 2));
                }
                prop_assert!(shares.weight <= shares.most);
                prop_assert_eq!(shares.weight, shares.by_key.values().map(|kept| kept.weight).sum::<u64>());
                prop_assert_eq!(shares.weight, shares.lines.values().map(|line| line.weight).sum::<u64>());
                prop_assert_eq!(shares.by_key.len(), shares.lines.values().map(|line| line.places.len()).sum::<usize>());
                prop_assert_eq!(shares.lines.len(), shares.by_weight.len());
            }
        }
    }
}

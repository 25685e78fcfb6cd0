//! Whose the objects are that were made through the gateway: files, batches, responses and the like.
//!
//! To a provider all tenants of an account are one, so it is here that they are told apart. What is not known is
//! nobody's: an object that was made elsewhere, or longer ago than is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cache::fingerprint::Fingerprint;
use crate::store::protocol::Ownership;
use crate::time::Instant;

/// Objects of one tenant that are remembered; beyond that the one that was named longest ago is forgotten.
pub(crate) const MOST_OBJECTS: usize = 10_000;

/// An object that nobody names for so long is forgotten.
pub(crate) const LIFE: Duration = Duration::from_hours(30 * 24);

/// What was named is noted no more often than this.
const NOTED: Duration = Duration::from_hours(24);

/// By tenant; there are as many as the configuration has.
#[derive(Debug, Default)]
pub(crate) struct Owners(BTreeMap<Fingerprint, Objects>);

#[derive(Debug, Default)]
struct Objects {
    named: BTreeMap<Fingerprint, Instant>,
    by_age: BTreeSet<(Instant, Fingerprint)>,
}

/// What came of a question.
#[derive(Debug)]
pub(crate) struct Owned {
    /// Whether all that was named is the tenant's.
    pub(crate) is_own: bool,
    /// The objects of which something else is known now.
    pub(crate) changed: Vec<Fingerprint>,
}

impl Owners {
    /// Looks whether the tenant has all objects that are named, and if so takes note of them and of those that were made.
    pub(crate) fn own(&mut self, ownership: Ownership<'_>, now: Instant) -> Owned {
        let Ownership { tenant, named, made } = ownership;
        let mut changed = Vec::new();
        let Some(objects) = self.0.get_mut(&tenant).filter(|objects| !objects.named.is_empty()) else {
            let is_own = named.is_empty();
            if is_own && !made.is_empty() {
                let objects = self.0.entry(tenant).or_default();
                for object in made {
                    objects.note(*object, now, &mut changed);
                }
                objects.forget_most(&mut changed);
            }
            return Owned { is_own, changed };
        };
        objects.forget_old(now, &mut changed);
        let is_own = named.iter().all(|object| objects.named.contains_key(object));
        if is_own {
            let is_aged = |object: &&Fingerprint| objects.named[*object].after(NOTED) <= now;
            let aged: Vec<_> = named.iter().filter(is_aged).chain(made).copied().collect();
            for object in aged {
                objects.note(object, now, &mut changed);
            }
            objects.forget_most(&mut changed);
        }
        Owned { is_own, changed }
    }

    /// When the tenant named the object last, as far as that is noted.
    pub(crate) fn find(&self, tenant: &Fingerprint, object: &Fingerprint) -> Option<Instant> {
        self.0.get(tenant)?.named.get(object).copied()
    }

    /// Puts back what was written.
    pub(crate) fn restore(&mut self, tenant: Fingerprint, object: Fingerprint, at: Instant) {
        self.0.entry(tenant).or_default().note(object, at, &mut Vec::new());
    }
}

impl Objects {
    fn note(&mut self, object: Fingerprint, now: Instant, changed: &mut Vec<Fingerprint>) {
        if let Some(before) = self.named.insert(object, now) {
            self.by_age.remove(&(before, object));
        }
        self.by_age.insert((now, object));
        changed.push(object);
    }

    fn forget_old(&mut self, now: Instant, changed: &mut Vec<Fingerprint>) {
        while let Some((at, object)) = self.by_age.first().copied()
            && at.after(LIFE) <= now
        {
            self.forget(at, object, changed);
        }
    }

    fn forget_most(&mut self, changed: &mut Vec<Fingerprint>) {
        while self.named.len() > MOST_OBJECTS
            && let Some((at, object)) = self.by_age.first().copied()
        {
            self.forget(at, object, changed);
        }
    }

    fn forget(&mut self, at: Instant, object: Fingerprint, changed: &mut Vec<Fingerprint>) {
        self.by_age.remove(&(at, object));
        self.named.remove(&object);
        changed.push(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fingerprint::of_tenant;

    fn object(id: usize) -> Fingerprint {
        of_tenant(&format!("object {id}"))
    }

    fn asked<'a>(tenant: &str, named: &'a [Fingerprint], made: &'a [Fingerprint]) -> Ownership<'a> {
        Ownership { tenant: of_tenant(tenant), named, made }
    }

    #[test]
    fn an_object_is_its_makers_and_nobody_elses() {
        let (mut owners, now) = (Owners::default(), Instant::from_micros(1));
        let (one, two) = ([object(1)], [object(1), object(2)]);
        assert!(!owners.own(asked("a", &one, &[]), now).is_own, "what nobody made is nobody's");
        assert!(owners.own(asked("a", &[], &one), now).is_own);
        assert!(owners.own(asked("a", &one, &[]), now).is_own);
        assert!(!owners.own(asked("b", &one, &[]), now).is_own);
        assert!(!owners.own(asked("a", &two, &[object(2)]), now).is_own, "all of them are to be its own");
        assert!(!owners.own(asked("a", &two, &[]), now).is_own, "nothing is noted of a call that is refused");
        assert!(owners.own(asked("b", &[], &[]), now).is_own);
    }

    #[test]
    fn an_object_is_forgotten_behind_its_life_and_lives_on_where_it_is_named() {
        let (mut owners, begin) = (Owners::default(), Instant::from_micros(1));
        owners.own(asked("a", &[], &[object(1), object(2)]), begin);
        let later = begin.after(LIFE / 2);
        assert!(owners.own(asked("a", &[object(1)], &[]), later).is_own);
        let end = begin.after(LIFE);
        assert!(owners.own(asked("a", &[object(1)], &[]), end).is_own);
        assert!(!owners.own(asked("a", &[object(2)], &[]), end).is_own);
    }

    #[test]
    fn one_tenant_fills_nothing_but_its_own_place() {
        let mut owners = Owners::default();
        owners.own(asked("small", &[], &[object(0)]), Instant::from_micros(0));
        for id in 0..MOST_OBJECTS + 5 {
            owners.own(asked("large", &[], &[object(id)]), Instant::from_micros(id as u64));
        }
        assert_eq!(owners.0[&of_tenant("large")].named.len(), MOST_OBJECTS);
        let now = Instant::from_micros(1 << 20);
        assert!(!owners.own(asked("large", &[object(4)], &[]), now).is_own, "the oldest goes first");
        assert!(owners.own(asked("large", &[object(5)], &[]), now).is_own);
        assert!(owners.own(asked("small", &[object(0)], &[]), now).is_own);
    }
}

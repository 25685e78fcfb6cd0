//! Answers in one process: the cache, and what was answered to an `Idempotency-Key`. Both are bounded by bytes, and in both
//! whoever keeps the most makes room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::shares::{REFRESH_LEASE, Shares, Stored};
use crate::cache::Freshness;
use crate::cache::fingerprint::Fingerprint;
use crate::store::protocol::{Keeping, Recall, Recalled, Repeat, Repeated};
use crate::time::Instant;
use crate::wire::pack::packed;

/// The answers of an embedded store. The steps are synchronous; whoever shares it locks it.
#[derive(Debug)]
pub(crate) struct Answers {
    cache: Shares,
    repeats: Shares,
    /// Calls under way whose key must not be used twice; as many as there are calls, and each ends by itself.
    running: BTreeMap<Fingerprint, Running>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    request: Fingerprint,
    id: u64,
    until: Instant,
}

packed!(struct Running { request, id, until });

/// What is known of an idempotency key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key {
    running: Option<Running>,
    answered: Option<Stored>,
}

packed!(struct Key { running, answered });

impl Key {
    /// When nothing will be known of it any more.
    pub(crate) fn ends(&self) -> Instant {
        let running = self.running.map(|running| running.until);
        running.max(self.answered.as_ref().map(|stored| stored.until)).unwrap_or_default()
    }
}

impl Answers {
    /// Holds at most `most` bytes of the cache, and at most `repeats` of what was answered to a key.
    pub(crate) fn new(most: u64, repeats: u64) -> Self {
        Self { cache: Shares::new(most), repeats: Shares::new(repeats), running: BTreeMap::new() }
    }

    /// Holds at most `most` bytes from now on.
    pub(crate) fn resize(&mut self, most: u64) {
        self.cache.resize(most);
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight()
    }

    /// What is kept, on which terms it may be given.
    pub(crate) fn recall(&mut self, recall: &Recall, now: Instant) -> Option<Recalled> {
        if let Some(stored) = self.cache.get_mut(&recall.key) {
            stored.clamp(now);
        }
        let stored = self.cache.get(&recall.key).filter(|stored| stored.request == recall.key)?;
        let age = now.since(stored.since);
        let freshness = recall.window.freshness(age).filter(|_| stored.until > now)?;
        let refresh =
            freshness == Freshness::Revalidate && stored.refreshing.is_none_or(|until| until <= now);
        let is_stale = age >= recall.window.ttl;
        Some(Recalled { entry: Arc::clone(&stored.entry), age, freshness, refresh, is_stale })
    }

    /// Somebody fetches a new answer; nobody else does meanwhile.
    pub(crate) fn lease_refresh(&mut self, key: &Fingerprint, now: Instant) {
        if let Some(stored) = self.cache.get_mut(key) {
            stored.refreshing = Some(now.after(REFRESH_LEASE));
        }
    }

    /// What is known of an idempotency key. A call that is under way holds it for no longer than `lasts` from now on.
    pub(crate) fn repeated(&mut self, repeat: &Repeat, lasts: Duration, now: Instant) -> Repeated {
        if let Some(stored) = self.repeats.get_mut(&repeat.key) {
            stored.clamp(now);
        }
        if let Some(running) = self.running.get_mut(&repeat.key).filter(|_| !lasts.is_zero()) {
            running.until = running.until.min(now.after(lasts));
        }
        if let Some(stored) = self.repeats.get(&repeat.key).filter(|stored| stored.until > now) {
            return if stored.request == repeat.request {
                Repeated::Answered { entry: Arc::clone(&stored.entry), age: now.since(stored.since) }
            } else {
                Repeated::Conflict
            };
        }
        match self.running.get(&repeat.key).filter(|running| running.until > now) {
            Some(running) if running.request == repeat.request => Repeated::Running,
            Some(_) => Repeated::Conflict,
            None => Repeated::First,
        }
    }

    pub(crate) fn find(&self, key: &Fingerprint) -> Key {
        Key { running: self.running.get(key).copied(), answered: self.repeats.get(key).cloned() }
    }

    /// Takes in what was kept of an idempotency key. Gives the keys whose answers are not kept for want of room.
    pub(crate) fn restore(&mut self, key: Fingerprint, known: Key) -> Vec<Fingerprint> {
        let Key { running, answered } = known;
        self.running.extend(running.map(|running| (key, running)));
        let Some(stored) = answered else { return Vec::new() };
        // What comes back was kept by an object of one tenant.
        self.repeats.insert("", key, stored)
    }

    /// The call `id` is the first with its key, and has it for so long.
    pub(crate) fn begin(&mut self, repeat: &Repeat, id: u64, lasts: Duration, now: Instant) {
        self.running.retain(|_, running| running.until > now);
        self.forget_answer(&repeat.key);
        let until = now.after(lasts);
        self.running.insert(repeat.key, Running { request: repeat.request, id, until });
    }

    /// The call `id` is still under way, and has its key from now on, unless somebody else has taken it over.
    pub(crate) fn renew(&mut self, repeat: &Repeat, id: u64, lasts: Duration, now: Instant) {
        if !self.is_anothers(&repeat.key, id, now) {
            self.begin(repeat, id, lasts, now);
        }
    }

    /// What was answered to a key that is used anew has ended, whatever clock comes.
    fn forget_answer(&mut self, key: &Fingerprint) {
        if let Some(stored) = self.repeats.get_mut(key) {
            stored.until = Instant::default();
        }
    }

    /// Whether the key is answered, or another call's than `id`.
    fn is_anothers(&self, key: &Fingerprint, id: u64, now: Instant) -> bool {
        self.running.get(key).is_some_and(|running| running.id != id && running.until > now)
            || self.repeats.get(key).is_some_and(|stored| stored.until > now)
    }

    /// The call `id` of a tenant is over: what it was answered is kept, or its keys are free again. Gives the
    /// idempotency keys whose answers made room.
    pub(crate) fn keep(
        &mut self,
        tenant: &str,
        keeping: &Keeping,
        id: u64,
        now: Instant,
    ) -> Vec<Fingerprint> {
        let entry = keeping.entry.as_ref();
        if let Some((key, life)) = keeping.cache {
            match entry {
                Some(entry) => {
                    self.cache.insert(tenant, key, Stored::new(key, entry, now, life));
                }
                None => {
                    if let Some(stored) = self.cache.get_mut(&key) {
                        stored.refreshing = None;
                    }
                }
            }
        }
        let Some((repeat, life)) = keeping.repeat else { return Vec::new() };
        // A lease that has run out may be somebody else's by now. Where it is nobody's, the answer is worth keeping still.
        if self.is_anothers(&repeat.key, id, now) {
            return Vec::new();
        }
        self.running.remove(&repeat.key);
        self.forget_answer(&repeat.key);
        let Some(entry) = entry else { return Vec::new() };
        self.repeats.insert(tenant, repeat.key, Stored::new(repeat.request, entry, now, life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fingerprint::Framed;
    use crate::cache::{Entry, Policy};
    use crate::dialect::endpoint::{Form, Operation};
    use crate::limits::account::HELD;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn key(name: u64) -> Fingerprint {
        Framed::new("test").field("name", &name.to_be_bytes()).finish()
    }

    fn entry(size: usize) -> Arc<Entry> {
        Arc::new(Entry {
            operation: Operation::Chat,
            form: Form::Whole,
            content_type: "application/json".into(),
            model: "m".into(),
            body: vec![b'x'; size].into(),
        })
    }

    fn cached(name: u64, size: usize) -> Keeping {
        Keeping {
            entry: Some(entry(size)),
            cache: Some((key(name), Duration::from_mins(5))),
            ..Keeping::default()
        }
    }

    fn recall(name: u64) -> Recall {
        let policy = Policy { stale_while_revalidate: Duration::from_mins(1), ..Policy::default() };
        let window = policy.window(crate::cache::Directives::default()).unwrap();
        Recall { key: key(name), window, place: policy.place }
    }

    #[test]
    fn what_is_kept_is_bounded_by_bytes() {
        let mut answers = Answers::new(1 << 20, 1 << 20);
        for name in 0..10_000 {
            answers.keep("t", &cached(name, 1000), name, at(1));
        }
        assert!(answers.weight() <= 1 << 20, "{}", answers.weight());
        answers.keep("t", &cached(10_001, 2 << 20), 0, at(1));
        assert!(answers.recall(&recall(10_001), at(1)).is_none(), "larger than all there is");
        answers.resize(0);
        assert_eq!(answers.weight(), 0);
    }

    #[test]
    fn an_answer_grows_old_and_one_caller_fetches_a_new_one() {
        let mut answers = Answers::new(1 << 20, 1 << 20);
        let mut keeping = cached(1, 10);
        keeping.cache = Some((key(1), Duration::from_mins(6)));
        answers.keep("t", &keeping, 1, at(0));
        let freshness = |answers: &mut Answers, second| {
            answers
                .recall(&recall(1), at(second))
                .map(|recalled| (recalled.freshness, recalled.age.as_secs()))
        };
        assert_eq!(freshness(&mut answers, 299), Some((Freshness::Fresh, 299)));
        assert_eq!(freshness(&mut answers, 300), Some((Freshness::Revalidate, 300)));
        assert_eq!(freshness(&mut answers, 360), None);
        let refreshes = |answers: &mut Answers, second| {
            answers.recall(&recall(1), at(second)).is_some_and(|recalled| recalled.refresh)
        };
        assert!(!refreshes(&mut answers, 299) && refreshes(&mut answers, 300));
        answers.lease_refresh(&key(1), at(300));
        assert!(!refreshes(&mut answers, 301));
        answers.keep("t", &Keeping { entry: None, ..keeping.clone() }, 2, at(302));
        assert!(refreshes(&mut answers, 303), "it came to nothing, so another may try");
        answers.lease_refresh(&key(1), at(290));
        assert!(refreshes(&mut answers, 350), "it was never heard of again");
        answers.keep("t", &keeping, 3, at(364));
        assert_eq!(freshness(&mut answers, 365), Some((Freshness::Fresh, 1)));
    }

    #[test]
    fn a_key_belongs_to_one_request() {
        let mut answers = Answers::new(1 << 20, 1 << 20);
        let (first, other) =
            (Repeat { key: key(1), request: key(2) }, Repeat { key: key(1), request: key(3) });
        let keeping = Keeping {
            entry: Some(entry(10)),
            repeat: Some((first, Duration::from_hours(1))),
            ..Keeping::default()
        };
        assert_eq!(answers.repeated(&first, HELD, at(0)), Repeated::First);
        answers.begin(&first, 7, HELD, at(0));
        assert_eq!(answers.repeated(&first, HELD, at(1)), Repeated::Running);
        assert_eq!(answers.repeated(&other, HELD, at(1)), Repeated::Conflict);
        assert_eq!(answers.repeated(&first, HELD, at(30)), Repeated::First, "nobody settled it");
        answers.keep("t", &Keeping { entry: None, ..keeping.clone() }, 7, at(2));
        assert_eq!(
            answers.repeated(&other, HELD, at(3)),
            Repeated::First,
            "without an answer the key is free"
        );
        answers.begin(&first, 8, HELD, at(4));
        answers.keep("t", &keeping, 7, at(5));
        assert_eq!(answers.repeated(&first, HELD, at(5)), Repeated::Running, "it was another call's");
        answers.renew(&first, 7, HELD, at(5));
        answers.renew(&first, 8, HELD, at(33));
        assert_eq!(answers.repeated(&first, HELD, at(62)), Repeated::Running, "it has said that it is there");
        answers.begin(&first, 9, HELD, at(63));
        answers.keep("t", &keeping, 8, at(64));
        answers.renew(&first, 8, HELD, at(64));
        answers.keep("t", &Keeping { entry: None, ..keeping.clone() }, 9, at(65));
        assert_eq!(answers.repeated(&other, HELD, at(65)), Repeated::First, "another had taken over");
        // Nobody has taken over: the answer is kept, however late it comes.
        answers.begin(&first, 8, HELD, at(30));
        answers.keep("t", &keeping, 8, at(66));
        assert!(
            matches!(answers.repeated(&first, HELD, at(67)), Repeated::Answered { age, .. } if age.as_secs() == 1)
        );
        assert_eq!(answers.repeated(&other, HELD, at(67)), Repeated::Conflict);
        assert_eq!(answers.repeated(&other, HELD, at(3666)), Repeated::First);
    }
}

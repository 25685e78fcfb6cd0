//! How a desk outlives the object that runs it: in batches behind its answers, and read again when it begins.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Desk;
use super::record::{Name, Record};
use super::write_back::{Changes, MOST_KEYS, MOST_VALUE, part_key, part_of};
use crate::store::embedded::owners::LIFE;
use crate::time::Instant;

/// A closed breaker that nobody has said anything to for so long has nothing to remember, and a budget of retries
/// begins anew.
const QUIET: Duration = Duration::from_hours(1);

impl Desk {
    /// What was written of it, whatever it is by now: all keys and values that there are, in any order. What cannot be
    /// read is missing, is counted ([`Desk::faults`]), and is deleted with the next changes.
    pub fn restore(entries: impl IntoIterator<Item = (String, Vec<u8>)>, now: Instant) -> Self {
        let mut desk = Self::new(now);
        let mut records: BTreeMap<String, BTreeMap<usize, Vec<u8>>> = BTreeMap::new();
        for (key, value) in entries {
            let (record, part) = part_of(&key);
            records.entry(record.to_owned()).or_default().insert(part, value);
        }
        let mut keys = Vec::new();
        for (key, parts) in records {
            let bytes = parts.values().map(Vec::as_slice).collect::<Vec<_>>().concat();
            let record = Record::read(&bytes).ok().filter(|record| record.name().key() == key);
            if let Some(record) = record {
                desk.shelf.found(&record.name(), parts.len(), &bytes, record.ends(now));
                match record {
                    Record::Key { key, known } => keys.push((known.ends(), key, known)),
                    record => desk.take_in(record, now),
                }
            } else {
                desk.faults += 1;
                desk.shelf.discard(parts.keys().map(|part| part_key(&key, *part)), now);
            }
        }
        // What ends first has come first, and makes room first.
        keys.sort_by_key(|(ends, key, _)| (*ends, *key));
        for (_, key, known) in keys {
            desk.take_in(Record::Key { key, known }, now);
        }
        desk
    }

    /// What is to be written now, as one; to be asked again until it is empty. A record that has not changed is not
    /// among it, and one that means nothing any more is deleted.
    pub fn changes(&mut self, now: Instant) -> Changes {
        let Self { accounts, answers, breakers, owners, retries, shelf, .. } = self;
        shelf.changes(now, |name| {
            let record = match name {
                Name::Account(scope) => {
                    let (account, limits) = accounts.find(scope)?;
                    Record::Account { scope: scope.clone(), account: account.clone(), limits: limits.clone() }
                }
                Name::Key(key) => Record::Key { key: *key, known: answers.find(key) },
                // Calls that went well mean something for a few seconds only, and their models' names may be made up.
                Name::Breaker(name) => {
                    let breaker = breakers.find(name).filter(|breaker| breaker.has_seen_faults())?;
                    Record::Breaker { name: name.clone(), breaker: breaker.clone() }
                }
                Name::Order(name) => Record::Order { name: name.clone(), held: breakers.ordered(name, now)? },
                Name::Retries => Record::Retries { budget: *retries },
                Name::Object { tenant, object } => {
                    let named = owners.find(tenant, object)?;
                    Record::Object { tenant: *tenant, object: *object, named }
                }
            };
            let bytes = record.write();
            // Longer ones are kept in memory alone.
            (bytes.len() <= MOST_KEYS * MOST_VALUE).then(|| (bytes, record.ends(now)))
        })
    }

    /// The last [`Self::changes`] could not be written: they are changes still.
    pub fn unwritten(&mut self, now: Instant) {
        self.shelf.unwritten(now);
    }

    /// When [`Self::changes`] should be asked for next: a second behind the first change, or some time after something
    /// has lost its meaning. `None`: not before it is asked something again.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.shelf.due()
    }

    fn take_in(&mut self, record: Record, now: Instant) {
        match record {
            Record::Account { scope, account, limits } => self.accounts.restore(scope, account, limits),
            Record::Key { key, known } => {
                for key in self.answers.restore(key, known) {
                    self.shelf.touch(Name::Key(key), now);
                }
            }
            Record::Breaker { name, breaker } => self.breakers.restore(name, breaker),
            Record::Order { name, held } => self.breakers.restore_order(name, held),
            Record::Retries { budget } => self.retries = budget,
            Record::Object { tenant, object, named } => self.owners.restore(tenant, object, named),
        }
    }
}

impl Record {
    /// When it means nothing any more, if it does not change.
    fn ends(&self, now: Instant) -> Instant {
        match self {
            Self::Account { account, limits, .. } => account.ends(limits),
            Self::Key { known, .. } => known.ends(),
            Self::Breaker { breaker, .. } => breaker.ends().max(now.after(QUIET)),
            Self::Order { held, .. } => held.until.unwrap_or(Instant::from_micros(u64::MAX)),
            Self::Retries { .. } => now.after(QUIET),
            Self::Object { named, .. } => named.after(LIFE),
        }
    }
}

//! What one request counted, for a store that adds it up.

use std::collections::BTreeMap;

use super::field::{self, Part};
use super::{Family, Kind, Sink};

/// Fields of one hash, each with what is to be added to it. Nothing but sums, so tallies come in any order.
///
/// Gauges are not in it: an instance that is killed would never take back what it put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    fields: BTreeMap<String, u64>,
}

impl Tally {
    /// Each field once. They are text without line breaks other than those of labels.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.fields.iter().map(|(field, by)| (field.as_str(), *by))
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: Self) {
        for (field, by) in other.fields {
            self.add(field, by);
        }
    }

    fn add(&mut self, field: String, by: u64) {
        let sum = self.fields.entry(field).or_default();
        *sum = sum.saturating_add(by);
    }
}

impl Sink for Tally {
    fn count(&mut self, family: Family, labels: &[&str], by: u64) {
        self.add(field::encode(family, Part::Whole, labels), by);
    }

    fn shift(&mut self, _: Family, _: &[&str], _: i64) {}

    fn observe(&mut self, family: Family, labels: &[&str], value: u64) {
        let Kind::Histogram(grain) = family.kind() else { return };
        self.add(field::encode(family, Part::Bucket(grain.bucket(value)), labels), 1);
        self.add(field::encode(family, Part::Sum, labels), value);
    }
}

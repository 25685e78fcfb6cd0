//! What is counted, under which names: one definition for every shell.
//!
//! A [`Family`] is a name with its help, labels and buckets. [`event`] and [`record`] say what there is to count in
//! what happened; they tell it to a [`Sink`]. A shell whose process lives long has a sink that keeps numbers. A
//! shell that is born with each request has a [`Tally`], which its store adds up field by field. [`Exposition`]
//! prints either.
//!
//! Labels are names from the configuration or from short lists, never what a client or an upstream makes up: no
//! caller can make the numbers grow in kind, and no prompt can get into them.
//!
//! Everything is a whole number ([`Grain`]): sums of many processes come out the same in any order.

mod breakers;
mod exposition;
mod family;
mod field;
mod mapping;
mod tally;
#[cfg(test)]
mod tests;

pub use self::breakers::breakers;
pub use self::exposition::{CONTENT_TYPE, Exposition};
pub use self::family::{Family, Grain, Kind};
pub use self::mapping::{event, record};
pub use self::tally::Tally;

/// Where the numbers go. Labels are the values, in the order of [`Family::labels`].
pub trait Sink {
    /// To a [`Kind::Counter`].
    fn count(&mut self, family: Family, labels: &[&str], by: u64);

    /// To a [`Kind::Gauge`].
    fn shift(&mut self, family: Family, labels: &[&str], by: i64);

    /// To a [`Kind::Histogram`], in its grain.
    fn observe(&mut self, family: Family, labels: &[&str], value: u64);
}

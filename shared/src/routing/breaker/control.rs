//! What an operator may change while the gateway runs, beginning with breakers.
//!
//! An override holds a breaker open or closed, whatever its calls say, until it is released or its time is
//! over. What its calls say goes on being counted beneath, so a release gives the breaker back as it would be
//! by then. Control lives in the store and is read in the one operation before the upstream call: every replica
//! sees an order at its next request.
//!
//! An override of an upstream's breaker holds for the breakers of its models as well: one order stops an
//! upstream. Where the two differ, the one that holds open wins, and so does the longer one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::routing::breaker::Gate;
use crate::time::Instant;

/// What an operator holds a breaker to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// Nothing is sent.
    Open,
    /// Everything is sent, and no probe is needed.
    Closed,
}

impl Forced {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// An operator's word on one breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    pub forced: Forced,
    /// `None`: until it is released.
    pub until: Option<Instant>,
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// A breaker's name: `upstream` or `upstream/model`.
    pub breaker: String,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// In place of whatever was ordered before.
    Force {
        forced: Forced,
        /// `None`: until it is released.
        lasting: Option<Duration>,
    },
    /// The breaker decides by itself again.
    Release,
}

impl Change {
    /// As it is written in an order.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Force { forced, .. } => forced.name(),
            Self::Release => "auto",
        }
    }

    pub const fn lasting(self) -> Option<Duration> {
        match self {
            Self::Force { lasting, .. } => lasting,
            Self::Release => None,
        }
    }
}

/// No further override is taken before one of the `most` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub most: usize,
}

/// A breaker, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub breaker: String,
    /// What holds for the next request.
    pub gate: Gate,
    /// What it says by itself, without any operator's word and, where it is a model's, without its upstream's breaker.
    pub automatic: Gate,
    /// What was ordered for this very name.
    pub own: Option<Override>,
}

/// Whose the breaker of this name is: an upstream's, or one of its models'. No upstream's name has a slash in it.
pub(crate) fn upstream_of(breaker: &str) -> &str {
    breaker.split_once('/').map_or(breaker, |(upstream, _)| upstream)
}

impl Entry {
    /// Whose breaker it is.
    pub fn upstream(&self) -> &str {
        upstream_of(&self.breaker)
    }
}

/// Breakers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub entries: Vec<Entry>,
    /// More are open than fit.
    pub has_more: bool,
}

/// The overrides in force, bounded in number. The steps are synchronous; whoever shares them locks them.
#[derive(Debug)]
pub struct Overrides {
    by_name: BTreeMap<String, Override>,
    most: usize,
}

impl Override {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// The one that counts where an upstream's and a model's meet.
    fn stronger(self, other: Self) -> Self {
        let rank = |it: &Self| (it.forced == Forced::Open, it.until.is_none(), it.until);
        if rank(&other) > rank(&self) { other } else { self }
    }
}

impl Overrides {
    pub fn new(most: usize) -> Self {
        Self { by_name: BTreeMap::new(), most }
    }

    /// What holds for `breaker`: its own or its upstream's.
    pub fn find(&self, breaker: &str, now: Instant) -> Option<Override> {
        let own = self.own(breaker, now);
        // No upstream's name has a slash in it.
        let Some((upstream, _)) = breaker.split_once('/') else { return own };
        match (own, self.own(upstream, now)) {
            (Some(own), Some(upstreams)) => Some(own.stronger(upstreams)),
            (own, upstreams) => own.or(upstreams),
        }
    }

    /// What was ordered for this very name.
    pub fn own(&self, breaker: &str, now: Instant) -> Option<Override> {
        self.by_name.get(breaker).copied().filter(|known| known.holds(now))
    }

    /// Takes in what was kept of an order.
    pub(crate) fn restore(&mut self, breaker: String, held: Override) {
        if self.by_name.len() < self.most {
            self.by_name.insert(breaker, held);
        }
    }

    /// The names that something was ordered for.
    pub fn names(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.by_name.iter().filter(move |(_, known)| known.holds(now)).map(|(name, _)| name.as_str())
    }

    /// Does as it is told. A release always fits.
    pub fn obey(&mut self, order: &Order, now: Instant) -> Result<(), Full> {
        let (forced, lasting) = match order.change {
            Change::Force { forced, lasting } => (forced, lasting),
            Change::Release => {
                self.by_name.remove(&order.breaker);
                return Ok(());
            }
        };
        self.by_name.retain(|_, known| known.holds(now));
        if self.by_name.len() >= self.most && !self.by_name.contains_key(&order.breaker) {
            return Err(Full { most: self.most });
        }
        let until = lasting.map(|lasting| now.after(lasting));
        self.by_name.insert(order.breaker.clone(), Override { forced, until });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn force(breaker: &str, forced: Forced, seconds: Option<u64>) -> Order {
        let lasting = seconds.map(Duration::from_secs);
        Order { breaker: breaker.into(), change: Change::Force { forced, lasting } }
    }

    fn release(breaker: &str) -> Order {
        Order { breaker: breaker.into(), change: Change::Release }
    }

    fn obeyed(orders: &[Order]) -> Overrides {
        let mut overrides = Overrides::new(10);
        for order in orders {
            overrides.obey(order, at(0)).unwrap();
        }
        overrides
    }

    #[test]
    fn an_override_holds_until_it_ends_or_is_released() {
        use Forced::{Closed, Open};
        let forever = obeyed(&[force("a", Open, None)]);
        assert_eq!(forever.find("a", at(u64::MAX / 1_000_000)), Some(Override { forced: Open, until: None }));
        let mut short = obeyed(&[force("a", Open, None), force("a", Closed, Some(10))]);
        assert_eq!(short.find("a", at(9)), Some(Override { forced: Closed, until: Some(at(10)) }));
        assert_eq!(short.find("a", at(10)), None, "the later order has replaced the first");
        assert_eq!(short.names(at(10)).count(), 0);
        short.obey(&release("a"), at(5)).unwrap();
        assert_eq!(short.find("a", at(5)), None);
    }

    #[test]
    fn an_upstreams_override_holds_for_its_models() {
        use Forced::{Closed, Open};
        for (label, orders, expected) in [
            ("the upstream's alone", vec![force("a", Open, Some(9))], Some((Open, Some(9)))),
            ("the model's alone", vec![force("a/m", Closed, None)], Some((Closed, None))),
            ("the upstream's is open", vec![force("a", Open, Some(1)), force("a/m", Closed, None)], {
                Some((Open, Some(1)))
            }),
            ("the model's is open", vec![force("a", Closed, None), force("a/m", Open, Some(1))], {
                Some((Open, Some(1)))
            }),
            ("the longer", vec![force("a", Open, Some(1)), force("a/m", Open, Some(9))], {
                Some((Open, Some(9)))
            }),
            ("no end is longer", vec![force("a", Open, None), force("a/m", Open, Some(9))], {
                Some((Open, None))
            }),
            ("another's", vec![force("b", Open, None), force("a/n", Open, None), force("ab", Open, None)], {
                None
            }),
            ("a release of the model's", vec![force("a", Open, None), release("a/m")], Some((Open, None))),
        ] {
            let found = obeyed(&orders).find("a/m", at(0));
            let expected = expected.map(|(forced, until)| Override { forced, until: until.map(at) });
            assert_eq!(found, expected, "{label}");
        }
        assert_eq!(obeyed(&[force("a/m", Open, None)]).find("a", at(0)), None, "never the other way round");
    }

    #[test]
    fn beyond_the_bound_nothing_is_forgotten_and_nothing_new_is_taken() {
        let mut overrides = Overrides::new(2);
        overrides.obey(&force("a", Forced::Open, Some(10)), at(0)).unwrap();
        overrides.obey(&force("b", Forced::Open, None), at(0)).unwrap();
        let third = force("c", Forced::Open, None);
        assert_eq!(overrides.obey(&third, at(0)), Err(Full { most: 2 }));
        overrides.obey(&force("b", Forced::Closed, None), at(0)).unwrap();
        assert_eq!(overrides.obey(&release("never"), at(0)), Ok(()));
        assert_eq!(overrides.names(at(0)).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(overrides.obey(&third, at(10)), Ok(()), "the first has ended");
    }
}

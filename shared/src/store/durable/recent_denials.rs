//! Who was denied a moment ago, as one isolate has seen it.
//!
//! The objects of upstreams are everybody's. A caller over its limit that goes on asking has each of them answer for
//! nothing, and take back what the call has brought: its flood would be theirs, and so the other tenants'. Whoever was
//! denied within the last second asks those first that count it, and the upstreams' objects once it is let in. That is
//! a second round trip, for callers that were told to wait.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::account::Scope;
use crate::store::protocol::{Ask, Opened};
use crate::time::Instant;

/// How long a denial is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Callers at most; beyond that, newcomers are not remembered.
const MOST: usize = 1000;

/// What an isolate remembers for all of its calls.
#[derive(Debug, Default)]
pub struct Denials {
    by_caller: BTreeMap<Scope, Instant>,
}

impl Denials {
    /// Takes note of how a call was opened.
    pub fn note(&mut self, ask: Ask<'_>, opened: &Opened, now: Instant) {
        let Some(caller) = caller(ask).filter(|_| opened.denied.is_some()) else { return };
        if self.by_caller.len() >= MOST {
            self.by_caller.retain(|_, until| until.is_ahead(REMEMBERED, now));
        }
        if self.by_caller.len() < MOST || self.by_caller.contains_key(caller) {
            self.by_caller.insert(caller.clone(), now.after(REMEMBERED));
        }
    }

    /// Whether whoever asks was denied a moment ago.
    pub(super) fn has(&self, ask: Ask<'_>, now: Instant) -> bool {
        let until = caller(ask).and_then(|caller| self.by_caller.get(caller));
        until.is_some_and(|until| until.is_ahead(REMEMBERED, now))
    }
}

/// A caller's own scope is the first; where it has no limits, the route's is.
fn caller(ask: Ask<'_>) -> Option<&Scope> {
    ask.reservation?.scopes.first().map(|(scope, _)| scope)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::ledger::usage::Tokens;
    use crate::limits::Limits;
    use crate::limits::account::{Denied, HELD, Measure, Want};
    use crate::limits::rate::Denial;
    use crate::store::protocol::{Held, Reservation};

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn from(address: u32) -> Reservation {
        let scope = Scope::Address(Ipv4Addr::from_bits(address).into());
        let want = Want { id: 1, tokens: Tokens(0), lasts: HELD };
        Reservation { want, scopes: vec![(scope, Limits::default())], held: Held::InStore }
    }

    #[test]
    fn a_denial_is_remembered_for_a_second_and_a_flood_of_them_takes_no_room() {
        let denial = Denial::NotYet { wait: Duration::from_mins(1) };
        let denied = Some(Denied { measure: Measure::Concurrent(1), used: 1, requested: 1, denial });
        let denied = Opened { denied, ..Opened::default() };
        let mut denials = Denials::default();
        let note = |denials: &mut Denials, address, opened: &Opened, millis| {
            let reservation = from(address);
            denials.note(Ask { reservation: Some(&reservation), ..Ask::default() }, opened, at(millis));
        };
        let has = |denials: &Denials, address, millis| {
            let reservation = from(address);
            denials.has(Ask { reservation: Some(&reservation), ..Ask::default() }, at(millis))
        };
        note(&mut denials, 1, &denied, 0);
        note(&mut denials, 2, &Opened::default(), 0);
        assert_eq!([1, 2].map(|address| has(&denials, address, 999)), [true, false]);
        assert!(!has(&denials, 1, 1000));
        for address in 0..100_000 {
            note(&mut denials, address, &denied, 1000 + u64::from(address) / 100);
        }
        assert!(denials.by_caller.len() <= MOST, "{}", denials.by_caller.len());
    }
}

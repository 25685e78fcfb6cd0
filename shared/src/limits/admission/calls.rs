//! Calls under way by whoever shares an account, from the heads of their requests on; and who was told to wait.

use std::collections::BTreeMap;

use super::Admission;
use crate::limits::Limits;
use crate::limits::account::{CONCURRENT_WAIT, Denied, Left, Measure, Scope};
use crate::limits::rate::{Allowance, Denial};
use crate::time::Instant;

/// Denials that are remembered at most; beyond that newcomers are not, and the store says no to each of their calls.
const MOST_DENIALS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Names the next call.
    next: u64,
    by_scope: BTreeMap<Scope, BTreeMap<u64, Call>>,
    denials: BTreeMap<Scope, Standing>,
    /// When those that are over were forgotten last.
    swept: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    since: Instant,
    /// When it is over should nobody say so.
    expires: Instant,
    is_charged: bool,
}

/// A denial that stands until some time.
#[derive(Clone, Copy, Debug)]
struct Standing {
    denied: Denied,
    left: Left,
    since: Instant,
    until: Instant,
}

/// A call whose head is here.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub now: Instant,
    /// When it will be over in any case.
    pub expires: Instant,
}

/// A call's place among those of its account. Drop gives it back.
#[derive(Debug)]
#[must_use = "a place that is dropped is free again"]
pub struct Place {
    admission: Admission,
    scope: Scope,
    id: u64,
    is_charged: bool,
}

impl Calls {
    pub(super) fn under_way(&self) -> usize {
        self.by_scope.values().map(BTreeMap::len).sum()
    }

    fn enter(
        &mut self,
        scope: &Scope,
        limits: &Limits,
        arrival: Arrival,
    ) -> Result<u64, Box<(Denied, Left)>> {
        let Arrival { now, expires } = arrival;
        if let Some(standing) = self.denials.get(scope) {
            if let Some(refused) = standing.refuses(limits, now) {
                return Err(Box::new(refused));
            }
            self.denials.remove(scope);
        }
        if let Some(calls) = self.by_scope.get_mut(scope) {
            calls.retain(|_, call| call.expires > now);
            check(calls, limits, now).map_err(|denied| Box::new((denied, Left::default())))?;
        }
        let call = Call { since: now, expires, is_charged: limits.requests.is_empty() };
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.by_scope.entry(scope.clone()).or_default().insert(id, call);
        Ok(id)
    }

    fn leave(&mut self, scope: &Scope, id: u64) {
        if let Some(calls) = self.by_scope.get_mut(scope) {
            calls.remove(&id);
            if calls.is_empty() {
                self.by_scope.remove(scope);
            }
        }
    }

    fn deny(&mut self, scope: &Scope, (denied, left): (Denied, Left), now: Instant) {
        let (Measure::Requests(_), Denial::NotYet { wait }) = (denied.measure, denied.denial) else { return };
        // At most once a second, so that a flood cannot make it the main work.
        if self.denials.len() >= MOST_DENIALS && now.since(self.swept).as_secs() > 0 {
            self.swept = now;
            self.denials.retain(|_, standing| standing.until > now);
        }
        if self.denials.len() < MOST_DENIALS || self.denials.contains_key(scope) {
            let until = now.after(wait);
            self.denials.insert(scope.clone(), Standing { denied, left, since: now, until });
        }
    }
}

/// Whether one more call may come beside these. One that is not charged yet counts in the time that a rate speaks of.
fn check(calls: &BTreeMap<u64, Call>, limits: &Limits, now: Instant) -> Result<(), Denied> {
    // When one ends, or is charged, nobody knows; a moment is a fair guess.
    let denial = Denial::NotYet { wait: CONCURRENT_WAIT };
    let used = calls.len() as u64;
    if let Some(most) = limits.concurrent.filter(|most| used >= *most) {
        return Err(Denied { measure: Measure::Concurrent(most), used, requested: 1, denial });
    }
    for rate in &limits.requests {
        let counts = |call: &&Call| !call.is_charged && now.since(call.since) < rate.per;
        let used = calls.values().filter(counts).count() as u64;
        if used >= rate.count {
            return Err(Denied { measure: Measure::Requests(*rate), used, requested: 1, denial });
        }
    }
    Ok(())
}

impl Standing {
    /// What is said to whoever comes before its end; nothing under other limits.
    fn refuses(&self, limits: &Limits, now: Instant) -> Option<(Denied, Left)> {
        let holds = matches!(self.denied.measure, Measure::Requests(rate) if limits.requests.contains(&rate));
        if self.until <= now || now < self.since || !holds {
            return None;
        }
        let wait = self.until.since(now);
        let passed = now.since(self.since);
        let later =
            |allowance: Allowance| Allowance { reset: allowance.reset.saturating_sub(passed), ..allowance };
        let left = Left { requests: self.left.requests.map(later), tokens: self.left.tokens.map(later) };
        Some((Denied { denial: Denial::NotYet { wait }, ..self.denied }, left))
    }
}

impl Admission {
    /// A place for a call of `scope`, whose body has not been read; or why there is none.
    pub fn enter(
        &self,
        scope: &Scope,
        limits: &Limits,
        arrival: Arrival,
    ) -> Result<Place, Box<(Denied, Left)>> {
        let id = self.calls().enter(scope, limits, arrival)?;
        let is_charged = limits.requests.is_empty();
        Ok(Place { admission: self.clone(), scope: scope.clone(), id, is_charged })
    }

    /// The store has told `scope` to wait: for a request of its own, or it is not remembered.
    pub fn deny(&self, scope: &Scope, denied: (Denied, Left), now: Instant) {
        self.calls().deny(scope, denied, now);
    }
}

impl Place {
    /// Whose account it counts for.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The store knows of the call.
    pub fn charged(&mut self) {
        if std::mem::replace(&mut self.is_charged, true) {
            return;
        }
        let mut calls = self.admission.calls();
        let call = calls.by_scope.get_mut(&self.scope).and_then(|calls| calls.get_mut(&self.id));
        if let Some(call) = call {
            call.is_charged = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.calls().leave(&self.scope, self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::limits::rate::Rate;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn caller(name: u32) -> Scope {
        Scope::Address(Ipv4Addr::from_bits(name).into())
    }

    fn limits(requests: Option<u64>, concurrent: Option<u64>) -> Limits {
        let requests = requests.into_iter().map(|count| Rate { count, per: MINUTE }).collect();
        Limits { requests, concurrent, ..Limits::default() }
    }

    fn enter(admission: &Admission, limits: &Limits, now: Instant) -> Result<Place, Denied> {
        let arrival = Arrival { now, expires: now.after(MINUTE) };
        admission.enter(&caller(1), limits, arrival).map_err(|refused| refused.0)
    }

    #[test]
    fn no_more_bodies_are_read_than_calls_may_be_under_way() {
        let (admission, limits) = (Admission::default(), limits(None, Some(2)));
        let mut first = enter(&admission, &limits, at(0)).unwrap();
        first.charged();
        let _second = enter(&admission, &limits, at(0)).unwrap();
        let denied = enter(&admission, &limits, at(0)).unwrap_err();
        assert_eq!((denied.measure, denied.used), (Measure::Concurrent(2), 2));
        drop(first);
        let _third = enter(&admission, &limits, at(0)).unwrap();
        let other = Arrival { now: at(0), expires: at(1) };
        drop(admission.enter(&caller(2), &limits, other).unwrap());
        let _later = enter(&admission, &limits, at(60_000)).expect("what nobody ends ends by itself");
    }

    #[test]
    fn no_more_bodies_are_read_than_requests_may_come() {
        let (admission, limits) = (Admission::default(), limits(Some(2), None));
        let mut first = enter(&admission, &limits, at(0)).unwrap();
        let _second = enter(&admission, &limits, at(0)).unwrap();
        let denied = enter(&admission, &limits, at(0)).unwrap_err();
        assert_eq!((denied.measure, denied.used), (Measure::Requests(limits.requests[0]), 2));
        first.charged();
        let _third = enter(&admission, &limits, at(0)).unwrap();
        assert!(enter(&admission, &limits, at(0)).is_err());
    }

    /// The store would charge it to a time in which nothing else has come.
    #[test]
    fn a_body_that_takes_longer_than_a_rate_speaks_of_keeps_nobody_out() {
        let (admission, limits) = (Admission::default(), limits(Some(1), None));
        let arrival = Arrival { now: at(0), expires: at(600_000) };
        let _slow = admission.enter(&caller(1), &limits, arrival).unwrap();
        assert!(enter(&admission, &limits, at(59_999)).is_err());
        assert!(enter(&admission, &limits, at(60_000)).is_ok());
    }

    #[test]
    fn whoever_was_told_to_wait_is_not_read_before() {
        let (admission, limits) = (Admission::default(), limits(Some(2), None));
        let rate = limits.requests[0];
        let wait = Duration::from_secs(20);
        let denied = Denied {
            measure: Measure::Requests(rate),
            used: 2,
            requested: 1,
            denial: Denial::NotYet { wait },
        };
        let left = Left { requests: Some(Allowance { limit: 2, remaining: 0, reset: wait }), tokens: None };
        admission.deny(&caller(1), (denied, left), at(0));
        let arrival = Arrival { now: at(15_000), expires: at(99_000) };
        let (denied, left) = *admission.enter(&caller(1), &limits, arrival).unwrap_err();
        assert_eq!(denied.denial, Denial::NotYet { wait: Duration::from_secs(5) });
        assert_eq!(left.requests.unwrap().reset, Duration::from_secs(5));
        assert!(enter(&admission, &self::limits(Some(9), None), at(15_000)).is_ok(), "the limit is another");
        admission.deny(&caller(1), (denied, left), at(15_000));
        assert!(enter(&admission, &limits, at(20_000)).is_ok(), "the time is over");
        for measure in [Measure::Tokens(rate), Measure::Concurrent(1)] {
            admission.deny(&caller(1), (Denied { measure, ..denied }, left), at(20_000));
            assert!(enter(&admission, &limits, at(20_000)).is_ok(), "a smaller call may go");
        }
    }

    #[test]
    fn a_flood_of_denials_takes_no_room() {
        let admission = Admission::default();
        let rate = Rate { count: 1, per: MINUTE };
        let denial = Denial::NotYet { wait: MINUTE };
        let denied = Denied { measure: Measure::Requests(rate), used: 1, requested: 1, denial };
        for name in 0..50_000 {
            admission.deny(&caller(name), (denied, Left::default()), at(1000));
        }
        assert_eq!(admission.calls().denials.len(), MOST_DENIALS);
        admission.deny(&caller(50_000), (denied, Left::default()), at(61_000));
        assert_eq!(admission.calls().denials.len(), 1, "what is over is forgotten");
    }
}

//! When a call is tried again, where, and after how long.
//!
//! One counter and one deadline run across retries and fallbacks, and nothing is tried again once the client
//! has a byte. What a fleet of clients may add in load is bounded by a budget (Finagle's and Linkerd's): 20 %
//! of the requests and ten a second.

use std::time::Duration;

use http::HeaderMap;

use crate::ledger::failure::Condition;
use crate::random::below;
use crate::time::{Instant, UnixMillis, parse_go_duration};
use crate::wire::headers::named_retry_after;
use crate::wire::pack::packed;

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub policy: &'a Retry,
    /// When the next candidate may be taken.
    pub fallback_on: &'a [Condition],
    pub condition: Condition,
    /// Whether the candidate that failed may be asked again.
    pub again: Again,
    pub retry_after: Option<Duration>,
    /// Attempts so far, at least one.
    pub attempts: u32,
    /// How many of them in a row were made at the candidate that failed.
    pub attempts_here: u32,
    /// Index of the candidate that failed, and how many there are.
    pub candidate: usize,
    pub candidates: usize,
    /// Until the deadline.
    pub left: Duration,
    /// The request can be sent once more: its body is still here.
    pub replayable: bool,
}

/// How often a candidate that has failed is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It would say the same: a refused credential, a spent quota, an upstream that says so.
    Never,
    Once,
    AsOftenAsThePolicySays,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Try { candidate: usize, wait: Duration },
    GiveUp,
}

impl Situation<'_> {
    /// Another candidate is taken at once; the same one after a wait.
    pub fn next(&self, roll: u64) -> Next {
        if self.attempts >= self.policy.attempts || !self.replayable || self.left.is_zero() {
            return Next::GiveUp;
        }
        if self.candidate + 1 < self.candidates && self.fallback_on.contains(&self.condition) {
            return Next::Try { candidate: self.candidate + 1, wait: Duration::ZERO };
        }
        let worth_waiting_for = match self.again {
            Again::Never => false,
            Again::Once => self.attempts_here < 2,
            Again::AsOftenAsThePolicySays => true,
        };
        let named = self.retry_after.unwrap_or_default();
        let wait = self.backoff(roll).max(named);
        if worth_waiting_for && named <= self.policy.max_wait && wait < self.left {
            Next::Try { candidate: self.candidate, wait }
        } else {
            Next::GiveUp
        }
    }

    /// Exponential, full jitter: anywhere between nothing and the step.
    fn backoff(&self, roll: u64) -> Duration {
        let doublings = self.attempts.saturating_sub(1).min(16);
        let step = self.policy.backoff.saturating_mul(1 << doublings).min(self.policy.max_wait);
        let micros = u64::try_from(step.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(below(roll, micros.saturating_add(1)))
    }
}

/// Whether an upstream says that asking it again is useless.
pub fn is_useless(headers: &HeaderMap) -> bool {
    headers
        .get("x-should-retry")
        .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"false"))
}

/// When the upstream wants to be asked again, in all the forms upstreams have for it: `told` in the body of its error;
/// `now` is for dates.
pub fn retry_after(headers: &HeaderMap, told: Option<Duration>, now: UnixMillis) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    named_retry_after(headers, now).or(told).or_else(|| {
        // Of the limits that are spent, the one that takes longest.
        ["requests", "tokens"]
            .into_iter()
            .filter(|what| text(&format!("x-ratelimit-remaining-{what}")) == Some("0"))
            .filter_map(|what| parse_go_duration(text(&format!("x-ratelimit-reset-{what}"))?))
            .max()
    })
}

/// What a process may spend on retries.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    /// In thousandths of a retry.
    balance: u64,
    at: Instant,
}

packed!(struct RetryBudget { balance, at } if |budget| budget.balance <= Self::MOST);

impl RetryBudget {
    const RETRY: u64 = 1000;
    /// A fifth of a retry for each request.
    const DEPOSIT: u64 = 200;
    const FLOOR_PER_SECOND: u64 = 10 * Self::RETRY;
    /// What a quiet time may save up: ten seconds of the floor.
    const MOST: u64 = 10 * Self::FLOOR_PER_SECOND;

    /// Starts with one second of the floor.
    pub const fn new(now: Instant) -> Self {
        Self { balance: Self::FLOOR_PER_SECOND, at: now }
    }

    /// A request came. Gives what was added, in thousandths of a retry.
    pub fn deposit(&mut self, now: Instant) -> u64 {
        self.deposit_for(1, now)
    }

    /// So many requests came.
    pub fn deposit_for(&mut self, requests: u32, now: Instant) -> u64 {
        self.refill(now);
        let before = self.balance;
        self.balance = (before + Self::DEPOSIT * u64::from(requests)).min(Self::MOST);
        self.balance - before
    }

    /// The request was none: what was added for it is taken away again.
    pub fn take_back(&mut self, thousandths: u64) {
        self.balance = self.balance.saturating_sub(thousandths);
    }

    /// Whether one more retry is allowed; if so it is spent.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.refill(now);
        let allowed = self.balance >= Self::RETRY;
        if allowed {
            self.balance -= Self::RETRY;
        }
        allowed
    }

    fn refill(&mut self, now: Instant) {
        // A time from the future is of a clock that was ahead.
        self.at = self.at.min(now);
        let micros = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        // Thousandths a microsecond are small: time is spent only for what was granted.
        let granted = micros.saturating_mul(Self::FLOOR_PER_SECOND) / 1_000_000;
        if granted > 0 {
            self.balance = self.balance.saturating_add(granted).min(Self::MOST);
            self.at = now;
        }
    }
}

/// How often and how patiently a call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, 1 to 3. Default 3.
    pub attempts: u32,
    /// First step of the exponential back-off, full jitter. Default 100 ms.
    pub backoff: Duration,
    /// Longest wait for one upstream to be ready again; a longer Retry-After ends the call. Default 5 s.
    pub max_wait: Duration,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const POLICY: Retry =
        Retry { attempts: 3, backoff: Duration::from_millis(100), max_wait: Duration::from_secs(5) };

    const ALL: &[Condition] = &[
        Condition::Connect,
        Condition::Timeout,
        Condition::RateLimit,
        Condition::ServerError,
        Condition::Credentials,
        Condition::Quota,
        Condition::BadAnswer,
    ];

    fn failed() -> Situation<'static> {
        Situation {
            policy: &POLICY,
            fallback_on: ALL,
            condition: Condition::ServerError,
            again: Again::AsOftenAsThePolicySays,
            retry_after: None,
            attempts: 1,
            attempts_here: 1,
            candidate: 0,
            candidates: 1,
            left: Duration::from_mins(1),
            replayable: true,
        }
    }

    #[test]
    fn the_next_candidate_is_taken_at_once() {
        let next = Situation { candidates: 2, ..failed() }.next(u64::MAX);
        assert_eq!(next, Next::Try { candidate: 1, wait: Duration::ZERO });
    }

    #[test]
    fn a_lone_candidate_is_waited_for() {
        let full = |attempts| Situation { attempts, ..failed() }.next(u64::MAX);
        assert_eq!(full(1), Next::Try { candidate: 0, wait: Duration::from_millis(100) });
        assert_eq!(full(2), Next::Try { candidate: 0, wait: Duration::from_millis(200) });
        assert_eq!(failed().next(0), Next::Try { candidate: 0, wait: Duration::ZERO });
    }

    #[test]
    fn retry_after_is_honoured_up_to_a_bound() {
        let after = |wait| Situation { retry_after: Some(Duration::from_secs(wait)), ..failed() }.next(0);
        assert_eq!(after(4), Next::Try { candidate: 0, wait: Duration::from_secs(4) });
        assert_eq!(after(6), Next::GiveUp);
    }

    #[test]
    fn there_is_an_end_to_trying() {
        for (situation, why) in [
            (Situation { attempts: 3, candidates: 9, ..failed() }, "three attempts are made"),
            (Situation { replayable: false, ..failed() }, "the body has gone"),
            (Situation { left: Duration::ZERO, ..failed() }, "the deadline is here"),
            (Situation { left: Duration::ZERO, candidates: 2, ..failed() }, "for others as well"),
            (Situation { again: Again::Never, ..failed() }, "it would say the same"),
            (Situation { again: Again::Once, attempts: 2, attempts_here: 2, ..failed() }, "once was enough"),
        ] {
            assert_eq!(situation.next(1), Next::GiveUp, "{why}");
        }
        let once = Situation { again: Again::Once, attempts: 2, ..failed() };
        assert!(matches!(once.next(0), Next::Try { .. }), "the attempt before was made elsewhere");
        let elsewhere = Situation { again: Again::Never, candidates: 2, ..failed() }.next(0);
        assert_eq!(elsewhere, Next::Try { candidate: 1, wait: Duration::ZERO }, "another may know better");
        let narrow = Situation { candidates: 2, fallback_on: &[Condition::Connect], ..failed() };
        assert!(matches!(narrow.next(0), Next::Try { candidate: 0, .. }), "not a reason to fall back");
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let now = UnixMillis(784_111_777_000);
        for (headers, told, expected) in [
            (&[("retry-after", "2")][..], None, Some(2000)),
            (&[("retry-after", "0.5")], None, Some(500)),
            (&[("retry-after", "2"), ("retry-after-ms", "1500")], None, Some(1500)),
            (&[("x-ms-retry-after-ms", "20")], None, Some(20)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], None, Some(10_000)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT")], None, Some(0)),
            (&[("retry-after", "soon")], None, None),
            (&[("retry-after", "-1")], None, None),
            (&[("retry-after", "1e300")], None, None),
            (&[], Some(3000), Some(3000)),
            (&[("retry-after", "2")], Some(3000), Some(2000)),
            (
                &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "1m2.5s")],
                None,
                Some(62_500),
            ),
            (&[("x-ratelimit-remaining-tokens", "9"), ("x-ratelimit-reset-tokens", "1m2.5s")], None, None),
            (&[], None, None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            let millis = |wait: Option<u64>| wait.map(Duration::from_millis);
            assert_eq!(retry_after(&map, millis(told), now), millis(expected), "{headers:?} {told:?}");
        }
    }

    proptest! {
        /// Invariant 3, the budget's part of it.
        #[test]
        fn retries_stay_within_a_fifth_of_the_requests_and_the_floor(
            steps in proptest::collection::vec((0_u64..200_000, any::<bool>()), 1..400),
        ) {
            let start = Instant::from_micros(0);
            let mut budget = RetryBudget::new(start);
            let (mut now, mut requests, mut retries) = (0, 0_u64, 0_u64);
            for (pause, is_request) in steps {
                now += pause;
                if is_request {
                    requests += 1;
                    budget.deposit(Instant::from_micros(now));
                } else if budget.withdraw(Instant::from_micros(now)) {
                    retries += 1;
                }
            }
            let floor = 10 + 10 * now / 1_000_000;
            prop_assert!(retries * 5 <= requests + floor * 5 + 5, "{retries} retries, {requests} requests");
        }
    }
}

//! Deployments that refuse to be asked for the usage of a stream.
//!
//! An upstream that does not know `stream_options` refuses the whole call for it. The call is then sent as the client
//! sent it, and a shell whose requests share a process remembers that, so that the next one need not be refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::time::Instant;

/// Deployments that are remembered; beyond it the one that was learned first is forgotten.
const MOST: usize = 1024;

/// How long one is remembered: upstreams learn.
const KEPT: Duration = Duration::from_hours(1);

/// What a process has learned. A clone is another handle to it.
#[derive(Clone, Default)]
pub struct UsageRefusals(Arc<Mutex<BTreeMap<(String, String), Instant>>>);

impl fmt::Debug for UsageRefusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageRefusals").finish_non_exhaustive()
    }
}

impl UsageRefusals {
    pub(crate) fn is_known(&self, upstream: &str, model: &str, now: Instant) -> bool {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.is_empty() {
            return false;
        }
        let deployment = (upstream.to_owned(), model.to_owned());
        let is_known = learned.get(&deployment).is_some_and(|at| now.since(*at) < KEPT);
        if !is_known {
            learned.remove(&deployment);
        }
        is_known
    }

    pub(crate) fn note(&self, upstream: &str, model: &str, now: Instant) {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        learned.insert((upstream.to_owned(), model.to_owned()), now);
        if learned.len() > MOST {
            let first = learned.iter().min_by_key(|(_, at)| **at).map(|(deployment, _)| deployment.clone());
            if let Some(first) = first {
                learned.remove(&first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_of_its_deployment_for_an_hour() {
        let (refusals, start) = (UsageRefusals::default(), Instant::default());
        assert!(!refusals.is_known("a", "m", start));
        refusals.note("a", "m", start);
        for (upstream, model, after, expected) in [
            ("a", "m", Duration::ZERO, true),
            ("a", "n", Duration::ZERO, false),
            ("b", "m", Duration::ZERO, false),
            ("a", "m", KEPT.saturating_sub(Duration::from_millis(1)), true),
            ("a", "m", KEPT, false),
        ] {
            assert_eq!(
                refusals.is_known(upstream, model, start.after(after)),
                expected,
                "{upstream} {model}"
            );
        }
    }

    #[test]
    fn what_was_learned_first_is_forgotten_beyond_the_bound() {
        let (refusals, start) = (UsageRefusals::default(), Instant::default());
        for number in 0..=MOST {
            let after = Duration::from_millis(number as u64);
            refusals.note("a", &number.to_string(), start.after(after));
        }
        let now = start.after(Duration::from_secs(2));
        assert!(!refusals.is_known("a", "0", now));
        assert!(refusals.is_known("a", "1", now));
        assert!(refusals.is_known("a", &MOST.to_string(), now));
    }
}

//! Who makes a call that several replicas want: one at a time, for as long as it says that it is still there.
//!
//! A leader that dies is silent, and its lease ends by itself. A leader that is done leaves its name behind
//! for a moment: who has waited for it and finds no answer knows then that there is none, and goes on without
//! waiting for the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fingerprint::Fingerprint;
use crate::platform::{Lease, Leased, Release};
use crate::time::Instant;

/// Longer than anybody pauses between two looks.
const REMEMBERED: Duration = Duration::from_secs(5);

/// The leases of an embedded store; as many as there are calls, and each ends by itself.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<Fingerprint, Turn>);

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// Who makes the call.
    leader: Option<Until>,
    /// Who made it before.
    past: Option<Until>,
}

/// The call `id`, until then.
#[derive(Clone, Copy, Debug)]
struct Until {
    id: u64,
    end: Instant,
}

impl Leases {
    /// Who makes the call, if somebody asks who has waited for `awaited`. Nothing is changed.
    pub(super) fn look(&self, lease: &Lease, awaited: Option<u64>, now: Instant) -> Leased {
        let turn = self.0.get(&lease.key).copied().unwrap_or_default();
        let is_over = |past: Until| Some(past.id) == awaited && past.end > now;
        match turn.leader.filter(|leader| leader.end > now) {
            _ if turn.past.is_some_and(is_over) => Leased::Nobody,
            Some(leader) => Leased::Elsewhere { id: leader.id },
            None => Leased::Own,
        }
    }

    /// The call `id` leads from now on.
    pub(super) fn take(&mut self, lease: &Lease, id: u64, now: Instant) {
        let is_current = |until: Option<Until>| until.is_some_and(|until| until.end > now);
        self.0.retain(|_, turn| is_current(turn.leader) || is_current(turn.past));
        let leader = Until { id, end: now.after(lease.span) };
        self.0.entry(lease.key).or_default().leader = Some(leader);
    }

    /// `false`: it is not its own any more.
    pub(super) fn renew(&mut self, lease: &Lease, id: u64, now: Instant) -> bool {
        let own = self.own(lease, id, now).and_then(|turn| turn.leader.as_mut());
        let is_own = own.is_some();
        if let Some(leader) = own {
            leader.end = now.after(lease.span);
        }
        is_own
    }

    /// The call `id` is over.
    pub(super) fn release(&mut self, lease: &Lease, release: Release, id: u64, now: Instant) {
        let Some(turn) = self.own(lease, id, now) else { return };
        turn.leader = None;
        match release {
            Release::Spent => turn.past = Some(Until { id, end: now.after(REMEMBERED) }),
            Release::Free => {}
        }
    }

    fn own(&mut self, lease: &Lease, id: u64, now: Instant) -> Option<&mut Turn> {
        let is_own = |leader: Until| leader.id == id && leader.end > now;
        self.0.get_mut(&lease.key).filter(|turn| turn.leader.is_some_and(is_own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Framed;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn lease() -> Lease {
        Lease { key: Framed::new("test").finish(), span: Duration::from_secs(3) }
    }

    #[test]
    fn one_leads_until_it_is_heard_of_no_more() {
        let (mut leases, lease) = (Leases::default(), lease());
        assert_eq!(leases.look(&lease, None, at(0)), Leased::Own);
        leases.take(&lease, 1, at(0));
        assert_eq!(leases.look(&lease, None, at(2)), Leased::Elsewhere { id: 1 });
        assert!(leases.renew(&lease, 1, at(2)) && !leases.renew(&lease, 2, at(2)));
        assert_eq!(leases.look(&lease, Some(1), at(4)), Leased::Elsewhere { id: 1 });
        assert_eq!(leases.look(&lease, Some(1), at(5)), Leased::Own);
        leases.take(&lease, 2, at(5));
        assert!(!leases.renew(&lease, 1, at(5)), "somebody has taken over");
        leases.release(&lease, Release::Spent, 1, at(5));
        assert_eq!(leases.look(&lease, Some(1), at(5)), Leased::Elsewhere { id: 2 });
    }

    #[test]
    fn who_waited_for_one_that_has_no_answer_does_not_wait_again() {
        let (mut leases, lease) = (Leases::default(), lease());
        leases.take(&lease, 1, at(0));
        leases.release(&lease, Release::Spent, 1, at(1));
        assert_eq!(leases.look(&lease, Some(1), at(1)), Leased::Nobody);
        assert_eq!(leases.look(&lease, None, at(1)), Leased::Own, "who comes later leads");
        leases.take(&lease, 2, at(1));
        assert_eq!(leases.look(&lease, Some(1), at(1)), Leased::Nobody, "whoever leads meanwhile");
        assert_eq!(leases.look(&lease, None, at(1)), Leased::Elsewhere { id: 2 });
        assert_eq!(leases.look(&lease, Some(1), at(6)), Leased::Own, "it is forgotten");
    }

    #[test]
    fn a_lease_that_was_of_no_use_is_the_next_ones() {
        let (mut leases, lease) = (Leases::default(), lease());
        leases.take(&lease, 1, at(0));
        leases.release(&lease, Release::Free, 1, at(1));
        assert_eq!(leases.look(&lease, Some(1), at(1)), Leased::Own);
    }

    #[test]
    fn leases_that_have_ended_take_no_room() {
        let mut leases = Leases::default();
        for name in 0..1000_u64 {
            let key = Framed::new("test").field("name", &name.to_be_bytes()).finish();
            leases.take(&Lease { key, ..lease() }, name, at(name));
        }
        assert!(leases.0.len() < 10, "{}", leases.0.len());
    }
}

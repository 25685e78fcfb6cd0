//! Who makes a call that several replicas want: one at a time, for as long as it says that it is still there.
//!
//! A leader that dies is silent, and its lease ends by itself. A leader that is done leaves its name behind
//! for a moment: who has waited for it and finds no answer knows then that there is none, and goes on without
//! waiting for the next one. While somebody listens, what the leader's answer says is carried here as it
//! comes, under the leader's name, so that nobody ever reads on in another's.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::cache::fingerprint::Fingerprint;
use crate::store::lease::{Lease, Leased, MOST_OVERHEARD, Mark, Overheard, Piece, Release, Renewed};
use crate::time::Instant;

/// Longer than anybody pauses between two looks.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Who has not looked for so long does not listen any more.
const HEARD: Duration = Duration::from_secs(3);

/// The leases of an embedded store; as many as there are calls, and each ends by itself.
#[derive(Debug, Default)]
pub(crate) struct Leases(BTreeMap<Fingerprint, Turn>);

#[derive(Debug, Default)]
struct Turn {
    /// Who makes the call.
    leader: Option<Until>,
    /// In which form its answer can be heard.
    form: Option<Fingerprint>,
    /// Until when somebody listens.
    heard: Instant,
    /// Who made it before.
    past: Option<Until>,
    carried: Option<Carried>,
}

/// The call `id`, until then.
#[derive(Clone, Copy, Debug)]
struct Until {
    id: u64,
    end: Instant,
}

/// What has been said so far. Its `Debug` shows none of it.
struct Carried {
    of: Until,
    form: Option<Fingerprint>,
    head: Bytes,
    said: Vec<u8>,
    end: Option<Mark>,
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried")
            .field("of", &self.of)
            .field("bytes", &self.said.len())
            .finish_non_exhaustive()
    }
}

impl Leases {
    /// Who makes the call, if somebody asks who has waited for `awaited`.
    pub(crate) fn look(&mut self, lease: &Lease, awaited: Option<u64>, now: Instant) -> Leased {
        let Some(turn) = self.0.get_mut(&lease.key) else { return Leased::Own };
        turn.clamp(lease, now);
        let is_over = |past: Until| Some(past.id) == awaited && past.end > now;
        match turn.leader.filter(|leader| leader.end > now) {
            _ if turn.past.is_some_and(is_over) => Leased::Nobody,
            Some(leader) => {
                let carried = turn.carried(leader.id, lease, now);
                let is_audible =
                    carried.is_some_and(|carried| !matches!(carried.end, Some(Mark::Cut { .. })));
                Leased::Elsewhere { id: leader.id, is_audible }
            }
            None => Leased::Own,
        }
    }

    /// Somebody waits who could listen.
    pub(crate) fn wait(&mut self, lease: &Lease, now: Instant) {
        if let Some(turn) =
            self.0.get_mut(&lease.key).filter(|turn| lease.form.is_some() && turn.form == lease.form)
        {
            turn.heard = now.after(HEARD);
        }
    }

    /// The call `id` leads from now on.
    pub(crate) fn take(&mut self, lease: &Lease, id: u64, now: Instant) {
        self.0.retain(|_, turn| turn.is_current(now));
        let turn = self.0.entry(lease.key).or_default();
        turn.leader = Some(Until { id, end: now.after(lease.span) });
        (turn.form, turn.heard) = (lease.form, now);
    }

    /// The call `id` is still under way, and has said this.
    pub(crate) fn renew(&mut self, lease: &Lease, id: u64, piece: Option<&Piece>, now: Instant) -> Renewed {
        let Some(turn) = self.own(lease, id, now) else { return Renewed::Lost };
        let end = now.after(lease.span);
        turn.leader = Some(Until { id, end });
        if let Some(piece) = piece {
            turn.carry(lease, Until { id, end: end.after(REMEMBERED) }, piece);
        }
        turn.heard = turn.heard.min(now.after(HEARD));
        if turn.heard > now { Renewed::Heard } else { Renewed::Unheard }
    }

    /// What the call `id` has said, from this byte on; it is remembered for as long as somebody asks.
    pub(crate) fn overhear(&mut self, lease: &Lease, id: u64, from: u64, now: Instant) -> Overheard {
        self.wait(lease, now);
        let Some(turn) = self.0.get_mut(&lease.key) else { return Overheard::Nothing };
        turn.clamp(lease, now);
        if turn.carried(id, lease, now).is_none() {
            return Overheard::Nothing;
        }
        let Some(carried) = &mut turn.carried else { return Overheard::Nothing };
        carried.of.end = now.after(lease.span).after(REMEMBERED);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let rest = carried.said.get(from..).unwrap_or_default();
        let (bytes, left) = rest.split_at(rest.len().min(MOST_OVERHEARD));
        let piece = Piece {
            head: (from == 0).then(|| carried.head.clone()),
            bytes: Bytes::copy_from_slice(bytes),
            end: carried.end.clone().filter(|_| left.is_empty()),
        };
        let is_led = turn.leader.is_some_and(|leader| leader.id == id && leader.end > now);
        Overheard::Piece { piece, is_led }
    }

    /// The call `id` is over.
    pub(crate) fn release(&mut self, lease: &Lease, release: Release, id: u64, now: Instant) {
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

impl Turn {
    fn is_current(&self, now: Instant) -> bool {
        let carried = self.carried.as_ref().map(|carried| carried.of);
        [self.leader, self.past, carried].into_iter().flatten().any(|until| until.end > now)
    }

    /// No lease lasts longer than from now on: one that does was taken by a clock that was ahead.
    fn clamp(&mut self, lease: &Lease, now: Instant) {
        let longest = now.after(lease.span);
        let by = |until: Option<Until>, end: Instant| {
            until.map(|until| Until { end: until.end.min(end), ..until })
        };
        self.leader = by(self.leader, longest);
        self.past = by(self.past, now.after(REMEMBERED));
        if let Some(carried) = &mut self.carried {
            carried.of.end = carried.of.end.min(longest.after(REMEMBERED));
        }
    }

    /// What the call `id` has said, in the form that is wanted.
    fn carried(&self, id: u64, lease: &Lease, now: Instant) -> Option<&Carried> {
        let is_wanted = |carried: &&Carried| {
            carried.of.id == id && carried.of.end > now && lease.form.is_some() && carried.form == lease.form
        };
        self.carried.as_ref().filter(is_wanted)
    }

    /// A piece with a head begins anew.
    fn carry(&mut self, lease: &Lease, of: Until, piece: &Piece) {
        if let Some(head) = &piece.head {
            let (form, head) = (lease.form, head.clone());
            self.carried = Some(Carried { of, form, head, said: Vec::new(), end: None });
        }
        if let Some(carried) = self.carried.as_mut().filter(|carried| carried.of.id == of.id) {
            carried.of = of;
            carried.said.extend_from_slice(&piece.bytes);
            carried.end.clone_from(&piece.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::fingerprint::{self, Framed};

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn lease() -> Lease {
        let form = Some(Framed::new("form").finish());
        let tenant = fingerprint::of_tenant("t");
        Lease { tenant, key: Framed::new("test").finish(), form, span: Duration::from_secs(3) }
    }

    fn elsewhere(id: u64) -> Leased {
        Leased::Elsewhere { id, is_audible: false }
    }

    fn said(text: &'static str) -> Piece {
        Piece { bytes: Bytes::from_static(text.as_bytes()), ..Piece::default() }
    }

    #[test]
    fn one_leads_until_it_is_heard_of_no_more() {
        let (mut leases, lease) = (Leases::default(), lease());
        assert_eq!(leases.look(&lease, None, at(0)), Leased::Own);
        leases.take(&lease, 1, at(0));
        assert_eq!(leases.look(&lease, None, at(2)), elsewhere(1));
        assert_eq!(leases.renew(&lease, 1, None, at(2)), Renewed::Unheard);
        assert_eq!(leases.renew(&lease, 2, None, at(2)), Renewed::Lost);
        assert_eq!(leases.look(&lease, Some(1), at(4)), elsewhere(1));
        assert_eq!(leases.look(&lease, Some(1), at(5)), Leased::Own);
        leases.take(&lease, 2, at(5));
        assert_eq!(leases.renew(&lease, 1, None, at(5)), Renewed::Lost, "somebody has taken over");
        leases.release(&lease, Release::Spent, 1, at(5));
        assert_eq!(leases.look(&lease, Some(1), at(5)), elsewhere(2));
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
        assert_eq!(leases.look(&lease, None, at(1)), elsewhere(2));
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

    #[test]
    fn what_is_said_is_heard_by_who_wants_it_in_that_form_and_of_that_leader() {
        let (mut leases, lease) = (Leases::default(), lease());
        let other = Lease { form: Some(Framed::new("other").finish()), ..lease };
        leases.take(&lease, 1, at(0));
        leases.wait(&other, at(0));
        assert_eq!(
            leases.renew(&lease, 1, None, at(1)),
            Renewed::Unheard,
            "who wants another form cannot listen"
        );
        leases.wait(&lease, at(1));
        assert_eq!(leases.renew(&lease, 1, None, at(2)), Renewed::Heard);
        let head = Some(Bytes::from_static(b"head"));
        leases.renew(&lease, 1, Some(&Piece { head: head.clone(), ..said("one") }), at(2));
        leases.renew(&lease, 1, Some(&said("two")), at(2));
        assert_eq!(leases.look(&lease, None, at(2)), Leased::Elsewhere { id: 1, is_audible: true });
        assert_eq!(leases.look(&other, None, at(2)), elsewhere(1));
        let heard = |from: u64, piece: Piece, is_led: bool| (from, Overheard::Piece { piece, is_led });
        for (from, expected) in [
            heard(0, Piece { head, ..said("onetwo") }, true),
            heard(3, said("two"), true),
            heard(6, said(""), true),
            heard(7, said(""), true),
        ] {
            assert_eq!(leases.overhear(&lease, 1, from, at(3)), expected, "{from}");
        }
        assert_eq!(leases.overhear(&other, 1, 0, at(3)), Overheard::Nothing);
        assert_eq!(leases.overhear(&lease, 2, 0, at(3)), Overheard::Nothing);
        let (from, expected) = heard(3, said("two"), false);
        assert_eq!(leases.overhear(&lease, 1, from, at(5)), expected, "it has died");
        assert_eq!(leases.overhear(&lease, 1, 0, at(13)), Overheard::Nothing, "nobody asked for so long");
    }

    #[test]
    fn an_answer_that_is_cut_is_heard_to_its_cut_by_who_has_begun_and_by_nobody_else() {
        let (mut leases, lease) = (Leases::default(), lease());
        leases.take(&lease, 1, at(0));
        let cut = Some(Mark::Cut { notice: None });
        leases.renew(&lease, 1, Some(&Piece { head: Some(Bytes::new()), ..said("one") }), at(0));
        leases.renew(&lease, 1, Some(&Piece { end: cut.clone(), ..said("") }), at(0));
        assert_eq!(leases.look(&lease, None, at(1)), elsewhere(1));
        let piece = Piece { end: cut, ..said("ne") };
        assert_eq!(leases.overhear(&lease, 1, 1, at(1)), Overheard::Piece { piece, is_led: true });
    }
}

//! After the last byte.

use std::time::Duration;

use super::message::{Ended, Question};
use super::{Asked, Object};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Scope, Told, Want};
use crate::store::protocol::{Ask, Closing, Held, Keeping, Opened, Reservation};
use crate::time::Instant;

/// What the objects learn of a call that is over; nothing where they have nothing to learn. An entry for the cache is
/// the shell's to keep. What was held locally is the shell's to settle in [`crate::store::embedded::Store::close`]; what the
/// breakers learn is told all the same.
pub fn close(closing: &Closing, now: Instant) -> Vec<Asked> {
    told(closing, Told::First, now)
}

/// The same for those that may have been told before, so that nothing is counted twice.
pub fn close_again(closing: &Closing, lost: &[Object], now: Instant) -> Vec<Asked> {
    let mut asked = told(closing, Told::Again, now);
    asked.retain(|asked| lost.contains(&asked.object));
    asked
}

fn told(closing: &Closing, told: Told, now: Instant) -> Vec<Asked> {
    let Closing { record, reservation, used, findings, abandoned, keeping } = closing;
    let mut ends = Ends { told, ..Ends::new(reservation.want.id, *used) };
    if reservation.held == Held::InStore {
        ends.settle(reservation);
        ends.keep(keeping, record.caller.tenant());
    }
    for finding in findings {
        ends.of(Object::of_breaker(&finding.breaker)).findings.push(finding.clone());
    }
    for name in abandoned {
        ends.of(Object::of_breaker(name)).abandoned.push(name.clone());
    }
    ends.asked(now)
}

/// Tells that nobody was there any more when [`super::Joined::opened`] said `opened`: what was reserved goes back.
/// What has been kept is not touched.
pub fn give_back(ask: Ask<'_>, opened: &Opened, now: Instant) -> Vec<Asked> {
    let Some((reservation, keeping)) = opened.undone(ask) else { return Vec::new() };
    let mut ends = Ends::new(reservation.want.id, Tokens(0));
    ends.settle(&reservation);
    ends.keep(&keeping, ask.tenant);
    ends.asked(now)
}

/// What each object is told.
struct Ends {
    id: u64,
    told: Told,
    used: Tokens,
    by_object: Vec<(Object, Ended)>,
}

impl Ends {
    fn new(id: u64, used: Tokens) -> Self {
        Self { id, told: Told::First, used, by_object: Vec::new() }
    }

    fn of(&mut self, object: Object) -> &mut Ended {
        let at =
            self.by_object.iter().position(|(known, _)| *known == object).unwrap_or(self.by_object.len());
        if at == self.by_object.len() {
            let ended = Ended { id: self.id, told: self.told, used: self.used, ..Ended::default() };
            self.by_object.push((object, ended));
        }
        &mut self.by_object[at].1
    }

    fn settle(&mut self, reservation: &Reservation) {
        let Reservation { want, scopes, .. } = reservation;
        for (scope, limits) in scopes {
            // Requests are counted for good, and tokens that were used as they were wanted are counted.
            let is_settled =
                limits.concurrent.is_none() && (limits.tokens.is_empty() || want.tokens == self.used);
            let Some(object) = Object::of_scope(scope).filter(|_| !is_settled) else { continue };
            let (_, held): &mut (Want, Vec<(Scope, Limits)>) =
                self.of(object).held.get_or_insert_with(|| (*want, Vec::new()));
            held.push((scope.clone(), limits.clone()));
        }
    }

    fn keep(&mut self, keeping: &Keeping, tenant: &str) {
        let Keeping { entry, cache, repeat, lease, place: _ } = keeping;
        if cache.is_none() && repeat.is_none() && lease.is_none() {
            return;
        }
        let ended = self.of(Object::tenant(tenant));
        ended.refresh = cache.map(|(key, _): (_, Duration)| key);
        ended.repeat = *repeat;
        ended.entry = entry.clone().filter(|_| repeat.is_some());
        ended.lease = *lease;
    }

    fn asked(self, now: Instant) -> Vec<Asked> {
        let by_object = self.by_object.into_iter();
        by_object.map(|(object, ended)| Question::Close(ended).to(object, now)).collect()
    }
}

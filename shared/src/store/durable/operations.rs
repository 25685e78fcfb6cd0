//! Between the two: retries, probes, leases, and what an operator says.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Answer, Question};
use super::{Asked, Object};
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Entry, Full, Listing, Order};
use crate::store::embedded::MOST_LISTED;
use crate::store::lease::{Lease, Renewed};
use crate::store::protocol::{Finding, Holding, Ownership, Repeat, Reservation, StoreLost};
use crate::time::Instant;

/// Asks for one retry of the budget of the breaker's upstream; answered by [`granted`].
pub fn withdraw_retry(breaker: &str, now: Instant) -> Asked {
    Question::Withdraw { breaker: breaker.to_owned() }.to(Object::of_breaker(breaker), now)
}

/// Asks for the probe of a half-open breaker, for the call `id`; answered by [`granted`].
pub fn lease_probe(breaker: &str, id: u64, now: Instant) -> Asked {
    Question::LeaseProbe { breaker: breaker.to_owned(), id }.to(Object::of_breaker(breaker), now)
}

/// Tells how the probe `id` went; answered by [`done`].
pub fn report_probe(finding: &Finding, id: u64, now: Instant) -> Asked {
    Question::ReportProbe { finding: finding.clone(), id }.to(Object::of_breaker(&finding.breaker), now)
}

/// Gives an order; answered by [`obeyed`], once it is written.
pub fn control(order: &Order, now: Instant) -> Asked {
    Question::Control(order.clone()).to(Object::of_breaker(&order.breaker), now)
}

/// Says that a call is still under way; each is answered by [`done`].
pub fn renew_hold(holding: &Holding, now: Instant) -> Vec<Asked> {
    let Reservation { want, scopes, .. } = &holding.reservation;
    let mut by_object: BTreeMap<Object, (Vec<_>, Option<Repeat>)> = BTreeMap::new();
    for (scope, limits) in scopes {
        if let Some(object) = Object::of_scope(scope) {
            by_object.entry(object).or_default().0.push((scope.clone(), limits.clone()));
        }
    }
    if let Some(repeat) = holding.repeat {
        by_object.entry(Object::tenant(&holding.tenant)).or_default().1 = Some(repeat);
    }
    let hold = |(object, (scopes, repeat))| {
        Question::Hold { id: want.id, lasts: want.lasts, scopes, repeat }.to(object, now)
    };
    by_object.into_iter().map(hold).collect()
}

/// Prolongs the lease of the call `id`; answered by [`renewed`].
pub fn renew(lease: &Lease, id: u64, now: Instant) -> Asked {
    Question::Renew { lease: *lease, id }.to(Object::Tenant(lease.tenant), now)
}

/// Asks whether all objects that are named are the tenant's, and tells what was made; answered by [`granted`].
pub fn own(ownership: Ownership<'_>, now: Instant) -> Asked {
    let Ownership { tenant, named, made } = ownership;
    Question::Own { tenant, named: named.to_vec(), made: made.to_vec() }.to(Object::Tenant(tenant), now)
}

/// Asks for the breakers of these names, and every one of these upstreams what else there is; answered by [`listed`].
pub fn listing<'a>(
    names: &[String],
    upstreams: impl IntoIterator<Item = &'a str>,
    now: Instant,
) -> Vec<Asked> {
    let upstreams = upstreams.into_iter().map(|name| (Object::of_breaker(name), Vec::new()));
    let mut by_object: BTreeMap<Object, Vec<String>> = upstreams.collect();
    for name in names {
        by_object.entry(Object::of_breaker(name)).or_default().push(name.clone());
    }
    by_object.into_iter().map(|(object, names)| Question::Listing { names }.to(object, now)).collect()
}

/// What [`withdraw_retry`], [`lease_probe`] and [`own`] are answered.
pub fn granted(answer: &[u8], now: Instant) -> Result<bool, StoreLost> {
    let Answer::Granted(is_granted) = Answer::read(answer, now)? else { return Err(StoreLost) };
    Ok(is_granted)
}

/// What [`super::close`], [`super::close_again`], [`super::give_back`], [`renew_hold`], mends and [`report_probe`] are answered.
pub fn done(answer: &[u8], now: Instant) -> Result<(), StoreLost> {
    if Answer::read(answer, now)? == Answer::Done { Ok(()) } else { Err(StoreLost) }
}

/// What has become of the breaker.
pub fn obeyed(order: &Order, answer: &[u8], now: Instant) -> Result<Result<Entry, Full>, StoreLost> {
    let Answer::Obeyed(outcome) = Answer::read(answer, now)? else { return Err(StoreLost) };
    match outcome {
        Ok(entry) if entry.breaker != order.breaker => Err(StoreLost),
        Ok(_) | Err(Full { .. }) => Ok(outcome),
    }
}

pub fn renewed(answer: &[u8], now: Instant) -> Result<Renewed, StoreLost> {
    let Answer::Renewed(renewed) = Answer::read(answer, now)? else { return Err(StoreLost) };
    Ok(renewed)
}

/// The listing that the answers to [`listing`] make. Without one of them it would be half the truth.
pub fn listed(
    names: &[String],
    answers: &[Result<Vec<u8>, StoreLost>],
    now: Instant,
) -> Result<Listing, StoreLost> {
    let asked: BTreeSet<&String> = names.iter().collect();
    let (mut entries, mut has_more) = (BTreeMap::new(), false);
    for answer in answers {
        let answer = answer.as_deref().map_err(|StoreLost| StoreLost)?;
        let Answer::Listed(listing) = Answer::read(answer, now)? else { return Err(StoreLost) };
        has_more |= listing.has_more;
        entries.extend(listing.entries.into_iter().map(|entry| (entry.breaker.clone(), entry)));
    }
    let mut unasked = 0;
    entries.retain(|name, entry: &mut Entry| {
        let is_listed = asked.contains(name) || entry.own.is_some() || entry.automatic == Gate::Closed;
        unasked += usize::from(!is_listed);
        is_listed || unasked <= MOST_LISTED
    });
    has_more |= unasked > MOST_LISTED;
    Ok(Listing { entries: entries.into_values().collect(), has_more })
}

//! The store of one process: every step there is, over records in memory.
//!
//! Plain and synchronous: a shell puts it behind a lock, a cell or nothing. Each of its maps is bounded.

pub(crate) mod accounts;
pub(crate) mod answers;
pub(crate) mod breakers;
pub(crate) mod leases;
pub(crate) mod owners;
pub(crate) mod shares;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use self::accounts::{Accounts, Refused};
use self::answers::Answers;
use self::breakers::Breakers;
use self::leases::Leases;
use self::owners::Owners;
use crate::cache::Freshness;
use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::usage::Tokens;
use crate::limits::account::{Denied, Want};
use crate::routing::breaker::control::{Entry, Full, Listing, Order, Overrides};
use crate::routing::breaker::{Gate, Report};
use crate::routing::load::Standing;
use crate::routing::retry::RetryBudget;
use crate::routing::upstream::UpstreamId;
use crate::store::lease::{Lease, Leased, Overheard, Piece, Renewed};
use crate::store::protocol::{
    Ask, Closing, Finding, Holding, Keeping, Opened, Ownership, Recalled, Repeat, Repeated, Reservation,
};
use crate::time::Instant;

/// Accounts at most; some 300 bytes each.
pub(crate) const MOST_ACCOUNTS: usize = 100_000;

pub(crate) use self::breakers::MOST_LISTED;

/// Breakers at most.
pub(crate) const MOST_BREAKERS: usize = 10_000;

/// Overrides of breakers at most.
pub(crate) const MOST_OVERRIDES: usize = 1000;

/// Bytes of answers that are kept for their `Idempotency-Key`.
const MOST_REPEATS: u64 = 64 << 20;

/// Standings, the retry budget, accounts, and breakers with what operators say of them.
#[derive(Debug)]
pub struct Store {
    standings: BTreeMap<String, Standing>,
    retries: RetryBudget,
    accounts: Accounts,
    breakers: Breakers,
    answers: Answers,
    leases: Leases,
    owners: Owners,
}

impl Store {
    /// Keeps at most `cache` bytes of answers.
    pub fn new(now: Instant, cache: u64) -> Self {
        Self {
            standings: BTreeMap::new(),
            retries: RetryBudget::new(now),
            accounts: Accounts::new(MOST_ACCOUNTS),
            breakers: Breakers::new(MOST_BREAKERS, Overrides::new(MOST_OVERRIDES)),
            answers: Answers::new(cache, MOST_REPEATS),
            leases: Leases::default(),
            owners: Owners::default(),
        }
    }

    /// Keeps at most this many bytes of answers from now on.
    pub fn resize_cache(&mut self, bytes: u64) {
        self.answers.resize(bytes);
    }

    /// Bytes of answers that are kept.
    pub fn cached(&self) -> u64 {
        self.answers.weight()
    }

    /// The one operation before the upstream call.
    pub fn open(&mut self, ask: Ask<'_>, now: Instant) -> Opened {
        if let Some(reservation) = ask.reservation.filter(|_| ask.anew) {
            self.undo(reservation, ask.repeat, now);
        }
        let lasts = ask.reservation.map_or(Duration::ZERO, |reservation| reservation.want.lasts);
        let mut opened = Opened {
            recalled: ask.recall.and_then(|recall| self.answers.recall(recall, now)),
            repeated: ask.repeat.map(|repeat| self.answers.repeated(repeat, lasts, now)),
            ..Opened::default()
        };
        match opened.repeated {
            Some(Repeated::Conflict) => return opened,
            Some(Repeated::Running) if !ask.follows => return opened,
            Some(Repeated::First | Repeated::Running | Repeated::Answered { .. }) | None => {}
        }
        let leased = self.leased(ask, &opened, now);
        if matches!(leased, Some(Leased::Elsewhere { .. })) {
            if let Some(lease) = ask.lease {
                self.leases.wait(lease, now);
            }
            return Opened { leased, ..opened };
        }
        if let Some(reservation) = ask.reservation {
            if let Err(denied) = self.reserve(ask, reservation, &mut opened, now) {
                opened.left = self.accounts.left(&reservation.scopes, now);
                opened.denied = Some(denied);
                return opened;
            }
            if let (Some(repeat), Some(Repeated::First)) = (ask.repeat, &opened.repeated) {
                let Want { id, lasts, .. } = reservation.want;
                self.answers.begin(repeat, id, lasts, now);
            }
            if let (Some(lease), Some(Leased::Own)) = (ask.lease, leased) {
                self.leases.take(lease, reservation.want.id, now);
            }
            opened.leased = leased;
        }
        opened.is_kept = opened.is_to_be_given();
        if opened.is_kept {
            return opened;
        }
        opened.standings = self.standings(ask.standings);
        opened.gates = ask.breakers.iter().map(|name| self.breakers.clamped_gate(name, now)).collect();
        opened
    }

    /// Takes back what was reserved for an answer that was kept.
    fn undo(&mut self, reservation: &Reservation, repeat: Option<&Repeat>, now: Instant) {
        let Reservation { want, scopes, .. } = reservation;
        self.accounts.undo(scopes, Want { tokens: Tokens(0), ..*want }, now);
        let repeat = repeat.map(|repeat| (*repeat, Duration::ZERO));
        let keeping = Keeping { repeat, ..Keeping::default() };
        // Nothing is kept: its key is free again.
        self.answers.keep("", &keeping, want.id, now);
    }

    /// How the upstreams of these names stand.
    pub(crate) fn standings(&self, asked: &[(UpstreamId, &str)]) -> Vec<(UpstreamId, Standing)> {
        let standing = |name: &str| self.standings.get(name).copied().unwrap_or_default();
        asked.iter().map(|(id, name)| (*id, standing(name))).collect()
    }

    pub(crate) fn gate(&self, breaker: &str, now: Instant) -> Gate {
        self.breakers.gate(breaker, now)
    }

    /// Who makes the call, where it has to be made and several may want it.
    fn leased(&mut self, ask: Ask<'_>, opened: &Opened, now: Instant) -> Option<Leased> {
        let is_answered = matches!(opened.repeated, Some(Repeated::Answered { .. }));
        let is_missed =
            opened.recalled.as_ref().is_none_or(|recalled| recalled.freshness == Freshness::IfError);
        let lease = ask.lease.filter(|_| ask.reservation.is_some() && !ask.follows)?;
        (is_missed && !is_answered).then(|| self.leases.look(lease, ask.awaited, now))
    }

    /// The call is still under way: it holds its places and its key from now on.
    pub fn renew_hold(&mut self, holding: &Holding, now: Instant) {
        let Reservation { want, scopes, .. } = &holding.reservation;
        self.accounts.renew(scopes, want.id, want.lasts, now);
        if let Some(repeat) = &holding.repeat {
            self.answers.renew(repeat, want.id, want.lasts, now);
        }
    }

    /// Prolongs the lease of the call `id`, and keeps what it has said for those who listen.
    pub fn renew(&mut self, lease: &Lease, id: u64, piece: Option<&Piece>, now: Instant) -> Renewed {
        self.leases.renew(lease, id, piece, now)
    }

    /// What the call `id` has said so far, from this byte on.
    pub fn overhear(&mut self, lease: &Lease, id: u64, from: u64, now: Instant) -> Overheard {
        self.leases.overhear(lease, id, from, now)
    }

    /// Whether all objects that are named are the tenant's; if so, those that were made are from now on.
    pub fn own(&mut self, ownership: Ownership<'_>, now: Instant) -> bool {
        self.owners.own(ownership, now).is_own
    }

    /// Reserves what the call needs: no tokens where its answer is here already or on its way to somebody else.
    fn reserve(
        &mut self,
        ask: Ask<'_>,
        reservation: &Reservation,
        opened: &mut Opened,
        now: Instant,
    ) -> Result<(), Denied> {
        let is_answered = matches!(opened.repeated, Some(Repeated::Answered { .. }));
        let is_fetched = match &opened.recalled {
            None => true,
            Some(recalled) => recalled.freshness == Freshness::IfError || recalled.refresh,
        };
        let Reservation { want, scopes, .. } = reservation;
        if is_fetched && !is_answered && !ask.follows {
            match (self.accounts.reserve(scopes, *want, now), &mut opened.recalled) {
                (Ok(left), _) => {
                    self.retries.deposit(now);
                    (opened.left, opened.reserved) = (left, want.tokens);
                    if let (Some(Recalled { refresh: true, .. }), Some(recall)) =
                        (&opened.recalled, ask.recall)
                    {
                        self.answers.lease_refresh(&recall.key, now);
                    }
                    return Ok(());
                }
                // Who may not fetch a new one may still have the old one.
                (Err(_), Some(recalled)) if recalled.refresh => recalled.refresh = false,
                (Err(Refused { denied, .. }), _) => return Err(denied),
            }
        }
        let place = Want { tokens: Tokens(0), ..*want };
        opened.left = self.accounts.reserve(scopes, place, now).map_err(|Refused { denied, .. }| denied)?;
        Ok(())
    }

    /// The one operation behind it. `roll` is for the jitter of open times.
    pub fn close(&mut self, closing: &Closing, now: Instant, roll: u64) {
        let Reservation { want, scopes, .. } = &closing.reservation;
        self.accounts.settle(scopes, *want, closing.used, now);
        self.learn(closing, now, roll);
    }

    /// The same where it may have been told before: what must not be done twice is done only as far as it has not been.
    pub fn close_again(&mut self, closing: &Closing, now: Instant, roll: u64) {
        let Reservation { want, scopes, .. } = &closing.reservation;
        self.accounts.settle_again(scopes, *want, closing.used, now);
        self.learn(&Closing { findings: Vec::new(), ..closing.clone() }, now, roll);
    }

    fn learn(&mut self, closing: &Closing, now: Instant, roll: u64) {
        let id = closing.reservation.want.id;
        self.answers.keep(closing.record.caller.tenant(), &closing.keeping, id, now);
        if let Some((lease, release)) = &closing.keeping.lease {
            self.leases.release(lease, *release, id, now);
        }
        for finding in &closing.findings {
            self.breakers.observe(finding, Report { id, now, roll });
        }
        for abandoned in &closing.abandoned {
            self.breakers.release(abandoned, id);
        }
    }

    /// Spends one retry of the budget, if there is one and the breaker lets it through.
    pub fn withdraw_retry(&mut self, breaker: &str, now: Instant) -> bool {
        !self.breakers.clamped_gate(breaker, now).is_open() && self.retries.withdraw(now)
    }

    pub fn lease_probe(&mut self, breaker: &str, id: u64, now: Instant) -> bool {
        self.breakers.lease_probe(breaker, id, now)
    }

    pub fn report_probe(&mut self, finding: &Finding, report: Report) {
        self.breakers.observe(finding, report);
    }

    /// Does as an operator says, and tells what has become of the breaker.
    pub fn control(&mut self, order: &Order, now: Instant) -> Result<Entry, Full> {
        self.breakers.obey(order, now)
    }

    /// The breakers of these names, those with an override, and of the others those that are not closed.
    pub fn breakers(&mut self, names: &[String], now: Instant) -> Listing {
        self.breakers.listing(names, now)
    }

    /// A call goes to an upstream.
    pub fn start(&mut self, upstream: &str) {
        self.standing(upstream).start();
    }

    /// A call at an upstream is over.
    pub fn finish(&mut self, upstream: &str) {
        self.standing(upstream).finish();
    }

    /// A first byte came, or an attempt failed.
    pub fn sample(&mut self, upstream: &str, after: Duration, failed: bool, now: Instant) {
        self.standing(upstream).sample(after, failed, now);
    }

    /// There was no connection.
    pub fn unconnected(&mut self, upstream: &str, cause: ConnectFault, now: Instant) {
        // What is wrong here says nothing of the upstream.
        if cause.shortage().is_none() {
            self.standing(upstream).unconnected = Some((cause, now));
        }
    }

    /// Calls at all upstreams.
    pub fn in_flight(&self) -> u64 {
        self.standings.values().map(|standing| standing.in_flight).sum()
    }

    /// Upstreams come from the configuration, so the map is as small as that.
    fn standing(&mut self, upstream: &str) -> &mut Standing {
        self.standings.entry(upstream.to_owned()).or_default()
    }
}

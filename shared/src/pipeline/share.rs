//! Calls that are shared: who makes one, and who listens.

pub(crate) mod follow_remote;
pub(crate) mod leader;
pub(crate) mod lease;
pub(crate) mod pace;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::Response;

use self::pace::Pace;
use super::cache::answer::Found;
use super::cache::lookup::Lookup;
use super::exchange::Journey;
use super::sent::Sent;
use crate::cache::in_flight::{Listener, Pilot};
use crate::dialect::call::Call;
use crate::ledger::record::Ending;
use crate::pipeline::accounting::Trail;
use crate::pipeline::accounting::task::Lead;
use crate::pipeline::reply::body::Body;
use crate::pipeline::reply::keep_alive::KeepAlive;
use crate::pipeline::reply::shared_body::Following;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::plan::Plan;
use crate::store::lease::{Lease, Leased};
use crate::store::protocol::{Ask, Held, Opened, Repeated, Reservation};

/// A call ends by its own deadline; who listens gives it this long to say so.
const BEHIND_DEADLINE: Duration = Duration::from_secs(1);

/// The first and the longest pause before the store is asked again whether a call that runs elsewhere with the
/// same key has its answer.
const REPEAT_POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The same for a call that another of several makes; its answer is looked for more often, for it is not a
/// repetition but the first that this client is given.
const ELSEWHERE_POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// What is known of a call whose books are open.
pub(super) struct Open {
    pub(super) opened: Opened,
    /// The answer that is kept.
    pub(super) found: Option<Found>,
    pub(super) listener: Option<Listener>,
}

impl<P: Platform> Journey<'_, P> {
    /// Opens the books of a call that may be answered from elsewhere: from what is kept, or from a call in
    /// flight.
    pub(super) async fn open_call(
        &mut self,
        ask: Ask<'_>,
        lookup: &mut Lookup,
        reservation: &mut Reservation,
        asked: (&str, Option<&Call>),
        longest: Duration,
    ) -> Result<Open, Refusal> {
        let (model, call) = asked;
        let deadline = self.started.after(longest);
        // Where the store is lost and found again in between, it is asked for what is wanted, not for the share.
        let can_listen = self.platform.flights().is_some();
        let lease = lookup.lease.filter(|_| self.platform.is_one_of_several());
        let lease = lease.map(|lease| Lease { form: lease.form.filter(|_| can_listen), ..lease });
        lookup.lease = lease;
        let wanted = lookup.repeat.is_some().then(|| reservation.clone());
        let is_counted = self.platform.counts_questions();
        let mut repeat = Pace::new(REPEAT_POLL, is_counted);
        let mut elsewhere = Pace::new(ELSEWHERE_POLL, is_counted);
        let (mut recall, mut anew) = (lookup.recall, false);
        loop {
            if let Some(wanted) = &wanted {
                reservation.clone_from(wanted);
                if self.degraded.is_some() {
                    // What the store was asked before it was lost may be held there, under the name that it had.
                    reservation.want.id = self.platform.roll();
                }
            }
            let listener = self.platform.flights().and_then(|flights| flights.join(&lookup.flights));
            let ask = Ask {
                recall: recall.as_ref(),
                repeat: lookup.repeat.as_ref(),
                follows: listener.is_some() || lookup.overheard.is_some(),
                lease: lease.as_ref(),
                awaited: lookup.awaited,
                anew: std::mem::take(&mut anew),
                ..ask
            };
            let opened = self.open(ask, reservation, model).await?;
            if let Some(Leased::Elsewhere { id, is_audible }) = opened.leased {
                lookup.awaited = Some(id);
                // What comes of it may be told.
                recall = lookup.recall;
                if is_audible {
                    lookup.overheard = Some(id);
                    continue;
                }
                let left = deadline.since(self.platform.now());
                self.wait_elsewhere(lookup, elsewhere.pause(), left).await?;
                elsewhere.paused();
                continue;
            }
            match opened.repeated {
                Some(Repeated::Conflict) => return Err(Refusal::IdempotencyConflict),
                Some(Repeated::Running) if listener.is_none() => {
                    if deadline <= self.platform.now().after(repeat.pause()) {
                        return Err(Refusal::StillRunning);
                    }
                    self.platform.sleep(repeat.pause()).await;
                    repeat.paused();
                }
                Some(Repeated::Running | Repeated::First | Repeated::Answered { .. }) | None => {
                    let found = call.and_then(|call| Found::look(&opened, call));
                    if opened.is_kept && found.is_none() && reservation.held == Held::InStore {
                        // What is kept cannot be told in the form that is wanted; a repetition wants the same.
                        if matches!(opened.repeated, Some(Repeated::Answered { .. })) {
                            return Err(Refusal::IdempotencyConflict);
                        }
                        (recall, anew) = (None, true);
                        continue;
                    }
                    reservation.want.tokens = opened.reserved;
                    return Ok(Open { opened, found, listener });
                }
            }
        }
    }

    /// Waits a moment for what is asked elsewhere as well, unless it is in flight in here by now.
    async fn wait_elsewhere(&self, lookup: &Lookup, pause: Duration, left: Duration) -> Result<(), Refusal> {
        let flights = self.platform.flights();
        if flights.is_some_and(|flights| flights.join(&lookup.flights).is_some()) {
            return Ok(());
        }
        if left.is_zero() {
            return Err(Refusal::DeadlinePassed { waited: self.platform.now().since(self.started) });
        }
        self.platform.sleep(left.min(pause)).await;
        Ok(())
    }

    /// Hands a call over to the settlement.
    pub(super) fn hand_over(
        &self,
        pilot: Pilot,
        plan: Plan,
        route: usize,
        sent: Sent<P::Upload>,
        trail: Trail<P>,
    ) {
        leader::lead(trail, |trail, books| Lead {
            platform: self.platform.clone(),
            config: Arc::clone(self.config),
            trace: self.trace.clone(),
            started: self.started,
            priority: self.priority,
            explanation: self.explanation.clone(),
            route,
            plan,
            sent,
            trail,
            pilot,
            books,
        });
    }

    /// Listens to a call from its beginning. `trail` is this request's, unless it is the one whose call it is.
    pub(super) async fn follow(
        &mut self,
        listener: Listener,
        mut trail: Option<Trail<P>>,
        total: Duration,
        keep_alive: Option<Duration>,
    ) -> Result<Response<Body<P>>, Refusal> {
        if let Some(trail) = trail.as_mut().filter(|trail| trail.keeping.repeat.is_some()) {
            trail.witness = Some(listener.witness());
        }
        let patience = self.platform.sleep(total.saturating_add(BEHIND_DEADLINE));
        let head = match select(pin!(listener.head()), patience).await {
            Either::Left((head, _)) => head,
            Either::Right(_) => Err(Refusal::DeadlinePassed { waited: total }),
        };
        let head = match head {
            Ok(head) => head,
            Err(refusal) => {
                let is_callers = matches!(refusal, Refusal::Rejected(_)) && !refusal.is_upstreams();
                let ending = if is_callers { Ending::Rejected } else { Ending::Failed };
                match trail {
                    Some(trail) => trail.unanswered(ending, &refusal),
                    None => self.explanation = listener.explanation().or(self.explanation.take()),
                }
                return Err(refusal);
            }
        };
        if trail.is_none() {
            self.explanation.clone_from(&head.explanation);
        }
        let body = match (&head.whole, trail) {
            (Some(bytes), None) => Body::whole(bytes.clone()),
            (Some(bytes), Some(mut trail)) => {
                trail.answers(head.status);
                trail.sent_first_byte();
                if let Some(end) = listener.end() {
                    trail.followed(end);
                }
                Body::whole(bytes.clone())
            }
            (None, mut trail) => {
                if let Some(trail) = &mut trail {
                    trail.answers(head.status);
                }
                let keep_alive = keep_alive.map(|after| KeepAlive::new(self.platform, after));
                Body::following(Following::new(listener, trail, keep_alive))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        response.headers_mut().clone_from(&head.headers);
        Ok(response)
    }
}

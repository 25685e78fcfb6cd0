//! Before the upstream call: what the request wants to hold, and the one operation on the store.

use std::time::Duration;

use super::admission::{self, Turn};
use super::exchange::{Degraded, Journey};
use crate::dialect::call::Estimate;
use crate::identity::caller::Caller;
use crate::ledger::usage::Tokens;
use crate::limits::account::{Denied, HELD, Measure, Scope, Want};
use crate::limits::concurrency::Priority;
use crate::limits::{Limits, OnStoreLoss};
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::route::Route;
use crate::store::protocol::{Ask, Held, Opened, Reservation, StoreLost};

/// How long an end takes to reach the store: it is asked again behind each of these.
const SETTLING: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(75)];

/// What is not understood is counted as a request and not in tokens.
pub(super) const NOTHING: Estimate = Estimate { least: Tokens(0), wanted: Tokens(0) };

impl<P: Platform> Journey<'_, P> {
    /// What `caller` reserves in its own account and, where the route is limited, in the route's.
    pub(super) fn reservation(
        &self,
        caller: &Caller,
        route: Option<&Route>,
        estimate: Estimate,
    ) -> Reservation {
        let own = (self.scope(caller), &caller.limits);
        let shared = route.map(|route| (Scope::Route(route.pattern.to_string()), &route.limits));
        let scopes: Vec<(Scope, Limits)> = [Some(own), shared]
            .into_iter()
            .flatten()
            .filter(|(_, limits)| !limits.is_unlimited())
            .map(|(scope, limits)| (scope, limits.clone()))
            .collect();
        // An answer of unknown length is not refused for a guess at it.
        let smallest = scopes.iter().flat_map(|(_, limits)| &limits.tokens).map(|rate| rate.count).min();
        let tokens = estimate.wanted.0.min(smallest.unwrap_or(u64::MAX)).max(estimate.least.0);
        let want = Want { id: self.platform.roll(), tokens: Tokens(tokens), lasts: HELD };
        Reservation { want, scopes, held: Held::InStore }
    }

    /// Waits until the process has room for one more call.
    pub(super) async fn wait_for_turn(&mut self, priority: Priority) -> Result<(), Refusal> {
        let policy = self.config.server.concurrency.as_ref();
        let patience = policy.map_or(Duration::ZERO, |policy| policy.wait);
        let turn = Turn { priority, deadline: self.platform.now().after(patience) };
        let (slot, waited) = turn.take(self.platform, admission::PROCESS, policy).await?;
        (self.priority, self.slot) = (priority, slot);
        if let Some(explanation) = &mut self.explanation {
            explanation.queued(admission::PROCESS, waited);
        }
        Ok(())
    }

    /// The one operation on the store before the upstream call.
    pub(super) async fn open(
        &mut self,
        ask: Ask<'_>,
        reservation: &mut Reservation,
        model: &str,
    ) -> Result<Opened, Refusal> {
        // From here on the store sees to it.
        drop(self.docket.take_charge());
        let opened = self.ask_store(ask, reservation).await;
        let opened = if let Ok(opened) = opened {
            opened
        } else {
            self.degraded = Some(Degraded::Store);
            *reservation = self.local(reservation).ok_or(Refusal::StoreLost)?;
            // What the process keeps by itself nobody else can see, and it holds nothing of what the store does.
            let ask = Ask { lease: None, awaited: None, anew: false, ..ask };
            self.platform.open_locally(Ask { reservation: Some(reservation), ..ask })
        };
        self.left = opened.left;
        self.note_opened(reservation, &opened);
        match opened.denied {
            Some(denied) => Err(Refusal::Limited { model: model.to_owned(), denied }),
            None => Ok(opened),
        }
    }

    /// Asks once more where calls are still counted that have ended: a client may have the last byte of an answer before
    /// the store knows of it, and may call again at once. In this process nobody has more calls under way than
    /// he may, so whoever does not keep to his limit elsewhere does not ask much more often for it.
    async fn ask_store(&self, ask: Ask<'_>, reservation: &Reservation) -> Result<Opened, StoreLost> {
        let mut ask = Ask { reservation: Some(reservation), ..ask };
        let mut opened = self.platform.open(ask).await?;
        for pause in SETTLING {
            let Some(Denied { measure: Measure::Concurrent(most), .. }) = opened.denied else { break };
            let is_own = |(scope, limits): &(Scope, Limits)| {
                limits.concurrent == Some(most)
                    && self.place.as_ref().is_some_and(|place| place.scope() == scope)
            };
            if !reservation.scopes.iter().any(is_own) {
                break;
            }
            self.platform.sleep(pause).await;
            // What was to be given back has been.
            ask.anew = false;
            opened = self.platform.open(ask).await?;
        }
        Ok(opened)
    }

    /// What is reserved in the process, as long as the store is lost; `None` where a limit says that nothing is
    /// let through then.
    fn local(&self, reservation: &Reservation) -> Option<Reservation> {
        let share = self.config.store.local_share;
        let mut scopes = Vec::new();
        for (scope, limits) in &reservation.scopes {
            match limits.on_store_loss {
                OnStoreLoss::Closed => return None,
                OnStoreLoss::Open => {}
                OnStoreLoss::Local => scopes.push((scope.clone(), limits.share(share))),
            }
        }
        Some(Reservation { want: reservation.want, scopes, held: Held::Locally })
    }

    pub(super) fn scope(&self, caller: &Caller) -> Scope {
        let by_name = || Scope::Caller { tenant: caller.tenant.clone(), name: caller.name.clone() };
        self.address.map_or_else(by_name, Scope::Address)
    }
}

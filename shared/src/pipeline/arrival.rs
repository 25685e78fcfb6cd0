//! The head of a request is here: what is decided before its body is read, and what a request that comes to nothing is
//! charged.

use std::time::Duration;

use http::Response;
use http::request::Parts;

use super::exchange::Journey;
use crate::config::Config;
use crate::identity::caller::Caller;
use crate::limits::OnStoreLoss;
use crate::limits::account::{Denied, Measure, Scope};
use crate::limits::admission::Arrival;
use crate::pipeline::charge::Charge;
use crate::pipeline::reply::body::Body;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::store::protocol::{Held, Opened, Reservation, StoreLost};

/// Behind its deadline a request has this long to settle before its place here ends by itself.
const SETTLE: Duration = Duration::from_mins(1);

impl<P: Platform> Journey<'_, P> {
    /// Takes a place among the calls of whoever is calling. From here on the request is charged, whatever becomes of it.
    pub(super) fn arrive(&mut self, caller: &Caller, head: &Parts) -> Result<(), Refusal> {
        let limits = &caller.limits;
        if limits.requests.is_empty() && limits.concurrent.is_none() {
            return Ok(());
        }
        let scope = self.scope(caller);
        let arrival = Arrival { now: self.started, expires: self.started.after(longest(self.config)) };
        match self.platform.admission().enter(&scope, limits, arrival) {
            Ok(place) => self.place = Some(place),
            Err(refused) => {
                let (denied, left) = *refused;
                self.left = left;
                // The body would name the model.
                return Err(Refusal::Limited { model: head.uri.path().to_owned(), denied });
            }
        }
        if !limits.requests.is_empty() {
            let (tenant, limits) = (caller.tenant.clone(), limits.clone());
            self.docket.charge_for(Charge { tenant, scope, limits });
        }
        Ok(())
    }

    /// Whose share of the buffers the body takes: the tenant's, or the address's where everybody may call.
    pub(super) fn holder(&self, caller: &Caller) -> String {
        self.address.map_or_else(|| caller.tenant.clone(), |address| address.to_string())
    }

    /// The store has said whether the call may go on.
    pub(super) fn note_opened(&mut self, reservation: &Reservation, opened: &Opened) {
        let Some(place) = &mut self.place else { return };
        match opened.denied {
            None => place.charged(),
            Some(denied) if is_own(place.scope(), reservation, denied) => {
                self.platform.admission().deny(place.scope(), (denied, opened.left), self.platform.now());
            }
            Some(_) => {}
        }
    }

    /// Charges a request that was refused for what it is. One that was told to come again is not charged, nor one that
    /// the gateway itself could not serve.
    pub(super) async fn charge_refused(
        &mut self,
        answer: Result<Response<Body<P>>, Refusal>,
        head: &Parts,
    ) -> Result<Response<Body<P>>, Refusal> {
        let (charge, Err(refusal)) = (self.docket.take_charge(), &answer) else { return answer };
        let Some(charge) = charge.filter(|_| refusal.is_for_what_it_is()) else { return answer };
        let opened = match charge.make(self.platform).await {
            Ok(opened) => opened,
            Err(StoreLost) => match charge.limits.on_store_loss {
                OnStoreLoss::Closed | OnStoreLoss::Open => return answer,
                OnStoreLoss::Local => charge.make_locally(self.platform, self.config.store.local_share),
            },
        };
        self.left = opened.left;
        let Some(denied) = opened.denied else { return answer };
        if let (Some(place), Measure::Requests(_)) = (&self.place, denied.measure) {
            self.platform.admission().deny(place.scope(), (denied, self.left), self.platform.now());
        }
        Err(Refusal::Limited { model: head.uri.path().to_owned(), denied })
    }
}

/// Whether the account that refuses is the caller's own, and for all that it could ask.
fn is_own(own: &Scope, reservation: &Reservation, denied: Denied) -> bool {
    let Measure::Requests(rate) = denied.measure else { return false };
    let mut refusing = reservation.scopes.iter().filter(|(_, limits)| limits.requests.contains(&rate));
    let is_only = refusing.next().is_some_and(|(scope, _)| scope == own) && refusing.next().is_none();
    reservation.held == Held::InStore && is_only
}

/// No call holds its place for longer, whatever becomes of it.
fn longest(config: &Config) -> Duration {
    let total = config.upstreams.iter().map(|upstream| upstream.timeouts.total).max().unwrap_or_default();
    let body = Duration::from_secs(config.server.max_body / (64 << 10)) + config.server.body_timeout;
    total + config.server.websocket.total + body + SETTLE
}

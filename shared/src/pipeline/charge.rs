//! The charge for a request that comes to nothing before its one operation on the store: it counts all the same, or
//! whoever sends what is refused would send it without end.

use std::time::Duration;

use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Scope, Want};
use crate::platform::Platform;
use crate::store::protocol::{Ask, Held, Opened, Reservation, StoreLost};

/// One request, on the account of whoever sent it.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) tenant: String,
    pub(crate) scope: Scope,
    pub(crate) limits: Limits,
}

impl Charge {
    /// Charges it in the store. There is nothing to settle behind it: no tokens are held, and no place.
    pub(crate) async fn make<P: Platform>(&self, platform: &P) -> Result<Opened, StoreLost> {
        let reservation = self.reservation(platform);
        platform.open(self.ask(&reservation)).await
    }

    /// The same in what the process keeps by itself, under its share of the limits.
    pub(crate) fn make_locally<P: Platform>(&self, platform: &P, share: u32) -> Opened {
        let share = Self { limits: self.limits.share(share), ..self.clone() };
        let reservation = Reservation { held: Held::Locally, ..share.reservation(platform) };
        platform.open_locally(share.ask(&reservation))
    }

    fn reservation<P: Platform>(&self, platform: &P) -> Reservation {
        let want = Want { id: platform.roll(), tokens: Tokens(0), lasts: Duration::ZERO };
        // All rates stay, for an account knows them by their order.
        let limits = Limits { concurrent: None, ..self.limits.clone() };
        Reservation { want, scopes: vec![(self.scope.clone(), limits)], held: Held::InStore }
    }

    /// As of a call that follows another: it wants no tokens, and earns no retry.
    fn ask<'a>(&'a self, reservation: &'a Reservation) -> Ask<'a> {
        Ask { tenant: &self.tenant, reservation: Some(reservation), follows: true, ..Ask::default() }
    }
}

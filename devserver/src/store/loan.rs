//! What the store holds for a call, until somebody makes use of it: a client may leave while the store is asked.

use tokio::runtime::Handle;
use weir::platform::{Ask, Lease, Opened, Recall, Repeat, Reservation};
use weir::redis::Moment;

use super::Shared;

/// What the store was asked for a call; it belongs to nobody.
pub(super) struct Asked {
    breakers: Vec<String>,
    reservation: Option<Reservation>,
    recall: Option<Recall>,
    repeat: Option<Repeat>,
    follows: Follows,
    lease: Option<Lease>,
    awaited: Option<u64>,
    anew: Again,
}

/// Whether the call waits for an identical one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    Yes,
    No,
}

/// Whether it was opened before, to no use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

/// Dropped before it is taken, it is given back.
pub(super) struct Loan(Option<(Shared, Asked, Opened, Moment)>);

impl Asked {
    pub(super) fn of(ask: Ask<'_>) -> Self {
        Self {
            breakers: ask.breakers.to_vec(),
            reservation: ask.reservation.cloned(),
            recall: ask.recall.copied(),
            repeat: ask.repeat.copied(),
            follows: if ask.follows { Follows::Yes } else { Follows::No },
            lease: ask.lease.copied(),
            awaited: ask.awaited,
            anew: if ask.anew { Again::Yes } else { Again::No },
        }
    }

    /// Without standings: those the store does not know. Whose it is it does not ask.
    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            tenant: "",
            standings: &[],
            breakers: &self.breakers,
            reservation: self.reservation.as_ref(),
            recall: self.recall.as_ref(),
            repeat: self.repeat.as_ref(),
            follows: self.follows == Follows::Yes,
            lease: self.lease.as_ref(),
            awaited: self.awaited,
            anew: self.anew == Again::Yes,
        }
    }
}

impl Loan {
    pub(super) fn new(shared: Shared, asked: Asked, opened: Opened, moment: Moment) -> Self {
        Self(Some((shared, asked, opened, moment)))
    }

    pub(super) fn take(mut self) -> Opened {
        self.0.take().map(|(_, _, opened, _)| opened).unwrap_or_default()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some((shared, asked, opened, moment)) = self.0.take() else { return };
        // At the end of the process there is nobody to run it, and it expires.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { shared.give_back(asked.ask(), &opened, moment).await });
        }
    }
}

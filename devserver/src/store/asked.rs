//! What the store was asked for a call whose client has left meanwhile: what it holds for it is given back.

use weir::store::lease::Lease;
use weir::store::protocol::{Ask, Recall, Repeat, Reservation};

/// It belongs to nobody.
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

//! What a store is asked and what it answers: before the upstream call, behind it, and in between.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::fingerprint::Fingerprint;
use crate::cache::{Entry, Freshness, Place, Window};
use crate::ledger::record::Record;
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Denied, Left, Scope, Want};
use crate::routing::breaker::control::Full;
use crate::routing::breaker::{Gate, Outcome, Policies};
use crate::routing::load::Standing;
use crate::routing::upstream::UpstreamId;
use crate::store::lease::{Lease, Leased, Release};

/// The store that counts cannot be reached, or does not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLost;

/// What `open` is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Whose call it is; nobody's when somebody only looks.
    pub tenant: &'a str,
    /// Whose standing is wanted.
    pub standings: &'a [(UpstreamId, &'a str)],
    /// Whose gates are wanted.
    pub breakers: &'a [String],
    /// The request that comes with it, which counts for the retry budget; `None` when somebody only looks.
    pub reservation: Option<&'a Reservation>,
    /// An answer that may be kept.
    pub recall: Option<&'a Recall>,
    /// A call that must not be made twice.
    pub repeat: Option<&'a Repeat>,
    /// Whether the call waits for an identical one in flight: it wants no tokens.
    pub follows: bool,
    /// A call that one of several is to make for all, unless its answer is kept. It is taken in the name of
    /// the reservation, so without one nobody takes it.
    pub lease: Option<&'a Lease>,
    /// Whom the call has waited for: the last [`Leased::Elsewhere`].
    pub awaited: Option<u64>,
    /// Whether the call was opened before to be answered from what is kept, and could not be: what was reserved
    /// then is given back first, as if it had never been counted.
    pub anew: bool,
}

/// Objects at a provider, and whose they are or are to be.
#[derive(Clone, Copy, Debug)]
pub struct Ownership<'a> {
    /// By [`crate::cache::fingerprint::of_tenant`].
    pub tenant: Fingerprint,
    /// What a call names.
    pub named: &'a [Fingerprint],
    /// What its answer says was made.
    pub made: &'a [Fingerprint],
}

/// Which answer is asked for, and how old it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recall {
    pub key: Fingerprint,
    pub window: Window,
    pub place: Place,
}

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    pub entry: Arc<Entry>,
    pub age: Duration,
    pub freshness: Freshness,
    /// Whoever reads this is the one to fetch a new answer.
    pub refresh: bool,
    /// Older than its route's `ttl`.
    pub is_stale: bool,
}

/// A call with an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Of the tenant and its key.
    pub key: Fingerprint,
    /// Of the request it is used for.
    pub request: Fingerprint,
}

/// What is known of an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// Nothing: the call goes on, and has the key from now on.
    First,
    /// The same request is under way.
    Running,
    /// The same request was answered.
    Answered { entry: Arc<Entry>, age: Duration },
    /// It was used for another request.
    Conflict,
}

/// What is to be kept of a call's answer.
#[derive(Clone, Debug, Default)]
pub struct Keeping {
    /// Only ever a complete one. Without it the keys are free again.
    pub entry: Option<Arc<Entry>>,
    pub cache: Option<(Fingerprint, Duration)>,
    /// Where it is to be kept for the cache.
    pub place: Place,
    pub repeat: Option<(Repeat, Duration)>,
    /// A lease that goes back, if it is still the call's own.
    pub lease: Option<(Lease, Release)>,
}

/// What a request reserves before its upstream call, and settles behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub want: Want,
    /// In which accounts, under which limits; a scope without limits is left out.
    pub scopes: Vec<(Scope, Limits)>,
    pub held: Held,
}

/// What a call in flight holds: its places among the calls of its accounts, and its `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    pub tenant: String,
    /// Its scopes are those that count calls at the same time, and their limits say nothing else.
    pub reservation: Reservation,
    pub repeat: Option<Repeat>,
}

/// Where a reservation is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    #[default]
    InStore,
    /// In the process: the store was lost.
    Locally,
}

/// What the store says before the upstream call.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    pub standings: Vec<(UpstreamId, Standing)>,
    /// In the order they were asked for.
    pub gates: Vec<Gate>,
    /// The answer is here: no tokens are reserved, and neither standings nor gates are told.
    pub is_kept: bool,
    /// Nothing is reserved, in no scope.
    pub denied: Option<Denied>,
    /// The least that is left in any of the scopes.
    pub left: Left,
    /// Tokens that are held: none for a call that is answered from what is kept.
    pub reserved: Tokens,
    pub recalled: Option<Recalled>,
    /// With [`Repeated::Running`], unless the call follows, and with [`Repeated::Conflict`] nothing is reserved.
    pub repeated: Option<Repeated>,
    /// `None` where no lease was asked for, or none is needed: the answer is kept.
    pub leased: Option<Leased>,
}

impl Opened {
    /// Whether it says that the answer is here, and that nobody is to fetch a new one.
    pub(crate) fn is_to_be_given(&self) -> bool {
        let is_given = |recalled: &Recalled| recalled.freshness != Freshness::IfError && !recalled.refresh;
        matches!(self.repeated, Some(Repeated::Answered { .. }))
            || self.recalled.as_ref().is_some_and(is_given)
    }

    /// What has to be given back of `ask`, should nobody be there any more to make use of it: its place, its tokens
    /// and its keys. The request stays counted. `None` where nothing is held.
    pub fn undone(&self, ask: Ask<'_>) -> Option<(Reservation, Keeping)> {
        let is_held = match &self.repeated {
            Some(Repeated::Conflict) => false,
            Some(Repeated::Running) => ask.follows,
            Some(Repeated::First | Repeated::Answered { .. }) | None => true,
        };
        let is_held = is_held && !matches!(self.leased, Some(Leased::Elsewhere { .. }));
        let reservation = ask.reservation.filter(|_| is_held && self.denied.is_none())?;
        let refreshes = self.recalled.as_ref().is_some_and(|recalled| recalled.refresh);
        let is_first = self.repeated == Some(Repeated::First);
        let keeping = Keeping {
            entry: None,
            place: ask.recall.map(|recall| recall.place).unwrap_or_default(),
            cache: ask.recall.filter(|_| refreshes).map(|recall| (recall.key, Duration::ZERO)),
            repeat: ask.repeat.filter(|_| is_first).map(|repeat| (*repeat, Duration::ZERO)),
            lease: ask
                .lease
                .filter(|_| self.leased == Some(Leased::Own))
                .map(|lease| (*lease, Release::Free)),
        };
        let want = Want { tokens: self.reserved, ..reservation.want };
        Some((Reservation { want, ..reservation.clone() }, keeping))
    }
}

/// What is done after the last byte.
#[derive(Clone, Debug)]
pub struct Closing {
    pub record: Record,
    pub reservation: Reservation,
    /// What the reservation turned out to be.
    pub used: Tokens,
    /// What the breakers learn.
    pub findings: Vec<Finding>,
    /// Probes that came to nothing; their leases go back.
    pub abandoned: Vec<String>,
    pub keeping: Keeping,
}

impl Closing {
    /// The same of a call whose answer is not kept: it is too large to wait with the rest.
    #[must_use]
    pub fn without_answer(&self) -> Self {
        Self { keeping: Keeping { entry: None, ..self.keeping.clone() }, ..self.clone() }
    }
}

/// How one call ended, for the breaker of this name: with `upstream/model` for the upstream's as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub breaker: String,
    pub policies: Policies,
    pub outcome: Outcome,
}

/// Why an order is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheeded {
    Full(Full),
    /// No replica would see it.
    StoreLost,
}

impl From<Full> for Unheeded {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<StoreLost> for Unheeded {
    fn from(StoreLost: StoreLost) -> Self {
        Self::StoreLost
    }
}

//! What is said to an object, and by it.

use std::sync::Arc;
use std::time::Duration;

use super::{Asked, Object};
use crate::cache::Entry;
use crate::cache::fingerprint::Fingerprint;
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{Denied, Left, Scope, Told, Want};
use crate::routing::breaker::control::{self, Full, Listing, Order};
use crate::routing::breaker::{Gate, Policies};
use crate::store::lease::{Lease, Leased, Release, Renewed};
use crate::store::protocol::{Finding, Repeat, Repeated, StoreLost};
use crate::time::Instant;
use crate::wire::pack::{self, Garbled, packed};

/// Of questions and answers alike. An object and an isolate of different versions do not understand each other.
const VERSION: u8 = 4;

/// What an object is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Open(Part),
    Mend(Mend),
    Close(Ended),
    Withdraw {
        breaker: String,
    },
    LeaseProbe {
        breaker: String,
        id: u64,
    },
    ReportProbe {
        finding: Finding,
        id: u64,
    },
    Control(Order),
    Listing {
        names: Vec<String>,
    },
    Renew {
        lease: Lease,
        id: u64,
    },
    /// The call is still under way, and holds what it holds from now on.
    Hold {
        id: u64,
        lasts: Duration,
        scopes: Vec<(Scope, Limits)>,
        repeat: Option<Repeat>,
    },
    /// Whether all objects that are named are the tenant's, and what was made.
    Own {
        tenant: Fingerprint,
        named: Vec<Fingerprint>,
        made: Vec<Fingerprint>,
    },
    /// Another question, written as it would be by itself, behind what happened before it.
    Behind {
        tally: Tally,
        question: Vec<u8>,
    },
}

packed!(enum Question {
    0 => Open(part),
    1 => Mend(mend),
    2 => Close(ended),
    3 => Withdraw { breaker },
    4 => LeaseProbe { breaker, id },
    5 => ReportProbe { finding, id },
    6 => Control(order),
    7 => Listing { names },
    8 => Renew { lease, id },
    9 => Behind { tally, question },
    10 => Own { tenant, named, made },
    11 => Hold { id, lasts, scopes, repeat },
});

/// What an object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Opened(Box<Said>),
    Done,
    Granted(bool),
    Obeyed(Result<control::Entry, Full>),
    Listed(Listing),
    Renewed(Renewed),
    /// The question cannot be read: another version has asked it, or nobody should have.
    Garbled,
}

packed!(enum Answer {
    0 => Opened(said),
    1 => Done,
    2 => Granted(is_granted),
    3 => Obeyed(outcome),
    4 => Listed(listing),
    5 => Renewed(renewed),
    6 => Garbled,
});

/// What one object has to say before the upstream call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) repeat: Option<Repeat>,
    pub(super) follows: bool,
    /// Whether what was reserved for an answer that was kept is given back first.
    pub(super) anew: bool,
    /// Whether somebody fetches a new answer in place of the one of this key.
    pub(super) refresh: Option<Fingerprint>,
    /// And whom the call has waited for.
    pub(super) lease: Option<(Lease, Option<u64>)>,
    pub(super) demand: Option<Demand>,
    pub(super) gates: Vec<String>,
    /// Whether the request counts for the budget of retries.
    pub(super) deposits: bool,
}

packed!(struct Part { repeat, follows, anew, refresh, lease, demand, gates, deposits });

/// What went well with an upstream, and was not told when it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) successes: Vec<Successes>,
    /// Requests that count for the budget of retries.
    pub(super) deposits: u32,
}

packed!(struct Tally { successes, deposits });

/// Calls of one breaker, and of its upstream's where it is a model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Successes {
    pub(super) breaker: String,
    pub(super) policies: Policies,
    pub(super) count: u32,
}

packed!(struct Successes { breaker, policies, count });

/// What is to be reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) want: Want,
    pub(super) scopes: Vec<(Scope, Limits)>,
    pub(super) extent: Extent,
}

packed!(struct Demand { want, scopes, extent });

/// How much of what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// A request and its place among the calls in flight, and no tokens.
    Place,
    /// With its tokens, or not at all.
    Whole,
    /// With its tokens, or else without: what other objects say decides.
    Either,
}

packed!(enum Extent { 0 => Place, 1 => Whole, 2 => Either });

/// What an object has to say of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) repeated: Option<Repeated>,
    pub(super) leased: Option<Leased>,
    /// Nobody fetches a new answer; so this call does, if it has all that it wants.
    pub(super) is_due: bool,
    pub(super) reserved: Reserved,
    /// In the order they were asked for; none where the call goes no further.
    pub(super) gates: Vec<Gate>,
    /// Thousandths of a retry.
    pub(super) deposited: u64,
}

packed!(struct Said { repeated, leased, is_due, reserved, gates, deposited });

/// What an object has reserved, and what it would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) taken: Taken,
    /// Why there are no tokens, and why there is no place.
    pub(super) no_whole: Option<No>,
    pub(super) no_place: Option<No>,
    /// What is left without the reservation, and with it.
    pub(super) before: Left,
    pub(super) after: Left,
}

packed!(struct Reserved { taken, no_whole, no_place, before, after });

/// Why something is not reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct No {
    /// Index of the scope, of those that the object was asked for.
    pub(super) at: u32,
    pub(super) denied: Denied,
}

packed!(struct No { at, denied });

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taken {
    #[default]
    Nothing,
    Place,
    Whole,
}

packed!(enum Taken { 0 => Nothing, 1 => Place, 2 => Whole });

/// What an object has to take back, because another has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mend {
    pub(super) want: Want,
    pub(super) scopes: Vec<(Scope, Limits)>,
    pub(super) taken: Taken,
    /// What is to stay of it.
    pub(super) stays: Taken,
    pub(super) repeat: Option<Repeat>,
    pub(super) lease: Option<Lease>,
    pub(super) refresh: Option<Fingerprint>,
    /// Thousandths of a retry.
    pub(super) deposited: u64,
}

packed!(struct Mend { want, scopes, taken, stays, repeat, lease, refresh, deposited });

/// What one object learns after the last byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) id: u64,
    /// Whether it may have been told before.
    pub(super) told: Told,
    pub(super) held: Option<(Want, Vec<(Scope, Limits)>)>,
    pub(super) used: Tokens,
    /// Nobody fetches a new answer in place of the one of this key any more.
    pub(super) refresh: Option<Fingerprint>,
    /// A key with what was answered, or free again.
    pub(super) repeat: Option<(Repeat, Duration)>,
    pub(super) entry: Option<Arc<Entry>>,
    pub(super) lease: Option<(Lease, Release)>,
    pub(super) findings: Vec<Finding>,
    pub(super) abandoned: Vec<String>,
}

packed!(struct Ended { id, told, held, used, refresh, repeat, entry, lease, findings, abandoned });

impl Question {
    pub(super) fn to(&self, object: Object, now: Instant) -> Asked {
        Asked { object, question: self.write(now) }
    }

    pub(super) fn write(&self, now: Instant) -> Vec<u8> {
        pack::pack(VERSION, self, now)
    }

    pub(super) fn read(bytes: &[u8], now: Instant) -> Result<Self, Garbled> {
        pack::unpack(VERSION, bytes, now)
    }
}

impl Answer {
    pub(super) fn write(&self, now: Instant) -> Vec<u8> {
        pack::pack(VERSION, self, now)
    }

    /// Who cannot be understood is lost.
    pub(super) fn read(bytes: &[u8], now: Instant) -> Result<Self, StoreLost> {
        pack::unpack(VERSION, bytes, now).map_err(|Garbled| StoreLost)
    }
}

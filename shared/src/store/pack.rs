//! How the domain's words are written. Records with fields of their own are written beside them.

use std::net::IpAddr;

use crate::cache::Entry;
use crate::dialect::endpoint::{Form, Operation};
use crate::ledger::usage::Tokens;
use crate::limits::account::{Denied, Left, Measure, Scope, Told, Want};
use crate::limits::rate::{Allowance, Denial, Rate};
use crate::limits::{Limits, OnStoreLoss};
use crate::routing::breaker::control::{self, Change, Forced, Full, Listing, Order, Override};
use crate::routing::breaker::{self, Gate, OnRateLimit, Outcome, Policies, Policy};
use crate::store::lease::{Lease, Leased, Mark, Piece, Release, Renewed};
use crate::store::protocol::{Finding, Repeat, Repeated};
use crate::wire::pack::{Garbled, Pack, Packer, Unpacker, packed};

packed!(enum Scope {
    0 => Caller { tenant, name },
    1 => Address(address),
    2 => Route(pattern),
    3 => Overflow,
});
packed!(struct Rate { count, per } if |rate| rate.count > 0 && rate.is_exact());
packed!(struct Limits { requests, tokens, concurrent, on_store_loss });
packed!(enum OnStoreLoss { 0 => Closed, 1 => Open, 2 => Local });
packed!(struct Want { id, tokens, lasts });
packed!(enum Told { 0 => First, 1 => Again });
packed!(struct Denied { measure, used, requested, denial });
packed!(enum Measure { 0 => Requests(rate), 1 => Tokens(rate), 2 => Concurrent(most) });
packed!(enum Denial { 0 => NotYet { wait }, 1 => Never });
packed!(struct Left { requests, tokens });
packed!(struct Allowance { limit, remaining, reset });

packed!(struct Repeat { key, request });
packed!(enum Repeated { 0 => First, 1 => Running, 2 => Answered { entry, age }, 3 => Conflict });
packed!(struct Entry { operation, form, content_type, model, body });
packed!(enum Operation { 0 => Chat, 1 => Completions, 2 => Embeddings, 3 => Responses });
packed!(enum Form { 0 => Whole, 1 => Events });

packed!(struct Lease { tenant, key, form, span });
packed!(enum Leased { 0 => Own, 1 => Elsewhere { id, is_audible }, 2 => Nobody });
packed!(enum Release { 0 => Spent, 1 => Free });
packed!(enum Renewed { 0 => Unheard, 1 => Heard, 2 => Lost });
packed!(struct Piece { head, bytes, end });
packed!(enum Mark { 0 => Complete, 1 => Cut { notice } });

packed!(struct Finding { breaker, policies, outcome });
packed!(struct Policies { model, upstream });
packed!(struct Policy { consecutive, failure_rate, window, minimum, open, on_rate_limit }
    if |policy| policy.failure_rate() <= 1_000_000);
packed!(enum OnRateLimit { 0 => Open, 1 => Count, 2 => Ignore });
packed!(enum Outcome {
    0 => Success,
    1 => Failure { scope },
    2 => RateLimited { scope, retry_after },
    3 => Timeout { caller },
    4 => Break { scope },
});
packed!(enum breaker::FaultScope { 0 => Model, 1 => Upstream });
packed!(enum Gate { 0 => Closed, 1 => Open { until }, 2 => HalfOpen, 3 => Forced(by) });

packed!(struct Override { forced, until });
packed!(enum Forced { 0 => Open, 1 => Closed });
packed!(struct Order { breaker, change });
packed!(enum Change { 0 => Force { forced, lasting }, 1 => Release });
packed!(struct control::Entry { breaker, gate, automatic, own });
packed!(struct Listing { entries, has_more });

packed!(struct Tokens(count));
packed!(struct Full { most });

/// An IPv4 address and the IPv6 one that maps it are two.
impl Pack for IpAddr {
    fn pack(&self, to: &mut Packer) {
        match self {
            Self::V4(address) => Some(address.octets()).pack(to),
            Self::V6(address) => {
                None::<[u8; 4]>.pack(to);
                address.octets().pack(to);
            }
        }
    }

    fn unpack(from: &mut Unpacker<'_>) -> Result<Self, Garbled> {
        Ok(match Option::<[u8; 4]>::unpack(from)? {
            Some(octets) => octets.into(),
            None => <[u8; 16]>::unpack(from)?.into(),
        })
    }
}

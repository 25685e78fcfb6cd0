//! What a call holds for as long as it is under way.

use crate::store::lease::Lease;
use crate::store::protocol::Holding;

/// What a call holds.
pub(crate) struct Held {
    pub(crate) holding: Option<Holding>,
    pub(crate) lead: Option<Lead>,
}

/// A lease, in the name of the call `id`.
#[derive(Clone, Copy)]
pub(crate) struct Lead {
    pub(crate) lease: Lease,
    pub(crate) id: u64,
    /// Bytes of the longest answer that is carried.
    pub(crate) most: u64,
}

//! What is leased to a call for as long as it says that it is under way: its places and its key, and the right to make
//! a call that several replicas want, with what its answer says on its way.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::cache::fingerprint::Fingerprint;

/// How often a call in flight says that it still holds what it holds, for as long as it is asked to
/// ([`crate::limits::account::HELD`]).
pub const HOLD_RENEWAL: Duration = Duration::from_secs(10);

/// The right to make a call that several want. It ends by itself, so that nobody waits for long for a leader
/// who has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who wants it: [`crate::cache::fingerprint::of_tenant`].
    pub tenant: Fingerprint,
    /// What the answer will be kept by.
    pub key: Fingerprint,
    /// What those know it by who can listen to it as it comes; `None` where this call is to be answered as a
    /// whole, or cannot listen.
    pub form: Option<Fingerprint>,
    /// How long it lasts unless it is renewed.
    pub span: Duration,
}

/// Who makes a call that several want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leased {
    /// This one.
    Own,
    /// The call of this id; nothing is reserved. Its answer may be audible as it comes:
    /// [`crate::platform::Store::overhear`].
    Elsewhere { id: u64, is_audible: bool },
    /// Everybody who has waited, each for itself: whom they waited for has no answer for them.
    Nobody,
}

/// More of an answer that is on its way, for those who listen elsewhere. Its `Debug` shows none of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// The beginning, with the first of its pieces: the words are the core's.
    pub head: Option<Bytes>,
    pub bytes: Bytes,
    /// With the last.
    pub end: Option<Mark>,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, bytes, end } = self;
        f.debug_struct("Piece")
            .field("head", &head.as_ref().map(Bytes::len))
            .field("bytes", &bytes.len())
            .field("end", end)
            .finish()
    }
}

/// How an answer has ended for those who listen elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    Complete,
    /// It is not complete, or is not carried any further.
    Cut {
        /// The last that a client reads; none is an abort.
        notice: Option<Bytes>,
    },
}

/// What a leader is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Nobody elsewhere listens.
    Unheard,
    /// Somebody does, or has just now: what the answer says is to be carried to the store.
    Heard,
    /// The lease is not its own any more: it ran out, or somebody else has taken over.
    Lost,
}

/// Bytes of an answer that are heard at a time.
pub(crate) const MOST_OVERHEARD: usize = 64 * 1024;

/// What is heard of a call elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overheard {
    /// Nothing is known of it.
    Nothing,
    Piece {
        /// From the byte that was asked for; the head only with the first. The end only where nothing is left
        /// to read.
        piece: Piece,
        /// Whether more may come.
        is_led: bool,
    },
}

/// What a leader leaves behind with its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Its answer, or the lack of one: who has waited for it and finds none does not wait again.
    Spent,
    /// Nothing yet: the next who asks takes over.
    Free,
}

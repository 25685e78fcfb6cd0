//! A websocket that an upstream has opened, with what is held for as long as it is.

use std::fmt;

use super::Permit;
use crate::config::WebSocket;
use crate::limits::concurrency::Slot;
use crate::platform::Platform;
use crate::wire::websocket::tunnel::Tunnel;

/// How much and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) time: WebSocket,
    /// Bytes of a message.
    pub(crate) message: u64,
}

/// A websocket that is open, with what is held for as long as it is.
pub(crate) struct Open<P: Platform> {
    pub(crate) tunnel: Tunnel,
    pub(crate) bounds: Bounds,
    pub(crate) permit: Permit<P>,
    pub(crate) slot: Option<Slot>,
}

impl<P: Platform> fmt::Debug for Open<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

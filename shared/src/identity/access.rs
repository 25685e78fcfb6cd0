//! Who may call: by which rule, and what operators are known by.

use std::net::{IpAddr, SocketAddr};

use crate::identity::caller::{KeyHash, Keyring};
use crate::identity::cors::Cors;
use crate::limits::Limits;

/// What decides who may call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'c> {
    pub(crate) auth: Auth,
    pub(crate) keys: &'c Keyring,
    /// Of each client address where no key is asked for.
    pub(crate) limits: &'c Limits,
    pub(crate) admin: &'c Admin,
    /// Proxies in front that are believed about the client's address.
    pub(crate) trusted_proxies: usize,
    /// Web pages that may call; `None`: none.
    pub(crate) cors: Option<&'c Cors>,
}

/// Who is at the other end of the connection: an extension of the request, put there by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// An extension of a request that came to the address of the operators (`admin.listen`), put there by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorsAddress;

/// What operators are known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Of the key that opens `/admin/…`; `None`: nothing does.
    pub hash: Option<KeyHash>,
    /// Whoever comes to this address sees what operators see, without a key.
    pub listen: Option<SocketAddr>,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anyone; only on loopback unless the document says `open_on_any_address = true` as well.
    Open { on_any_address: bool },
    /// Callers with a key.
    Keys,
}

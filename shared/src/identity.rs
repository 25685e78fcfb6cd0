//! Who calls, and from where: keys, client addresses, web pages.

pub mod access;
pub mod caller;
pub mod client_address;
pub mod cors;
pub(crate) mod cross_site;
pub(crate) mod identify;

//! The Spin component as an OCI layout on disk, in the form in which `spin registry push` writes it.
//!
//! A registry, a daemon and a clock would each make two images of one input different, so none of them is
//! asked: the same manifest and the same component give the same digests, on every machine. Whatever Spin's
//! manifest can say and this crate cannot carry (files, other sources) is refused, never left out. What was
//! written is read back as others would, before its digest is told.

mod found;
mod layout;
mod locked;
mod manifest;

pub use found::Found;
pub use layout::{Failed, Layout};
pub use locked::{Locked, lock};
pub use manifest::Manifest;

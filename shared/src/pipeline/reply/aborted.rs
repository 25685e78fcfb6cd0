//! An answer that breaks off.

use std::fmt;

/// The answer cannot be completed and its form has no words for that: the connection must be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream's answer broke off")
    }
}

impl std::error::Error for Aborted {}

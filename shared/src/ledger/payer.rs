//! Who a call is charged to, as its record names it.

use std::fmt;

/// A caller with a name and a tenant.
pub trait Payer: fmt::Debug + Send + Sync {
    /// The name of its `[key.NAME]` table.
    fn name(&self) -> &str;

    /// The unit of isolation.
    fn tenant(&self) -> &str;
}

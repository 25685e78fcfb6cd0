//! What is kept of a desk beside the object that runs it: records by name, each of which names itself.

use crate::cache::fingerprint::{Fingerprint, Framed};
use crate::limits::Limits;
use crate::limits::account::{Account, Scope};
use crate::routing::breaker::Breaker;
use crate::routing::breaker::control::Override;
use crate::routing::retry::RetryBudget;
use crate::store::embedded::answers::Key;
use crate::time::Instant;
use crate::wire::pack::{self, Garbled, packed};

/// Whoever changes a record changes it.
const VERSION: u8 = 3;

/// What names are written by in keys: whoever changes it leaves every record behind. Records of that version are read
/// still, but for those that have changed.
const NAMED: u8 = 2;

/// What there is a record of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Account(Scope),
    /// An `Idempotency-Key`: who uses it, and what was answered to it.
    Key(Fingerprint),
    Breaker(String),
    /// What an operator says of the breaker of this name.
    Order(String),
    Retries,
    /// Whose an object of a provider is.
    Object {
        tenant: Fingerprint,
        object: Fingerprint,
    },
}

packed!(enum Name { 0 => Account(scope), 1 => Key(key), 2 => Breaker(name), 3 => Order(name), 4 => Retries, 5 => Object { tenant, object } });

#[derive(Debug)]
pub(super) enum Record {
    Account { scope: Scope, account: Account, limits: Limits },
    Key { key: Fingerprint, known: Key },
    Breaker { name: String, breaker: Breaker },
    Order { name: String, held: Override },
    Retries { budget: RetryBudget },
    Object { tenant: Fingerprint, object: Fingerprint, named: Instant },
}

packed!(enum Record {
    0 => Account { scope, account, limits },
    1 => Key { key, known },
    2 => Breaker { name, breaker },
    3 => Order { name, held },
    4 => Retries { budget },
    5 => Object { tenant, object, named },
});

impl Name {
    /// Printable ASCII, at most 80 characters.
    pub(super) fn key(&self) -> String {
        let hashed = |kind: &str| {
            let name = pack::pack(NAMED, self, Instant::default());
            format!("{kind}:{}", Framed::new("weir record 1").field("name", &name).finish().to_hex())
        };
        match self {
            Self::Account(_) => hashed("account"),
            Self::Key(_) => hashed("key"),
            Self::Breaker(_) => hashed("breaker"),
            Self::Order(_) => hashed("order"),
            Self::Retries => "retries".to_owned(),
            Self::Object { .. } => hashed("object"),
        }
    }
}

impl Record {
    pub(super) fn name(&self) -> Name {
        match self {
            Self::Account { scope, .. } => Name::Account(scope.clone()),
            Self::Key { key, .. } => Name::Key(*key),
            Self::Breaker { name, .. } => Name::Breaker(name.clone()),
            Self::Order { name, .. } => Name::Order(name.clone()),
            Self::Retries { .. } => Name::Retries,
            Self::Object { tenant, object, .. } => Name::Object { tenant: *tenant, object: *object },
        }
    }

    /// Times are written as they are: the clock goes on.
    pub(super) fn write(&self) -> Vec<u8> {
        pack::pack(VERSION, self, Instant::default())
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Garbled> {
        let read = |version| pack::unpack(version, bytes, Instant::default());
        read(VERSION).or_else(|Garbled| read(NAMED))
    }
}

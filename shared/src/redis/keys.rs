//! Names of keys: a namespace in braces, a kind, and a hash of whatever somebody chose.

use crate::account::Scope;
use crate::fingerprint::{Fingerprint, Framed};

/// The keys of one gateway.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self { prefix: format!("weir:{{{namespace}}}:") }
    }

    /// A key there is one of.
    pub(super) fn alone(&self, kind: &str) -> String {
        format!("{}{kind}", self.prefix)
    }

    pub(super) fn hashed(&self, kind: &str, name: Fingerprint) -> String {
        format!("{}{kind}:{}", self.prefix, name.to_hex())
    }

    pub(super) fn account(&self, name: Fingerprint) -> String {
        self.hashed("account", name)
    }

    pub(super) fn holds(&self, name: Fingerprint) -> String {
        self.hashed("holds", name)
    }

    pub(super) fn breaker(&self, name: &str) -> String {
        self.hashed("breaker", Framed::new("weir breaker 1").field("name", name.as_bytes()).finish())
    }

    pub(super) fn retries(&self) -> String {
        self.alone("retries")
    }

    pub(super) fn control(&self) -> String {
        self.alone("control")
    }

    /// What is counted.
    pub(super) fn sums(&self) -> String {
        self.alone("counters")
    }

    /// Who is being answered.
    pub(super) fn present(&self) -> String {
        self.alone("present")
    }

    pub(super) fn index(&self) -> String {
        self.alone("breakers")
    }
}

/// What an account is known by.
pub(super) fn of_scope(scope: &Scope) -> Fingerprint {
    let framed = Framed::new("weir account 1");
    match scope {
        Scope::Caller { tenant, name } => {
            framed.field("tenant", tenant.as_bytes()).field("caller", name.as_bytes())
        }
        Scope::Address(address) => framed.field("address", address.to_string().as_bytes()),
        Scope::Route(pattern) => framed.field("route", pattern.as_bytes()),
        Scope::Overflow => framed.field("overflow", b""),
    }
    .finish()
}

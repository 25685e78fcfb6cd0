//! Names of keys: a namespace in braces, a kind, and a hash of whatever somebody chose.

use std::sync::Arc;

use crate::cache::fingerprint::{Fingerprint, Framed};
use crate::limits::account::Scope;

/// The keys of one gateway.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

/// One of them; it is written where it is wanted, for every command has several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    prefix: &'a str,
    kind: &'static str,
    name: Option<Fingerprint>,
}

/// Answers that make room for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// What the cache keeps.
    Cached,
    /// What was answered to an `Idempotency-Key`.
    Repeats,
}

impl Pool {
    const fn kind(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Repeats => "repeats",
        }
    }
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self { prefix: format!("weir:{{{namespace}}}:").into() }
    }

    /// A key there is one of.
    pub(super) fn alone(&self, kind: &'static str) -> Key<'_> {
        Key { prefix: &self.prefix, kind, name: None }
    }

    pub(super) fn hashed(&self, kind: &'static str, name: Fingerprint) -> Key<'_> {
        Key { name: Some(name), ..self.alone(kind) }
    }

    /// What is kept of an answer.
    pub(super) fn answer(&self, name: Fingerprint) -> Key<'_> {
        self.hashed("answer", name)
    }

    /// Tenants by what a pool keeps of theirs.
    pub(super) fn owners(&self, pool: Pool) -> Key<'_> {
        self.alone(pool.kind())
    }

    /// What a pool keeps of a tenant's, by when it ends.
    pub(super) fn line(&self, pool: Pool, tenant: Fingerprint) -> Key<'_> {
        self.hashed(pool.kind(), tenant)
    }

    pub(super) fn account(&self, name: Fingerprint) -> Key<'_> {
        self.hashed("account", name)
    }

    pub(super) fn holds(&self, name: Fingerprint) -> Key<'_> {
        self.hashed("holds", name)
    }

    /// Objects of a tenant.
    pub(super) fn owned(&self, tenant: Fingerprint) -> Key<'_> {
        self.hashed("owned", tenant)
    }

    pub(super) fn breaker(&self, name: &str) -> Key<'_> {
        self.hashed("breaker", Framed::new("weir breaker 1").field("name", name.as_bytes()).finish())
    }

    pub(super) fn retries(&self) -> Key<'_> {
        self.alone("retries")
    }

    pub(super) fn control(&self) -> Key<'_> {
        self.alone("control")
    }

    /// What is counted.
    pub(super) fn sums(&self) -> Key<'_> {
        self.alone("counters")
    }

    /// Who is being answered.
    pub(super) fn present(&self) -> Key<'_> {
        self.alone("present")
    }

    /// Models whose breakers remember something: their names may be made up, so they are bounded in number.
    pub(super) fn watched(&self) -> Key<'_> {
        self.alone("watched")
    }

    pub(super) fn index(&self) -> Key<'_> {
        self.alone("breakers")
    }
}

impl Key<'_> {
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.prefix.as_bytes());
        to.extend_from_slice(self.kind.as_bytes());
        if let Some(name) = self.name {
            to.push(b':');
            to.extend_from_slice(&name.digits());
        }
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

//! Which object keeps what.

use crate::cache::fingerprint::{self, Fingerprint, Framed};
use crate::limits::account::Scope;
use crate::routing::breaker::control;

/// Objects that the addresses of an open gateway are spread over.
const SHARDS: u8 = 64;

/// What one object keeps. Nobody but the operator chooses how many there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A tenant's accounts, idempotency keys and leases, by [`fingerprint::of_tenant`].
    Tenant(Fingerprint),
    /// The accounts of some of the addresses of an open gateway.
    Addresses { shard: u8 },
    /// The account of all callers of the route with this pattern.
    Route(String),
    /// The breakers of an upstream and of its models, what operators say of them, and its budget of retries.
    Upstream(String),
}

impl Object {
    pub fn tenant(name: &str) -> Self {
        Self::Tenant(fingerprint::of_tenant(name))
    }

    /// An override of an upstream's breaker holds for those of its models, so they lie together.
    pub fn of_breaker(name: &str) -> Self {
        Self::Upstream(control::upstream_of(name).to_owned())
    }

    /// Who keeps the account of a scope. Newcomers share one only within an object, so there is none for them.
    pub(super) fn of_scope(scope: &Scope) -> Option<Self> {
        match scope {
            Scope::Caller { tenant, .. } => Some(Self::tenant(tenant)),
            Scope::Address(address) => {
                let text = address.to_string();
                let [first, ..] =
                    Framed::new("weir address 1").field("ip", text.as_bytes()).finish().into_bytes();
                Some(Self::Addresses { shard: first % SHARDS })
            }
            Scope::Route(pattern) => Some(Self::Route(pattern.clone())),
            Scope::Overflow => None,
        }
    }

    /// The name it is addressed by: printable ASCII, at most 80 characters, another for every other object.
    pub fn name(&self) -> String {
        let hashed = |kind: &str, name: &str| {
            let name = Framed::new("weir object 1").field("name", name.as_bytes()).finish();
            format!("{kind}:{}", name.to_hex())
        };
        match self {
            Self::Tenant(tenant) => format!("tenant:{}", tenant.to_hex()),
            Self::Addresses { shard } => format!("addresses:{shard}"),
            Self::Route(pattern) => hashed("route", pattern),
            Self::Upstream(name) => hashed("upstream", name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_name_is_one_objects_and_stays_it() {
        let objects = [
            Object::tenant("a"),
            Object::tenant("b"),
            Object::Route("a".into()),
            Object::Route("tenant:a".into()),
            Object::Upstream("a".into()),
            Object::Upstream(String::new()),
            Object::Addresses { shard: 1 },
            Object::Addresses { shard: 11 },
        ];
        let names: BTreeSet<String> = objects.iter().map(Object::name).collect();
        assert_eq!(names.len(), objects.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() <= 80 && name.is_ascii()), "{names:?}");
        // Whoever changes it leaves every object behind.
        let expected = "upstream:68f45ac5";
        assert_eq!(&Object::Upstream("openai".into()).name()[..expected.len()], expected);
    }

    #[test]
    fn what_has_to_be_seen_as_one_lies_together() {
        assert_eq!(Object::of_breaker("openai/gpt/4"), Object::of_breaker("openai"));
        assert_ne!(Object::of_breaker("openai"), Object::of_breaker("open"));
        let caller = |name: &str| Scope::Caller { tenant: "t".into(), name: name.into() };
        assert_eq!(Object::of_scope(&caller("a")), Object::of_scope(&caller("b")));
        let shards: BTreeSet<_> = (0..4000)
            .map(|address| Object::of_scope(&Scope::Address(Ipv4Addr::from_bits(address).into())))
            .collect();
        assert_eq!(shards.len(), usize::from(SHARDS));
    }
}

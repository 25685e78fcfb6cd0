//! What is done and asked for, by chance.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::{Lives, Spread, World};
use crate::cache::fingerprint::{self, Fingerprint, Framed};
use crate::cache::{Entry, Place, Window};
use crate::dialect::endpoint::{Form, Operation};
use crate::ledger::usage::Tokens;
use crate::limits::Limits;
use crate::limits::account::{HELD, Scope, Want};
use crate::limits::rate::Rate;
use crate::random::{STEP, scramble};
use crate::routing::breaker::{FaultScope, Outcome, Policies, Policy};
use crate::store::lease::Lease;
use crate::store::protocol::{Finding, Held, Recall, Repeat, Reservation};
use crate::time::UnixMillis;

impl World {
    pub(super) fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        scramble(self.state)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    pub(super) fn wall(&self) -> UnixMillis {
        UnixMillis(self.now.as_micros() / 1000)
    }

    pub(super) fn reservation(&mut self, tenant: &str) -> Reservation {
        let scopes = match self.below(6) {
            0 => vec![],
            1 => vec![caller(tenant, 0)],
            2 => vec![caller(tenant, 0), route("gpt-*")],
            3 => vec![caller(tenant, 1), route("gpt-*")],
            4 => vec![caller(tenant, 2), route("o*")],
            _ => vec![address(self.below(3)), route("gpt-*")],
        };
        let tokens = self.one_of(&[0, 1, 40, 90, 700, 5000]);
        let want = Want { id: self.roll(), tokens: Tokens(tokens), lasts: HELD };
        Reservation { want, scopes, held: Held::InStore }
    }

    pub(super) fn recall(&mut self, tenant: &str) -> Option<Recall> {
        let key = match self.below(5) {
            0 => return None,
            name => key("cache", tenant, name % 3),
        };
        let second = Duration::from_secs;
        // Whoever fetches a new one is forgotten with the object.
        let windows = if self.lives == Lives::One { 3 } else { 1 };
        let window = match self.below(windows) {
            0 => Window { fresh: second(10), revalidate: second(10), if_error: second(10), ttl: second(10) },
            1 => Window { fresh: second(2), revalidate: second(60), if_error: second(90), ttl: second(5) },
            _ => Window { fresh: second(0), revalidate: second(0), if_error: Duration::MAX, ttl: second(1) },
        };
        Some(Recall { key, window, place: Place::Edge })
    }

    pub(super) fn lease(&mut self, tenant: &str) -> Option<Lease> {
        let (name, span) = (self.below(6), Duration::from_secs(self.one_of(&[1, 3, 30])));
        let tenants = fingerprint::of_tenant(tenant);
        (name < 3 && self.lives == Lives::One).then(|| Lease {
            tenant: tenants,
            key: key("cache", tenant, name),
            form: None,
            span,
        })
    }

    pub(super) fn repeat(&mut self, tenant: &str) -> Option<Repeat> {
        let name = self.below(5);
        let request = key("request", tenant, u64::from(self.below(8) == 0));
        (name < 2).then(|| Repeat { key: key("repeat", tenant, name), request })
    }

    pub(super) fn breaker(&mut self) -> String {
        let names: &[&str] = match self.spread {
            Spread::Upstreams => &["a", "a/m", "a/m: {}\r\n", "b", "b/ключ"],
            Spread::OneUpstream => &["a", "a/m", "a/n"],
        };
        self.one_of(names).to_owned()
    }

    pub(super) fn breakers(&mut self) -> Vec<String> {
        let mut names: Vec<String> = (0..self.below(4)).map(|_| self.breaker()).collect();
        if self.spread == Spread::OneUpstream {
            // Without a breaker nobody would hear of the request.
            names.push("a".into());
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn finding(&mut self) -> Finding {
        let breaker = self.breaker();
        let policy = |consecutive| Policy { consecutive, ..Policy::default() };
        let policies = Policies { model: policy(3), upstream: policy(2) };
        let retry_after = self.one_of(&[None, Some(3), Some(50)]).map(Duration::from_secs);
        let roll = self.below(15);
        let scope = if roll < 10 { FaultScope::Model } else { FaultScope::Upstream };
        let outcome = match roll % 5 {
            0 => Outcome::Success,
            1 => Outcome::RateLimited { scope, retry_after },
            2 => Outcome::Timeout { caller: roll / 5 },
            3 => Outcome::Break { scope },
            _ => Outcome::Failure { scope },
        };
        Finding { breaker, policies, outcome }
    }

    /// One that is under way, or one that is not.
    pub(super) fn a_call(&mut self) -> u64 {
        let at = usize::try_from(self.below(4)).unwrap();
        self.under_way.get(at).map_or(u64::MAX - at as u64, |(_, reservation, _)| reservation.want.id)
    }

    pub(super) fn entry(&mut self) -> Arc<Entry> {
        let body: Vec<u8> = (0..self.below(300)).map(|_| self.roll().to_le_bytes()[0]).collect();
        Arc::new(Entry {
            operation: self.one_of(&[Operation::Chat, Operation::Embeddings]),
            form: self.one_of(&[Form::Whole, Form::Events]),
            content_type: self.one_of(&["", "application/json"]).to_owned(),
            model: self.one_of(&["", "m", "ein\nModell"]).to_owned(),
            body: body.into(),
        })
    }
}

pub(super) fn key(kind: &str, tenant: &str, name: u64) -> Fingerprint {
    Framed::new(kind).field("tenant", tenant.as_bytes()).field("name", &name.to_be_bytes()).finish()
}

fn rate(count: u64, seconds: u64) -> Rate {
    Rate { count, per: Duration::from_secs(seconds) }
}

/// Each scope has limits of its own, for a scope's limits do not change while it is tried.
fn caller(tenant: &str, number: u64) -> (Scope, Limits) {
    let limits = match number {
        0 => Limits {
            requests: vec![rate(2, 10), rate(60, 3600)],
            tokens: vec![rate(1000, 60)],
            concurrent: Some(3),
            ..Limits::default()
        },
        1 => Limits { tokens: vec![rate(100, 1), rate(1_999_993, 86_400)], ..Limits::default() },
        _ => Limits { concurrent: Some(1), ..Limits::default() },
    };
    (Scope::Caller { tenant: tenant.into(), name: format!("caller-{number}") }, limits)
}

fn address(number: u64) -> (Scope, Limits) {
    let limits = Limits { requests: vec![rate(3, 1)], ..Limits::default() };
    let bits = u32::try_from(number).unwrap();
    (Scope::Address(Ipv4Addr::from_bits(bits).into()), limits)
}

fn route(pattern: &str) -> (Scope, Limits) {
    let limits = Limits { requests: vec![rate(8, 60)], tokens: vec![rate(2500, 60)], ..Limits::default() };
    (Scope::Route(pattern.into()), limits)
}

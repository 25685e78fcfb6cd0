//! What a prepared document consists of: every field, in its order.

use std::net::SocketAddr;

use super::words::{Reader, Shape, Writer};
use super::{DefaultsDraft, Draft, UpstreamDraft};
use crate::breaker::{self, OnRateLimit};
use crate::cache::{self, Sharing};
use crate::caller::{Caller, KeyHash};
use crate::config::raw::{self, ApiKey, BaseUrl, FromEnv, FromVariable, Setting, Share, Size, Time};
use crate::config::{
    Auth, Condition, Dialect, Limits, OnDisconnect, OnStoreLoss, Pick, Retry, Route, Server, Sticky, Target,
    Timeouts, UpstreamId,
};
use crate::limit::Rate;
use crate::overload::{Bound, Concurrency, Priority};
use crate::pattern::Pattern;

/// All fields, in this order, but for those that are found anew where it is read.
macro_rules! fields {
    ($shape:ty { $($field:ident),+ $(,)? } $(found: $($found:ident),+)?) => {
        impl Shape for $shape {
            fn write(&self, to: &mut Writer) {
                let Self { $($field),+ $(, $($found: _),+)? } = self;
                $($field.write(to);)+
            }

            fn read(from: &mut Reader<'_>) -> Self {
                Self { $($field: Shape::read(from)),+ $(, $($found: Default::default()),+)? }
            }
        }
    };
}

/// A number for each variant.
macro_rules! variants {
    ($shape:ty { $first:ident = 0, $($variant:ident = $number:literal),+ $(,)? }) => {
        impl Shape for $shape {
            fn write(&self, to: &mut Writer) {
                to.number(match self {
                    Self::$first => 0,
                    $(Self::$variant => $number,)+
                });
            }

            fn read(from: &mut Reader<'_>) -> Self {
                match from.number() {
                    0 => {}
                    $($number => return Self::$variant,)+
                    _ => from.fail(),
                }
                Self::$first
            }
        }
    };
}

/// What is another shape in a name of its own.
macro_rules! named {
    ($($shape:ident),+) => {
        $(impl Shape for $shape {
            fn write(&self, to: &mut Writer) {
                self.0.write(to);
            }

            fn read(from: &mut Reader<'_>) -> Self {
                $shape(Shape::read(from))
            }
        })+
    };
}

fields!(Draft {
    listen,
    auth,
    explain,
    server,
    upstreams,
    aliases,
    routes,
    passthrough,
    keys,
    defaults,
    limits,
    store,
    admin
});
fields!(UpstreamDraft {
    name,
    dialect,
    base_url,
    api_key,
    timeouts,
    breaker,
    breaker_per_model,
    concurrency
});
fields!(Server {
    max_body,
    max_depth,
    max_n,
    header_timeout,
    body_timeout,
    grace,
    workers,
    trusted_proxies,
    concurrency,
    idempotency,
});
fields!(Route {
    pattern,
    to,
    fallback,
    fallback_on,
    pick,
    sticky,
    on_disconnect,
    retry,
    advertise,
    limits,
    breaker,
    cache
} found: defaults);
fields!(DefaultsDraft { gateway, by_route });
fields!(raw::Defaults { max_tokens, max_completion_tokens, temperature });
fields!(FromVariable { env, default });
fields!(raw::Store { kind, url, namespace, timeout, cache, local_share });
fields!(FromEnv { env, default });
fields!(ApiKey { env, file });
fields!(Timeouts { connect, first_byte, idle, total });
fields!(breaker::Policy { consecutive, failure_rate, window, minimum, open, on_rate_limit });
fields!(cache::Policy {
    ttl,
    scope,
    place,
    max_temperature,
    stale_while_revalidate,
    stale_if_error,
    coalesce,
    max_entry
});
fields!(Concurrency { bound, queue, wait });
fields!(Target { upstream, model, weight });
fields!(Retry { attempts, backoff, max_wait });
fields!(Limits { requests, tokens, concurrent, on_store_loss });
fields!(Rate { count, per });
fields!(Caller { name, tenant, models, limits, priority });

variants!(raw::StoreKind { Embedded = 0, Redis = 1 });
variants!(Pick { Weighted = 0, Fastest = 1, LeastBusy = 2 });
variants!(Sticky { Nothing = 0, Caller = 1 });
variants!(OnDisconnect { Cancel = 0, Finish = 1 });
variants!(Condition {
    Connect = 0,
    Timeout = 1,
    RateLimit = 2,
    ServerError = 3,
    Credentials = 4,
    BadAnswer = 5
});
variants!(OnStoreLoss { Closed = 0, Open = 1, Local = 2 });
variants!(OnRateLimit { Open = 0, Count = 1, Ignore = 2 });
variants!(Sharing { Tenant = 0, Shared = 1 });
variants!(cache::Place { Edge = 0, Kv = 1 });
variants!(Priority { Low = 0, Normal = 1, High = 2 });

named!(UpstreamId, Time, Size, Share);

impl Shape for Auth {
    fn write(&self, to: &mut Writer) {
        to.number(match self {
            Self::Keys => 0,
            Self::Open { on_any_address: false } => 1,
            Self::Open { on_any_address: true } => 2,
        });
    }

    fn read(from: &mut Reader<'_>) -> Self {
        match from.number() {
            0 => {}
            1 => return Self::Open { on_any_address: false },
            2 => return Self::Open { on_any_address: true },
            _ => from.fail(),
        }
        Self::Keys
    }
}

impl Shape for Dialect {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::OpenAi => to.number(0),
            Self::Azure { api_version } => {
                to.number(1);
                api_version.write(to);
            }
            // It has no address, so no upstream is written that speaks it.
            Self::Simulated => to.number(2),
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        match from.number() {
            0 => {}
            1 => return Self::Azure { api_version: Shape::read(from) },
            _ => from.fail(),
        }
        Self::OpenAi
    }
}

impl Shape for Bound {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Fixed(count) => {
                to.number(0);
                count.write(to);
            }
            Self::Adaptive { least, most } => {
                to.number(1);
                least.write(to);
                most.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        match from.number() {
            0 => {}
            1 => return Self::Adaptive { least: Shape::read(from), most: Shape::read(from) },
            _ => from.fail(),
        }
        Self::Fixed(Shape::read(from))
    }
}

impl Shape for BaseUrl {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Text(text) => {
                to.number(0);
                text.write(to);
            }
            Self::Env(from) => {
                to.number(1);
                from.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        match from.number() {
            0 => {}
            1 => return Self::Env(Shape::read(from)),
            _ => from.fail(),
        }
        Self::Text(Shape::read(from))
    }
}

impl Shape for Setting {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Number(number) => {
                to.number(0);
                number.write(to);
            }
            Self::Variable(variable) => {
                to.number(1);
                variable.write(to);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        match from.number() {
            0 => {}
            1 => return Self::Variable(Shape::read(from)),
            _ => from.fail(),
        }
        Self::Number(Shape::read(from))
    }
}

/// By its bits: what is read is what was written.
impl Shape for f64 {
    fn write(&self, to: &mut Writer) {
        to.number(self.to_bits());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self::from_bits(from.number())
    }
}

impl Shape for Pattern {
    fn write(&self, to: &mut Writer) {
        to.text(self.as_str());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self::new(from.text())
    }
}

impl Shape for SocketAddr {
    fn write(&self, to: &mut Writer) {
        to.text(&self.to_string());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let address = from.text().parse().ok();
        from.expect(address, Self::from(([0, 0, 0, 0], 0)))
    }
}

impl Shape for KeyHash {
    fn write(&self, to: &mut Writer) {
        self.to_words().into_iter().for_each(|word| to.number(word));
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self::from_words(std::array::from_fn(|_| from.number()))
    }
}

//! The gateway's configuration in a run, and what it says of limits in words of its own.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use weir::dialect::model_pattern::Pattern;
use weir::identity::access::Auth;
use weir::identity::caller::{Caller, KeyHash, Keyring};
use weir::limits::account::Scope;
use weir::limits::concurrency::{Bound, Concurrency, Priority};
use weir::limits::rate::Rate;
use weir::limits::{Limits, OnStoreLoss};
use weir::routing::breaker::{self, OnRateLimit};
use weir::{Config, cache};
use weir_portability::config;

use crate::dice::Dice;
use crate::order::{KEYS, LIMITED, Order};
use crate::profile::Profile;

/// The upstreams by name.
pub(crate) const UPSTREAMS: [&str; 3] = ["a", "b", "c"];

/// The models, one for each route: plain, with a cache, with limits of its own.
pub(crate) const MODELS: [&str; 3] = ["plain", "kept", "tight"];

/// A call may take so long, attempts and all.
pub(crate) const TOTAL: Duration = Duration::from_secs(12);

/// Attempts at one request.
pub(crate) const ATTEMPTS: u32 = 3;

/// Where the routes lead; the rest is for the seed to say.
const ROUTES: &str = r#"
    auth = "open"
    [[route]]
    model = "plain"
    to = ["a"]
    fallback = ["b"]
    [[route]]
    model = "kept"
    to = [{ upstream = "a", weight = 2 }, { upstream = "b", weight = 1 }]
    fallback = ["c"]
    [[route]]
    model = "tight"
    to = ["c"]
    on_disconnect = "finish"
"#;

/// The key that a caller shows.
pub(crate) fn secret(name: &str) -> String {
    format!("sk-sim-{name}-0123456789abcdef")
}

/// A whole configuration.
pub(crate) fn configure(profile: Profile, dice: &Dice) -> Arc<Config> {
    let mut text = ROUTES.to_owned();
    for upstream in UPSTREAMS {
        let _ = write!(
            text,
            "[upstream.{upstream}]\ndialect = \"openai\"\nbase_url = \"https://{upstream}.example/v1\"\n\
             timeout = {{ connect = \"1s\", first_byte = \"2s\", idle = \"2s\", total = \"12s\" }}\n"
        );
    }
    let mut checked = config(&text);
    // There is no other handle to it yet.
    if let Some(config) = Arc::get_mut(&mut checked) {
        vary(config, profile, dice);
    }
    checked
}

fn vary(config: &mut Config, profile: Profile, dice: &Dice) {
    let is_flood = matches!(profile, Profile::Flood | Profile::Mixed);
    for upstream in &mut config.upstreams {
        upstream.breaker = breaker_policy(dice);
        if profile == Profile::RetryStorm {
            (upstream.breaker.consecutive, upstream.breaker.minimum) = (1_000, 1_000);
        }
        let is_bounded = dice.percent(if is_flood { 80 } else { 30 });
        upstream.concurrency = is_bounded.then(|| concurrency(dice, 2, 6));
    }
    let is_bounded = is_flood && dice.percent(50);
    config.server.concurrency = is_bounded.then(|| concurrency(dice, 6, 16));
    config.server.idempotency = Duration::from_secs(dice.between(20, 120));
    config.store.local_share = dice.pick(&[100_000, 250_000, 500_000]);
    for route in &mut config.routes {
        match route.pattern.as_str() {
            "kept" => route.cache = Some(cache_policy(dice)),
            "tight" => {
                route.limits = limits(dice, OnStoreLoss::Local);
                if profile == Profile::SlowReaders {
                    // Answers of megabytes would be owed for days.
                    route.limits.tokens.clear();
                }
            }
            _ => {}
        }
    }
    config.auth = Auth::Keys;
    let loss = dice.pick(&[OnStoreLoss::Local, OnStoreLoss::Local, OnStoreLoss::Closed, OnStoreLoss::Open]);
    let keys = KEYS.iter().enumerate().map(|(at, (name, tenant))| {
        let is_limited = at < LIMITED && profile != Profile::RetryStorm;
        let limits = if is_limited { limits(dice, loss) } else { Limits::default() };
        let priority = dice.pick(&[Priority::Low, Priority::Normal, Priority::High]);
        let (models, passthrough) = (vec![Pattern::new("*")], Vec::new());
        let (name, tenant) = ((*name).to_owned(), (*tenant).to_owned());
        (
            KeyHash::of(&secret(&name)),
            Arc::new(Caller { name, tenant, models, passthrough, limits, priority }),
        )
    });
    config.keys = Keyring::new(keys.collect());
}

fn breaker_policy(dice: &Dice) -> breaker::Policy {
    breaker::Policy {
        consecutive: u32::try_from(dice.between(2, 6)).unwrap_or(5),
        failure_rate: dice.pick(&[None, Some(50_000), Some(200_000), Some(500_000)]),
        window: dice.millis(4_000, 12_000),
        minimum: u32::try_from(dice.between(5, 20)).unwrap_or(20),
        open: dice.millis(1_000, 30_000),
        on_rate_limit: dice.pick(&[OnRateLimit::Open, OnRateLimit::Count, OnRateLimit::Ignore]),
    }
}

/// What the rates of failures are at which breakers of calls to `model` open. The route of one model leads to one upstream
/// only, and what is configured holds everywhere.
pub(crate) fn failure_rate(config: &Config, breaker: &str, model: &str) -> Option<u32> {
    let upstream = breaker.split('/').next();
    let configured = config.upstreams.iter().find(|known| Some(known.name.as_str()) == upstream)?;
    let default = if model == "tight" { 500_000 } else { 50_000 };
    configured.breaker.failure_rate.or(Some(default))
}

fn concurrency(dice: &Dice, least: u64, most: u64) -> Concurrency {
    let bound = u32::try_from(dice.between(least, most)).unwrap_or(4);
    let queue = u32::try_from(dice.between(0, 10)).unwrap_or(4);
    Concurrency { bound: Bound::Fixed(bound), queue, wait: dice.millis(100, 3_000) }
}

fn cache_policy(dice: &Dice) -> cache::Policy {
    cache::Policy {
        ttl: dice.millis(2_000, 30_000),
        stale_while_revalidate: dice.pick(&[Duration::ZERO, Duration::from_secs(10)]),
        stale_if_error: dice.pick(&[Duration::ZERO, Duration::from_mins(1)]),
        coalesce: dice.percent(80),
        ..cache::Policy::default()
    }
}

fn limits(dice: &Dice, on_store_loss: OnStoreLoss) -> Limits {
    let rate = |least, most| Rate { count: dice.between(least, most), per: dice.millis(1_000, 30_000) };
    let second = |least, most| Rate { count: dice.between(least, most), per: Duration::from_mins(1) };
    let mut limits = Limits { on_store_loss, ..Limits::default() };
    if dice.percent(80) {
        limits.requests.push(rate(3, 25));
        if dice.percent(30) {
            limits.requests.push(second(20, 60));
        }
    }
    if dice.percent(50) {
        limits.tokens.push(rate(200, 3_000));
    }
    limits.concurrent = dice.percent(50).then(|| dice.between(1, 8));
    limits
}

/// What holds for an order: its caller's own account and its route's, where they are limited.
pub(crate) fn accounts(config: &Config, order: &Order) -> Vec<(Scope, Limits)> {
    let caller = config.keys.callers().find(|caller| caller.name == order.name());
    let own = caller.map(|caller| {
        let (tenant, name) = (caller.tenant.clone(), caller.name.clone());
        (Scope::Caller { tenant, name }, caller.limits.clone())
    });
    let route = config.routes.iter().find(|route| route.pattern.as_str() == order.model);
    let shared = route.map(|route| (Scope::Route(order.model.to_owned()), route.limits.clone()));
    let limited = |limits: &Limits| {
        !(limits.requests.is_empty() && limits.tokens.is_empty() && limits.concurrent.is_none())
    };
    own.into_iter().chain(shared).filter(|(_, limits)| limited(limits)).collect()
}

/// What the route `kept` says of its answers.
pub(crate) fn kept(config: &Config) -> cache::Policy {
    config.routes.iter().find_map(|route| route.cache).unwrap_or_default()
}

/// How long an answer is kept: behind its time for as long as it may still be of use.
pub(crate) fn life(config: &Config) -> Duration {
    let policy = kept(config);
    policy.ttl + policy.stale_while_revalidate.max(policy.stale_if_error)
}

/// What one process may admit of a limit by itself.
pub(crate) fn share(config: &Config, count: u64) -> u64 {
    (count * u64::from(config.store.local_share) / 1_000_000).max(1)
}

/// What one process may admit of that while the store is lost; `None`: nothing at all.
pub(crate) fn local_accounts(config: &Config, order: &Order) -> Option<Vec<(Scope, Limits)>> {
    let share = |count| share(config, count);
    let mut local = Vec::new();
    for (scope, mut limits) in accounts(config, order) {
        match limits.on_store_loss {
            OnStoreLoss::Closed => return None,
            OnStoreLoss::Open => continue,
            OnStoreLoss::Local => {}
        }
        for rate in limits.requests.iter_mut().chain(&mut limits.tokens) {
            rate.count = share(rate.count);
        }
        limits.concurrent = limits.concurrent.map(share);
        local.push((scope, limits));
    }
    Some(local)
}

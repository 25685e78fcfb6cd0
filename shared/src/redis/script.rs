//! The scripts, each with its steps before it.

/// A script of Redis 7 in Lua.
#[derive(Debug)]
pub struct Script {
    /// For logs and metrics.
    pub name: &'static str,
    pub source: &'static str,
    /// Of the source, in hex: what `EVALSHA` knows it by.
    pub sha1: &'static str,
}

macro_rules! script {
    ($name:ident, $text:literal, [$($part:literal),+], $sha1:literal) => {
        pub(super) const $name: &Script = &Script {
            name: $text,
            source: concat!($(include_str!($part)),+),
            sha1: $sha1,
        };
    };
}

script!(
    OPEN,
    "open",
    ["base.lua", "limit.lua", "retry.lua", "breaker.lua", "answers.lua", "lease.lua", "open.lua"],
    "1d924b747a386d087122ffc8a6fb464ad23124d5"
);
script!(
    CLOSE,
    "close",
    ["base.lua", "limit.lua", "breaker.lua", "answers.lua", "lease.lua", "close.lua"],
    "97a37757a5c86a3b0a31435e9f8c2f3749373435"
);
script!(
    WITHDRAW,
    "withdraw",
    ["base.lua", "retry.lua", "breaker.lua", "withdraw.lua"],
    "ac9fb58d54e73dca9a1e90b5142264301e0ee79a"
);
script!(PROBE, "probe", ["base.lua", "breaker.lua", "probe.lua"], "16dff39b9618dc7254c76ab3264eacf7ebcbd618");
script!(
    CONTROL,
    "control",
    ["base.lua", "breaker.lua", "control.lua"],
    "fa83ab40e7f08e1a1d8150ced20eebbe5ec7a3b1"
);
script!(NAMES, "names", ["base.lua", "names.lua"], "1e688cfa07ea3872859d52decacfed7f8289e807");
script!(
    LISTING,
    "listing",
    ["base.lua", "breaker.lua", "listing.lua"],
    "4d25518050046204cc551f1d31319b62e6fa0927"
);

script!(RENEW, "renew", ["base.lua", "lease.lua", "renew.lua"], "e908e0b8c0bf78da5b1f378e9274bcfc385ad63d");

#[cfg(test)]
pub(super) const ALL: [&Script; 8] = [OPEN, CLOSE, WITHDRAW, PROBE, RENEW, CONTROL, NAMES, LISTING];

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
    [
        "base.lua",
        "limit.lua",
        "answers.lua",
        "hit.lua",
        "retry.lua",
        "breaker.lua",
        "lease.lua",
        "counters.lua",
        "open.lua"
    ],
    "6e48f1ecd5e03ba943af3ac25d54b1e9c8ba1044"
);
script!(
    CLOSE,
    "close",
    ["base.lua", "limit.lua", "breaker.lua", "answers.lua", "lease.lua", "counters.lua", "close.lua"],
    "82b9cbd5036fb3068cd860db54a618702171691d"
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
script!(NAMES, "names", ["base.lua", "names.lua"], "f144fdf7e3f1b82bc06fc2781e299e98364b5465");
script!(
    LISTING,
    "listing",
    ["base.lua", "breaker.lua", "listing.lua"],
    "4d25518050046204cc551f1d31319b62e6fa0927"
);

script!(RENEW, "renew", ["base.lua", "lease.lua", "renew.lua"], "9dc2b945b5df8ef75ad4b24a411b82c10500ef56");
script!(
    OVERHEAR,
    "overhear",
    ["base.lua", "lease.lua", "overhear.lua"],
    "b673ca9783894b6620b8e0053b686f4a4942c135"
);
script!(TELL, "tell", ["base.lua", "counters.lua", "tell.lua"], "ce33312a1ce0d4a583fe1e0b8f3d37086c9e03d9");
script!(SUMS, "sums", ["base.lua", "sums.lua"], "e78446f77fce31bf4e2b13b34b48280b4912bbe9");

#[cfg(test)]
pub(super) const ALL: [&Script; 11] =
    [OPEN, CLOSE, WITHDRAW, PROBE, RENEW, OVERHEAR, CONTROL, NAMES, LISTING, TELL, SUMS];

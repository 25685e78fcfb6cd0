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
    "deeb612ca5b10621b113a45b4383b27398e73d80"
);
script!(
    CLOSE,
    "close",
    ["base.lua", "limit.lua", "breaker.lua", "answers.lua", "lease.lua", "counters.lua", "close.lua"],
    "6557bcaab17ac6b1617deeb61427038460e913a5"
);
script!(
    WITHDRAW,
    "withdraw",
    ["base.lua", "retry.lua", "breaker.lua", "withdraw.lua"],
    "5b9c6467be80c78348f455a2231dcf44c3952493"
);
script!(PROBE, "probe", ["base.lua", "breaker.lua", "probe.lua"], "c38e2853b8160765d54abd89ea55545833f3b26c");
script!(
    CONTROL,
    "control",
    ["base.lua", "breaker.lua", "control.lua"],
    "6dcca75b0386a060a998b0f84fc34cb45bcefd53"
);
script!(NAMES, "names", ["base.lua", "names.lua"], "5ac00849a8c14fc705a0ae674bc72f1dda48313c");
script!(
    LISTING,
    "listing",
    ["base.lua", "breaker.lua", "listing.lua"],
    "bccf881f7caa2d7e68f8a6582ea8d576c15105df"
);

script!(RENEW, "renew", ["base.lua", "lease.lua", "renew.lua"], "3a8b565ea6453805bc20f993b13737ec3e4c06d5");
script!(
    OVERHEAR,
    "overhear",
    ["base.lua", "lease.lua", "overhear.lua"],
    "ec65d7970e1daed126476803f12f10ff46ed6762"
);
script!(TELL, "tell", ["base.lua", "counters.lua", "tell.lua"], "939ff3032ecdba070e3f5ff13b45d24e66c5d969");
script!(SUMS, "sums", ["base.lua", "sums.lua"], "068b2c00f4b98c83ecba44bb05717434f945a811");

#[cfg(test)]
pub(super) const ALL: [&Script; 11] =
    [OPEN, CLOSE, WITHDRAW, PROBE, RENEW, OVERHEAR, CONTROL, NAMES, LISTING, TELL, SUMS];

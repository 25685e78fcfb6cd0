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
    ["base.lua", "limit.lua", "retry.lua", "breaker.lua", "answers.lua", "open.lua"],
    "b7ec24ec4df7018d12ffedde5ee2e069f30a2667"
);
script!(
    CLOSE,
    "close",
    ["base.lua", "limit.lua", "breaker.lua", "answers.lua", "close.lua"],
    "edd8882c276985c065ef6f81ef0be4a45219db9a"
);
script!(
    WITHDRAW,
    "withdraw",
    ["base.lua", "retry.lua", "breaker.lua", "withdraw.lua"],
    "b966df4f70a7785ecc33fe7f0f134a9728f0fad7"
);
script!(PROBE, "probe", ["base.lua", "breaker.lua", "probe.lua"], "22c15003cbca5106e879139792ab34ccc057a4bf");
script!(
    CONTROL,
    "control",
    ["base.lua", "breaker.lua", "control.lua"],
    "f8da93b9436ba591feb505ba42996fac27920d83"
);
script!(NAMES, "names", ["base.lua", "names.lua"], "1f7f46a9ee7ed158cf6fe9969ff4f74805fc515c");
script!(
    LISTING,
    "listing",
    ["base.lua", "breaker.lua", "listing.lua"],
    "8068684a16482386aabc8e4b8859651caeb21099"
);

#[cfg(test)]
pub(super) const ALL: [&Script; 7] = [OPEN, CLOSE, WITHDRAW, PROBE, CONTROL, NAMES, LISTING];

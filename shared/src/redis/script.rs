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
            source: {
                const WRITTEN: &str = concat!($(include_str!($part)),+);
                const BARE: [u8; bare_length(WRITTEN)] = bare(WRITTEN);
                match str::from_utf8(&BARE) {
                    Ok(source) => source,
                    // No letter is cut: only whole lines and spaces are left out.
                    Err(_) => WRITTEN,
                }
            },
            sha1: $sha1,
        };
    };
}

/// A script without its comments and its indentation, which would be a good part of a component.
const fn bare<const LENGTH: usize>(written: &str) -> [u8; LENGTH] {
    let (mut bare, mut length, mut rest) = ([0; LENGTH], 0, written.as_bytes());
    while let Some((line, behind)) = next_line(rest) {
        let mut line = line;
        while let [first, others @ ..] = line {
            if length < LENGTH {
                bare[length] = *first;
            }
            length += 1;
            line = others;
        }
        rest = behind;
    }
    bare
}

const fn bare_length(written: &str) -> usize {
    let (mut length, mut rest) = (0, written.as_bytes());
    while let Some((line, behind)) = next_line(rest) {
        length += line.len();
        rest = behind;
    }
    length
}

/// The next line with its break, empty where it is a comment, and what is behind it.
const fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut line = text.trim_ascii_start();
    if line.is_empty() {
        return None;
    }
    let is_comment = matches!(line, [b'-', b'-', ..]);
    let mut length = 0;
    while length < line.len() && line[length] != b'\n' {
        length += 1;
    }
    let end = if length < line.len() { length + 1 } else { length };
    let (own, behind) = line.split_at(end);
    line = if is_comment { &[] } else { own };
    Some((line, behind))
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
    "d04902323337e5e41c43743fd2ba82484db5f2ab"
);
script!(
    CLOSE,
    "close",
    ["base.lua", "limit.lua", "breaker.lua", "answers.lua", "lease.lua", "counters.lua", "close.lua"],
    "3ef24fc14f13e61743f3e1789f6ca0516c1e4685"
);
script!(
    WITHDRAW,
    "withdraw",
    ["base.lua", "retry.lua", "breaker.lua", "withdraw.lua"],
    "4a19c308e7d14657b1c7ea367a6e7291232ec690"
);
script!(PROBE, "probe", ["base.lua", "breaker.lua", "probe.lua"], "0035bc7e18a3e88a42bf587e5ef7e1803a03f211");
script!(
    CONTROL,
    "control",
    ["base.lua", "breaker.lua", "control.lua"],
    "0153105a75dd06098cf256ab9a9689d2449d2340"
);
script!(NAMES, "names", ["base.lua", "names.lua"], "8547882f3c04c2da59eb86ecee93637766156af6");
script!(
    LISTING,
    "listing",
    ["base.lua", "breaker.lua", "listing.lua"],
    "b999d0e87a2d8d61e39e921d120db2f71930b71f"
);

script!(RENEW, "renew", ["base.lua", "lease.lua", "renew.lua"], "c5a8a3357b9536de989e1d92487365a46e30b736");
script!(
    OVERHEAR,
    "overhear",
    ["base.lua", "lease.lua", "overhear.lua"],
    "c7407a0d6742af56bc21e752af92984c18e98c5d"
);
script!(TELL, "tell", ["base.lua", "counters.lua", "tell.lua"], "0e09d2e8f8b9b6bd56bb2538cbb1c96aad18948f");
script!(SUMS, "sums", ["base.lua", "sums.lua"], "30172992c7078ecb9f41c86cf4fcc482da4a8a20");

#[cfg(test)]
pub(super) const ALL: [&Script; 11] =
    [OPEN, CLOSE, WITHDRAW, PROBE, RENEW, OVERHEAR, CONTROL, NAMES, LISTING, TELL, SUMS];

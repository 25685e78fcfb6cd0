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

/// Every one begins with `begin.lua`.
macro_rules! script {
    ($name:ident, $text:literal, [$($part:literal),+], $sha1:literal) => {
        pub(super) const $name: &Script = &Script {
            name: $text,
            source: {
                const WRITTEN: &str = concat!(include_str!("begin.lua"), $(include_str!($part)),+);
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
        "hit.lua",
        "base.lua",
        "holds.lua",
        "limit.lua",
        "answers.lua",
        "repeat.lua",
        "retry.lua",
        "breaker.lua",
        "lease.lua",
        "counters.lua",
        "open.lua"
    ],
    "31cd6eb2354d5c6bff6656693c16815a4585a389"
);
script!(
    CLOSE,
    "close",
    [
        "base.lua",
        "holds.lua",
        "limit.lua",
        "breaker.lua",
        "answers.lua",
        "repeat.lua",
        "keep.lua",
        "lease.lua",
        "counters.lua",
        "close.lua"
    ],
    "9f44760dfb700a2e108a928571fddf55c816513e"
);
script!(
    WITHDRAW,
    "withdraw",
    ["base.lua", "retry.lua", "breaker.lua", "withdraw.lua"],
    "4c08838259fc15e5d1b6c4808efcd62ee95c6fbe"
);
script!(PROBE, "probe", ["base.lua", "breaker.lua", "probe.lua"], "edb6cfa19a06ff21722522271046ac6f260af8e8");
script!(
    CONTROL,
    "control",
    ["base.lua", "breaker.lua", "control.lua"],
    "4c9d22dd10863b6aa48a1d1ff73f94c982218404"
);
script!(NAMES, "names", ["base.lua", "names.lua"], "f7e0dda69bd6f132abbe2047903d5d5600a46440");
script!(
    LISTING,
    "listing",
    ["base.lua", "breaker.lua", "listing.lua"],
    "81688c2813d8c1445721f06ec44b894fcac650b7"
);

script!(
    HOLD,
    "hold",
    ["base.lua", "holds.lua", "repeat.lua", "counters.lua", "hold.lua"],
    "7b87f5bc8fbd781eec47e6694dec1f7823a604f4"
);
script!(RENEW, "renew", ["base.lua", "lease.lua", "renew.lua"], "d2b1c94c680625df6a368bf7b909f8c02878dbaa");
script!(
    OVERHEAR,
    "overhear",
    ["base.lua", "lease.lua", "overhear.lua"],
    "840b6d01717873cc321967b5aa73a0094e013a16"
);
script!(OWN, "own", ["base.lua", "own.lua"], "769240bb3b061fff583d34366f369d5991d581d4");
script!(TELL, "tell", ["base.lua", "counters.lua", "tell.lua"], "9905dd1776be4ed2b6b536ccda0f5fdaba1107de");
script!(FETCH, "fetch", ["base.lua", "fetch.lua"], "8f32642c8ec03c6c6444bb614bd6239204092f35");
script!(TRIAL, "trial", ["base.lua", "trial.lua"], "50fb3aa4de247bda5d7b3049b24058826e3092f5");
script!(SUMS, "sums", ["base.lua", "sums.lua"], "5dd20f9b5da0815b0098a544fc796541cd1a75d1");

#[cfg(test)]
pub(super) const ALL: [&Script; 15] = [
    OPEN, CLOSE, WITHDRAW, PROBE, HOLD, RENEW, OVERHEAR, OWN, CONTROL, NAMES, LISTING, TELL, TRIAL, FETCH,
    SUMS,
];

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
        "begin.lua",
        "hit.lua",
        "base.lua",
        "limit.lua",
        "answers.lua",
        "retry.lua",
        "breaker.lua",
        "lease.lua",
        "counters.lua",
        "open.lua"
    ],
    "f6158f93a17db0040db98bf9f1a3bb661180905c"
);
script!(
    CLOSE,
    "close",
    [
        "begin.lua",
        "base.lua",
        "limit.lua",
        "breaker.lua",
        "answers.lua",
        "lease.lua",
        "counters.lua",
        "close.lua"
    ],
    "4ca1b254675d91f0c0bd6b3a6228682de5ea8f0e"
);
script!(
    WITHDRAW,
    "withdraw",
    ["begin.lua", "base.lua", "retry.lua", "breaker.lua", "withdraw.lua"],
    "6d4d686bf16abab4b2d0111c570003ac5a3012d9"
);
script!(
    PROBE,
    "probe",
    ["begin.lua", "base.lua", "breaker.lua", "probe.lua"],
    "63200b7dd49cd52714f17a18e30bebd80ca72ff4"
);
script!(
    CONTROL,
    "control",
    ["begin.lua", "base.lua", "breaker.lua", "control.lua"],
    "8a6e97838c142185f2972300ce941943c44bf222"
);
script!(NAMES, "names", ["begin.lua", "base.lua", "names.lua"], "5f6282b6a228e792f2641f5ffa294dfafd54c910");
script!(
    LISTING,
    "listing",
    ["begin.lua", "base.lua", "breaker.lua", "listing.lua"],
    "36584a2d0b14e2fbc220f668bc2dbc96f40b71df"
);

script!(
    RENEW,
    "renew",
    ["begin.lua", "base.lua", "lease.lua", "renew.lua"],
    "1d987e6db90156a13b134e7b3478f2b8d55df8e3"
);
script!(
    OVERHEAR,
    "overhear",
    ["begin.lua", "base.lua", "lease.lua", "overhear.lua"],
    "7d2220e0c4c44296446f83061e25190b7d593c05"
);
script!(
    TELL,
    "tell",
    ["begin.lua", "base.lua", "counters.lua", "tell.lua"],
    "5ecb4535c1d37a5f5ddfb7fc7ca8438038c0ed35"
);
script!(SUMS, "sums", ["begin.lua", "base.lua", "sums.lua"], "ca62d94b4363c5d3d53edd2ef8752d944dc27006");

#[cfg(test)]
pub(super) const ALL: [&Script; 11] =
    [OPEN, CLOSE, WITHDRAW, PROBE, RENEW, OVERHEAR, CONTROL, NAMES, LISTING, TELL, SUMS];

//! Quantities as people write them.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::spelled::{Spelled, spelled};
use crate::limits::rate::Rate;

/// A duration: `250ms`, `5s`, `2m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Time(pub(in crate::config) Duration);

/// Bytes: `32MiB`, `500kB`, `0`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

/// So many in a span of time: `1000/min`; several, `100/s, 1000/min`, all hold; `unlimited` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Rates(pub(in crate::config) Vec<Rate>);

/// More would be a mistake, and each costs at every request.
const MOST_RATES: usize = 4;

/// A share of a whole, in millionths: `5%` is 50,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Share(pub(in crate::config) u32);

/// No wait is longer: 366 days.
const LONGEST: Duration = Duration::from_hours(366 * 24);

impl Spelled<'_> for Time {
    const EXPECTED: &'static str = "a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\"";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        duration(text).map(Self)
    }
}

/// Reads `250ms`, `5s`, `2m`, `1h`: as it is written in the document, so it is written in an order.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "not a duration; write \"250ms\", \"5s\", \"2m\" or \"1h\"";
    let (count, unit) = count_and_unit(text).ok_or(WRONG)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(WRONG),
    };
    let time = Duration::from_millis(count.saturating_mul(millis));
    if time <= LONGEST { Ok(time) } else { Err("longer than a year") }
}

impl Spelled<'_> for Size {
    const EXPECTED: &'static str = "a size such as \"32MiB\", or a number of bytes";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "not a size; write \"512KiB\", \"32MiB\", \"1GiB\" or a number of bytes";
        if text == "0" {
            return Ok(Self(0));
        }
        let (count, unit) = count_and_unit(text).ok_or(WRONG)?;
        let bytes: u64 = match unit {
            "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(WRONG),
        };
        count.checked_mul(bytes).map(Self).ok_or("too large")
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

impl Spelled<'_> for Rates {
    const EXPECTED: &'static str = "a rate such as \"1000/min\", or \"unlimited\"";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        if text == "unlimited" {
            return Ok(Self(Vec::new()));
        }
        let rates = text.split(',').map(|rate| one_rate(rate.trim())).collect::<Result<Vec<_>, _>>()?;
        if rates.len() > MOST_RATES { Err("more than four rates") } else { Ok(Self(rates)) }
    }
}

fn one_rate(text: &str) -> Result<Rate, &'static str> {
    const WRONG: &str = "not a rate; write \"100/s\", \"1000/min\", \"5000/h\" or \"100000/d\"";
    let (count, per) = count_and_unit(text).ok_or(WRONG)?;
    let per = match per {
        "/s" => Duration::from_secs(1),
        "/min" => Duration::from_mins(1),
        "/h" => Duration::from_hours(1),
        "/d" => Duration::from_hours(24),
        _ => return Err(WRONG),
    };
    if count == 0 { Err("a rate of nothing; it must be at least 1") } else { Ok(Rate { count, per }) }
}

impl Spelled<'_> for Share {
    const EXPECTED: &'static str = "a share such as \"5%\"";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "not a share; write \"5%\" or \"0.5%\", up to \"100%\"";
        let number = text.strip_suffix('%').ok_or(WRONG)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 3 || part.len() > 4 {
            return Err(WRONG);
        }
        let part: u32 = format!("{part:0<4}").parse().map_err(|_| WRONG)?;
        let millionths = whole.parse::<u32>().map_err(|_| WRONG)? * 10_000 + part;
        if millionths <= 1_000_000 { Ok(Self(millionths)) } else { Err(WRONG) }
    }
}

spelled!(Time, Size, Rates, Share);

/// Splits `250ms`; there must be digits, and nothing but digits, before the unit.
fn count_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit())?;
    let (count, unit) = text.split_at(end);
    Some((count.parse().ok()?, unit))
}

/// Describes a quantity to an editor by the pattern of its text.
macro_rules! described {
    ($name:ident, $schema:tt) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

described!(Time, {
    "description": "A duration: `250ms`, `5s`, `2m`, `1h`.",
    "type": "string",
    "pattern": "^[0-9]+(ms|s|m|h)$"
});
described!(Size, {
    "description": "A size: `512KiB`, `32MiB`, `1GiB`, `500kB`, or a number of bytes.",
    "type": ["string", "integer"],
    "pattern": "^(0|[0-9]+(B|kB|MB|GB|KiB|MiB|GiB))$",
    "minimum": 0
});
described!(Rates, {
    "description": "Rates: `100/s`, `1000/min`, `5000/h`, `100000/d`; several, after commas, all hold; or `unlimited`.",
    "type": "string",
    "pattern": "^(unlimited|[0-9]+/(s|min|h|d)( *, *[0-9]+/(s|min|h|d)){0,3})$"
});
described!(Share, {
    "description": "A share: `5%`, `0.5%`.",
    "type": "string",
    "pattern": "^[0-9]{1,3}(\\.[0-9]{1,4})?%$"
});

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'de> Spelled<'de>>(text: &str) -> Option<T> {
        T::from_text(text).ok()
    }

    #[test]
    fn durations_are_read() {
        for (text, expected) in [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            ("1.5s", None),
            ("5S", None),
            ("9000h", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(read::<Time>(text), expected.map(|ms| Time(Duration::from_millis(ms))), "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [
            ("32MiB", Some(32 << 20)),
            ("1KiB", Some(1024)),
            ("1GiB", Some(1 << 30)),
            ("7B", Some(7)),
            ("5kB", Some(5_000)),
            ("5MB", Some(5_000_000)),
            ("0", Some(0)),
            ("00", None),
            ("32", None),
            ("MiB", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(read::<Size>(text), expected.map(Size), "{text}");
        }
    }

    #[test]
    fn rates_are_read() {
        for (text, expected) in [
            ("100/s", Some(vec![(100, 1)])),
            ("1000/min", Some(vec![(1000, 60)])),
            ("5/h", Some(vec![(5, 3600)])),
            ("5/d", Some(vec![(5, 86_400)])),
            ("100/s, 1000/min", Some(vec![(100, 1), (1000, 60)])),
            ("unlimited", Some(vec![])),
            ("1/s,1/s,1/s,1/s,1/s", None),
            ("1/s,", None),
            ("0/s", None),
            ("5", None),
            ("5/m", None),
            ("/s", None),
        ] {
            let rate = |(count, per)| Rate { count, per: Duration::from_secs(per) };
            let expected = expected.map(|rates| Rates(rates.into_iter().map(rate).collect()));
            assert_eq!(read::<Rates>(text), expected, "{text}");
        }
    }

    #[test]
    fn shares_are_read() {
        for (text, expected) in [
            ("5%", Some(50_000)),
            ("0.5%", Some(5_000)),
            ("0.0001%", Some(1)),
            ("100%", Some(1_000_000)),
            ("101%", None),
            ("100.1%", None),
            ("5", None),
            (".5%", None),
            ("5.%", None),
            ("٥%", None),
        ] {
            assert_eq!(read::<Share>(text), expected.map(Share), "{text}");
        }
    }
}

//! Amounts as Kubernetes writes them: `250m`, `2Gi`, `0.05`, `1e3`.
//!
//! The HPA counts in thousandths and rounds up to them, so a target of `1u` is a target of one thousandth. Only a
//! tolerance is read finer.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// An amount, to the billionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    billionths: i128,
}

/// Thousandths of a metric's unit: `250` of CPU is a quarter of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(pub i64);

/// What is not an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoQuantity(String);

impl fmt::Display for NoQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no quantity", self.0)
    }
}

impl std::error::Error for NoQuantity {}

const ONE: i128 = 1_000_000_000;

impl Quantity {
    /// Thousandths, rounded up; as many as fit.
    pub fn milli(self) -> Milli {
        let (whole, rest) = (self.billionths.div_euclid(1_000_000), self.billionths.rem_euclid(1_000_000));
        let milli = whole + i128::from(rest > 0);
        let bound = if milli < 0 { i64::MIN } else { i64::MAX };
        Milli(i64::try_from(milli).unwrap_or(bound))
    }

    /// The nearest number; a tolerance is one.
    #[expect(clippy::cast_precision_loss, reason = "the nearest number is what is asked for")]
    pub fn approximate(self) -> f64 {
        self.billionths as f64 / ONE as f64
    }
}

impl FromStr for Quantity {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, NoQuantity> {
        parse(text).map(|billionths| Self { billionths }).ok_or_else(|| NoQuantity(text.to_owned()))
    }
}

/// Billionths; anything finer is rounded up, as Kubernetes does.
fn parse(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let (factor, exponent) = scale(suffix)?;
    let shift = exponent.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10i128.checked_pow(shift.unsigned_abs())?;
    let scaled = mantissa.checked_mul(factor)?;
    let billionths = if shift >= 0 {
        scaled.checked_mul(power)?
    } else {
        scaled.div_euclid(power) + i128::from(scaled.rem_euclid(power) > 0)
    };
    Some(sign * billionths)
}

/// A suffix as a factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        other => (1, other.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity, such as 250m, 2Gi or 0.05")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_counted_in_thousandths_rounded_up() {
        let table = [
            ("1", 1_000),
            ("15.0", 15_000),
            ("0.9", 900),
            (".5", 500),
            ("250m", 250),
            ("100u", 1),
            ("1n", 1),
            ("2k", 2_000_000),
            ("1Ki", 1_024_000),
            ("512Mi", 536_870_912_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1e3", 1_000_000),
            ("12E-1", 1_200),
            ("0", 0),
            ("-1", -1_000),
            ("9E", i64::MAX),
        ];
        for (text, milli) in table {
            assert_eq!(text.parse::<Quantity>().map(Quantity::milli), Ok(Milli(milli)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "m", ".", "1.2.3", "1 m", "1mi", "1e", "--1", "one", "1e999999999999"] {
            assert_eq!(text.parse::<Quantity>(), Err(NoQuantity(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_tolerance_keeps_what_is_finer_than_a_thousandth() {
        let tolerance: Quantity = "0.0125".parse().unwrap();
        assert!((tolerance.approximate() - 0.0125).abs() < 1e-12);
    }

    #[test]
    fn a_plain_number_is_an_amount() {
        for (json, milli) in [("2", 2_000), ("0.05", 50), ("\"2\"", 2_000)] {
            assert_eq!(serde_json::from_str::<Quantity>(json).unwrap().milli(), Milli(milli), "{json}");
        }
    }
}

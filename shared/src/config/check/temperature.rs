//! Temperatures, which are written as decimals and counted in millionths.

use crate::config::path::Path;
use crate::config::report::Report;

/// `temperature` in millionths, or `None` after a fault.
pub(super) fn checked(temperature: f64, path: &Path, report: &mut Report<'_>) -> Option<u32> {
    let millionths = millionths(temperature);
    if millionths.is_none() {
        report.fault(path, "must be 0 to 2, with at most six decimals");
    }
    millionths
}

/// A temperature from 0 to 2 in millionths; `None` if it is another number, or has more than six decimals.
///
/// Both formats read a number as a double. One from 0 to 2 differs from the decimal that was written by at
/// most 2⁻⁵³, so its millionths, the multiplication's own rounding included, are off by less than 10⁻⁹. A
/// seventh decimal is a tenth of a millionth or more, so what is off by a thousandth has one; less is noise,
/// such as a sum of doubles leaves, and is rounded away.
fn millionths(temperature: f64) -> Option<u32> {
    let exact = temperature * 1e6;
    let rounded = exact.round();
    let is_temperature = (0.0..=2.0).contains(&temperature) && (exact - rounded).abs() < 1e-3;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to 2,000,000"
    )]
    is_temperature.then_some(rounded as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_is_read_in_millionths() {
        for (temperature, expected) in [
            (0.0, Some(0)),
            (-0.0, Some(0)),
            (0.3, Some(300_000)),
            (0.1 + 0.2, Some(300_000)),
            (1.0, Some(1_000_000)),
            (2.0, Some(2_000_000)),
            (0.000_001, Some(1)),
            (1.999_999, Some(1_999_999)),
            (0.000_000_1, None),
            (0.300_000_1, None),
            (1.999_999_9, None),
            (2.000_001, None),
            (-0.000_001, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(millionths(temperature), expected, "{temperature}");
        }
    }

    #[test]
    fn every_millionth_is_read_from_its_decimals() {
        for millionth in (0..=2_000_000).step_by(7) {
            let text = format!("{}.{:06}", millionth / 1_000_000, millionth % 1_000_000);
            assert_eq!(millionths(text.parse().unwrap()), Some(millionth), "{text}");
        }
    }
}

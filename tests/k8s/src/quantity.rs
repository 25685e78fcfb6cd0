//! Kubernetes' quantities: `250m`, `2Gi`, `1`.

/// In thousandths of the unit. `None` for what is no quantity, or one that is not used here (exponents).
pub(crate) fn thousandths(text: &str) -> Option<u128> {
    const SUFFIXES: [(&str, u128); 9] = [
        ("Ki", 1000 << 10),
        ("Mi", 1000 << 20),
        ("Gi", 1000 << 30),
        ("Ti", 1000 << 40),
        ("m", 1),
        ("k", 1_000_000),
        ("M", 1_000_000_000),
        ("G", 1_000_000_000_000),
        ("", 1000),
    ];
    let (number, unit) =
        SUFFIXES.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))?;
    number.parse::<u128>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_thousandths() {
        let cases = [
            ("250m", Some(250)),
            ("1", Some(1000)),
            ("512Mi", Some(512 * 1024 * 1024 * 1000)),
            ("2G", Some(2_000_000_000_000)),
            ("", None),
            ("a lot", None),
            ("-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}

//! The one spelling of a string that stands for all of them.
//!
//! It is that of RFC 8785 and of `serde_json`, which most writers of JSON come close to, so that most strings
//! are canonical as they come: `\"` and `\\`, `\b`, `\f`, `\n`, `\r` and `\t`, `\u00xx` in lower case for the
//! other control characters, and nothing else is escaped. Half a surrogate pair is no character, yet JSON may
//! spell it; it stays the escape `\udxxx`, in lower case, which no character is spelled as.

/// Writes the canonical spelling of a string in quotation marks, each backslash in which has a character
/// behind it that JSON allows there. `None` when the digits behind `\u` are none. It is never longer than the
/// string.
pub(super) fn canonical(string: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = string;
    loop {
        rest = match rest {
            [b'\\', b'u', behind @ ..] => unicode(behind, out)?,
            [b'\\', b'/', behind @ ..] => {
                out.push(b'/');
                behind
            }
            [b'\\', short, behind @ ..] => {
                out.extend_from_slice(&[b'\\', *short]);
                behind
            }
            [b'\\'] => return None,
            _ => {
                let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
                let (plain, behind) = rest.split_at(plain);
                out.extend_from_slice(plain);
                if behind.is_empty() {
                    return Some(());
                }
                behind
            }
        }
    }
}

/// Spells what the digits behind `\u` stand for, together with the escape behind them should the two be a
/// pair.
fn unicode<'a>(digits: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (unit, behind) = unit(digits)?;
    if let Some(char) = char::from_u32(unit.into()) {
        spell(char, out);
        return Some(behind);
    }
    let next = behind.strip_prefix(br"\u").and_then(self::unit);
    if let Some((low, behind)) = next
        && let Some(Ok(char)) = char::decode_utf16([unit, low]).next()
    {
        spell(char, out);
        return Some(behind);
    }
    escape(unit, out);
    Some(behind)
}

fn unit(digits: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, behind) = digits.split_first_chunk::<4>()?;
    let [a, b, c, d] = digits.map(|digit| DIGITS[usize::from(digit)]);
    ((a | b | c | d) < 16).then_some((a << 12 | b << 8 | c << 4 | d, behind))
}

fn spell(char: char, out: &mut Vec<u8>) {
    let short = match char {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\0'..='\x1f' => return escape(char as u16, out),
        _ => return out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn escape(unit: u16, out: &mut Vec<u8>) {
    let digits = [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(unit >> shift & 15)]);
    out.extend_from_slice(br"\u");
    out.extend_from_slice(&digits);
}

/// The value of each hexadecimal digit, and 16 for what is none.
const DIGITS: [u16; 256] = {
    let mut digits = [16; 256];
    let mut value: u16 = 0;
    while value < 16 {
        let places = if value < 10 { [b'0', b'0'] } else { [b'a' - 10, b'A' - 10] };
        digits[places[0] as usize + value as usize] = value;
        digits[places[1] as usize + value as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::json::quote;

    fn spelled(string: &str) -> Option<String> {
        let mut out = Vec::new();
        canonical(string.as_bytes(), &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_string_has_one_spelling() {
        for (string, expected) in [
            (r#""a\/\u002F\u00E9\u4F60""#, Some("\"a//é你\"")),
            (r#""\u0022\u005C\u0008\u000C\u000A\u000D\u0009""#, Some(r#""\"\\\b\f\n\r\t""#)),
            (r#""\"\\\b\f\n\r\t""#, Some(r#""\"\\\b\f\n\r\t""#)),
            (r#""\u0000\u001B\u007F""#, Some("\"\\u0000\\u001b\u{7f}\"")),
            (r#""\uD83D\uDE00""#, Some("\"😀\"")),
            (r#""\uD83D\uD83D\uDE00\uDE00""#, Some("\"\\ud83d😀\\ude00\"")),
            (r#""\uD83D\n\uDE00""#, Some(r#""\ud83d\n\ude00""#)),
            (r#""\uD83D\\uDE00""#, Some(r#""\ud83d\\uDE00""#)),
            (r#""\u12G4""#, None),
            (r#""\u123""#, None),
            (r#""\uD83D\u""#, None),
            ("\\", None),
        ] {
            assert_eq!(spelled(string).as_deref(), expected, "{string}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_spelling_of_serde_json(text in "\\PC{0,8}[\0-\u{7f}]{0,16}") {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            let escaped = format!("\"{}\"", units.collect::<Vec<_>>().concat());
            prop_assert_eq!(spelled(&escaped), Some(quote(&text)));
            prop_assert_eq!(spelled(&quote(&text)), Some(quote(&text)));
        }
    }
}

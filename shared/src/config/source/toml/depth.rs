//! Bounds a document's nesting before it is parsed.
//!
//! The parser bounds brackets at 80 and a dotted key at 80 parts, each for itself: together they make a tree
//! of 6,400 levels, and dropping that overflows the stack. Fewer brackets keep it in the hundreds.
//!
//! The text is cut into tokens as the parser does it, broken text included: a string that does not end goes
//! on to the end of its line.

/// Brackets inside each other. The shape needs four.
const MOST: usize = 8;

/// The place of the bracket that is one too many.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        let length = match first {
            b'"' | b'\'' => string(rest, first),
            b'#' => rest.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len()),
            b'[' | b'{' | b']' | b'}' | b'.' | b'=' | b',' | b' ' | b'\t' | b'\r' | b'\n' => 1,
            _ => rest.iter().position(|b| b".=,[]{} \t#\r\n".contains(b)).unwrap_or(rest.len()),
        };
        match first {
            b'[' => open.push(b']'),
            b'{' => open.push(b'}'),
            b']' | b'}' if open.last() == Some(&first) => drop(open.pop()),
            _ => {}
        }
        if open.len() > MOST {
            return Some(text.len() - rest.len());
        }
        rest = &rest[length..];
    }
    None
}

/// Bytes of the string that `text` begins with.
fn string(text: &[u8], quote: u8) -> usize {
    let many = [quote; 3];
    let is_long = text.starts_with(&many);
    let end: &[u8] = if is_long { &many } else { &many[..1] };
    let mut at = end.len();
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(end) {
            at += end.len();
            // Up to two quotes before the closing ones belong to the string.
            let extra = text[at..].iter().take(2).take_while(|b| is_long && **b == quote).count();
            return at + extra;
        }
        at += match rest {
            [b'\n', ..] if !is_long => return at,
            [b'\\', b'\\' | b'"', ..] if quote == b'"' => 2,
            _ => 1,
        };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_counted_outside_strings_and_comments() {
        let deep = "[".repeat(MOST + 1);
        for (text, expected) in [
            (format!("a = {deep}"), true),
            (format!("a = {}", "{a=".repeat(MOST + 1)), true),
            (format!("a = {}", "[".repeat(MOST)), false),
            (format!("a = {}", "[1],".repeat(100)), false),
            (format!("# {deep}"), false),
            (format!("# \"\n{deep}"), true),
            (format!("a = \"{deep}\""), false),
            (format!("a = '{deep}'"), false),
            (format!("a = '\\'{deep}"), true),
            (format!("a = \"\\\"{deep}\""), false),
            (format!("a = \"\\\\\"{deep}"), true),
            (format!("a = \"\n{deep}"), true),
            (format!("a = \"\"\"\n{deep}\"\"\""), false),
            (format!("a = \"\"\"x\"\"\"\"\"{deep}"), true),
            (format!("a = '''\n{deep}'''{deep}"), true),
            (format!("a = '''\n{deep}"), false),
            (format!("a = x\"{deep}"), true),
            (format!("a = {}", "[}".repeat(MOST + 1)), true),
        ] {
            assert_eq!(too_deep(&text).is_some(), expected, "{text}");
        }
    }
}

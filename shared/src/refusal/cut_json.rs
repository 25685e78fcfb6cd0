//! The beginning of a JSON document, read as far as it goes.

use serde_json::Value;

/// Reads `prefix` as if what it has begun ended here; `None` where it is no beginning of JSON.
pub(super) fn parse(prefix: &str) -> Option<Value> {
    if !prefix.starts_with(['{', '[', '"']) {
        return None;
    }
    let (mut closers, mut in_string, mut escaped) = (String::new(), false, false);
    // Where an escape in the last text begins.
    let mut escape = 0;
    for (at, c) in prefix.char_indices() {
        match (in_string, c) {
            (true, _) if escaped => escaped = false,
            (true, '\\') => (escaped, escape) = (true, at),
            (_, '"') => in_string = !in_string,
            (false, '{') => closers.push('}'),
            (false, '[') => closers.push(']'),
            (false, '}' | ']') => _ = closers.pop(),
            (true | false, _) => {}
        }
    }
    let closers: String = closers.chars().rev().collect();
    if in_string {
        // An escape may be half of one: `\`, `\u00`, or the first of a pair of surrogates.
        let whole = [prefix, &prefix[..escape.max(1).min(prefix.len())]];
        let surrogate = prefix.get(..escape.saturating_sub(6)).unwrap_or_default();
        return whole
            .into_iter()
            .chain([surrogate])
            .flat_map(|text| [format!("{text}\"{closers}"), format!("{text}\":null{closers}")])
            .find_map(|text| serde_json::from_str(&text).ok());
    }
    let trimmed = prefix.trim_end();
    // Half a number or a word says nothing.
    let literal =
        trimmed.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
    let comma = literal.strip_suffix(',').unwrap_or(literal);
    [
        format!("{trimmed}{closers}"),
        format!("{literal}null{closers}"),
        format!("{trimmed}:null{closers}"),
        format!("{comma}{closers}"),
    ]
    .iter()
    .find_map(|text| serde_json::from_str(text).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str =
        r#"{"a":{"b":"q\"\\uote \u00e9 \ud83d\ude00","n":[1.5,-2e3,true,null,{"k":"v"}]},"z":"end"}"#;

    #[test]
    fn every_beginning_of_an_object_can_be_read() {
        for end in 1..=WHOLE.len() {
            let value = parse(&WHOLE[..end]);
            assert!(value.is_some_and(|value| value.is_object()), "{}", &WHOLE[..end]);
        }
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in ["", "<html>", "}", "plain words", "{]"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"[{}\[\]":,\\u0-9a-f \p{L}]{0,40}"#) {
            let _ = parse(&text);
        }
    }
}

//! The top-level fields of a JSON object, each with its place in the text.
//!
//! Bodies are routed, metered and adjusted by what stands at their top level, and go on byte for byte
//! otherwise. So they are never turned into a tree: `serde_json` finds the fields, this module keeps where.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Fields of one object at most: a body of nothing but small ones would take many times its own size.
pub const MOST_FIELDS: usize = 1024;

/// The fields of one JSON object, in the order in which they stand.
#[derive(Debug)]
pub struct Fields<'a> {
    text: &'a str,
    fields: Vec<Field<'a>>,
}

#[derive(Debug)]
struct Field<'a> {
    key: Cow<'a, str>,
    value: &'a RawValue,
}

/// A value and its place.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    text: &'a str,
    raw: &'a RawValue,
}

impl<'a> Fields<'a> {
    /// Reads an object; the values inside are checked to be JSON but not looked into.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let FieldList(fields) = serde_json::from_str(text)?;
        Ok(Self { text, fields })
    }

    /// The value of `key`; the last one, as most parsers have it, should there be more.
    pub fn find(&self, key: &str) -> Option<Value<'a>> {
        let field = self.fields.iter().rev().find(|field| field.key == key)?;
        Some(Value { text: self.text, raw: field.value })
    }

    /// A key that stands twice: two parsers may read two different requests out of such a body.
    pub fn duplicate(&self) -> Option<&str> {
        let mut keys: Vec<&str> = self.fields.iter().map(|field| &*field.key).collect();
        keys.sort_unstable();
        keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Keys and the text of their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields.iter().map(|field| (&*field.key, field.value.get()))
    }

    /// Just behind the object's opening brace.
    pub fn start(&self) -> usize {
        self.text.find('{').map_or(0, |at| at + 1)
    }
}

impl<'a> Value<'a> {
    /// A value that was read out of `text`.
    pub(crate) fn new(text: &'a str, raw: &'a RawValue) -> Self {
        Self { text, raw }
    }

    /// As it is written.
    pub fn text(self) -> &'a str {
        self.raw.get()
    }

    pub fn span(self) -> Range<usize> {
        let start = self.raw.get().as_ptr().addr() - self.text.as_ptr().addr();
        start..start + self.raw.get().len()
    }

    pub fn is_null(self) -> bool {
        self.text() == "null"
    }

    /// What to cut so that the value is gone with its `key` and JSON remains: the field with one of its commas.
    pub fn field_span(self, key: &str) -> Option<Range<usize>> {
        let value = self.span();
        let before = self.text[..value.start].trim_end().strip_suffix(':')?.trim_end();
        // A key written with escapes reads otherwise; it is left where it is.
        let open = before.strip_suffix('"')?.strip_suffix(key)?.strip_suffix('"')?;
        if let Some(kept) = open.trim_end().strip_suffix(',') {
            return Some(kept.len()..value.end);
        }
        let behind = self.text[value.end..].trim_start();
        let end = self.text.len() - behind.strip_prefix(',').unwrap_or(behind).len();
        Some(open.len()..end)
    }

    /// Reads the value as a `T`; `None` when it is something else.
    pub fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.raw.get()).ok()
    }
}

/// The values of `keys` in the object that `text` is, and nothing of its other fields: one pass, and no memory of
/// its own. As with [`Fields::find`] the last one counts, should there be more.
pub fn pick<'a, const N: usize>(
    text: &'a str,
    keys: [&str; N],
) -> Result<[Option<Value<'a>>; N], serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let values = Pick { keys: &keys }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(values.map(|raw| raw.map(|raw| Value { text, raw })))
}

/// Bytes as text, with a sign in place of each byte that is none. Valid text is checked much faster than it is
/// repaired.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// A JSON string literal.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Replaces each span by its text. The spans must not overlap.
pub fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let grown: usize = edits.iter().map(|(_, new)| new.len()).sum();
    let mut out = String::with_capacity(text.len() + grown);
    let mut from = 0;
    for (span, new) in edits {
        out.push_str(&text[from..span.start]);
        out.push_str(&new);
        from = span.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Whether a value says anything: `null`, `false`, and what is empty do not. In the field `error` these are no
/// errors, wherever it stands.
pub(crate) fn says_something(value: &str) -> bool {
    let inside = |open, close| value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let is_empty = ['[', '{']
        .into_iter()
        .zip([']', '}'])
        .any(|(open, close)| inside(open, close).is_some_and(|inside: &str| inside.trim_ascii().is_empty()));
    !is_empty && !matches!(value, "null" | "false" | "\"\"")
}

/// The same JSON without white space between its tokens, so that it stands on one line. `text` must be JSON.
pub fn compact(text: &str) -> String {
    let (bytes, mut out, mut from, mut at) = (text.as_bytes(), String::with_capacity(text.len()), 0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.push_str(&text[from..at]);
                from = at + 1;
            }
            b'"' => at = string_end(bytes, at),
            _ => {}
        }
        at += 1;
    }
    out.push_str(&text[from..]);
    out
}

/// The deepest nesting of objects and arrays. Brackets inside strings do not count.
pub fn depth(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut depth, mut deepest, mut at) = (0_u32, 0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = string_end(bytes, at),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Where the string that opens at `open` closes, or the last byte.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(step) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += step;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

struct FieldList<'a>(Vec<Field<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for FieldList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vec<Field<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Key(key), value)) = map.next_entry()? {
                    if fields.len() == MOST_FIELDS {
                        return Err(Error::custom(format_args!("more than {MOST_FIELDS} fields")));
                    }
                    fields.push(Field { key, value });
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Object).map(FieldList)
    }
}

struct Pick<'k, const N: usize> {
    keys: &'k [&'k str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for Pick<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Pick<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(place) = map.next_key_seed(PlaceIn(self.keys))? {
            match place.and_then(|place| values.get_mut(place)) {
                Some(value) => *value = Some(map.next_value()?),
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(values)
    }
}

/// Reads a key as its place in a list; `None` when it stands in none.
pub(crate) struct PlaceIn<'k>(pub(crate) &'k [&'k str]);

impl<'de> DeserializeSeed<'de> for PlaceIn<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for PlaceIn<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|listed| *listed == key))
    }
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_point_at_the_values() {
        let text = r#" { "a" : 1, "mod\u0065l":"x\"y" , "b":[{"model":2}] }"#;
        let fields = Fields::parse(text).unwrap();
        let model = fields.find("model").unwrap();
        assert_eq!(model.read::<String>().as_deref(), Some("x\"y"));
        assert_eq!(&text[model.span()], r#""x\"y""#);
        assert_eq!(fields.duplicate(), None);
    }

    #[test]
    fn a_duplicate_is_found_however_it_is_written() {
        assert_eq!(Fields::parse(r#"{"model":1,"mod\u0065l":2}"#).unwrap().duplicate(), Some("model"));
    }

    #[test]
    fn a_field_is_cut_with_one_comma() {
        for (text, expected) in [
            (r#"{"a":1,"usage":null}"#, r#"{"a":1}"#),
            (r#"{"usage":null,"a":1}"#, r#"{"a":1}"#),
            (r#"{ "usage" : null , "a":1}"#, r#"{ "a":1}"#),
            (r#"{"a":1 , "usage":null,"b":2}"#, r#"{"a":1 ,"b":2}"#),
            (r#"{"usage":null}"#, "{}"),
        ] {
            let [usage] = pick(text, ["usage"]).unwrap();
            let span = usage.unwrap().field_span("usage").unwrap();
            let cut = splice(text, vec![(span, String::new())]);
            let same: serde_json::Value = serde_json::from_str(&cut).unwrap();
            assert_eq!(same, serde_json::from_str::<serde_json::Value>(expected).unwrap(), "{cut}");
        }
    }

    #[test]
    fn a_key_that_is_written_with_escapes_is_left_where_it_is() {
        let [usage] = pick(r#"{"a":1,"us\u0061ge":null}"#, ["usage"]).unwrap();
        assert_eq!(usage.unwrap().field_span("usage"), None);
    }

    #[test]
    fn white_space_goes_outside_strings_only() {
        for (text, expected) in [
            ("{ \"a b\" :\r\n[ 1 ,\t\" \\\" \" ] }\n", r#"{"a b":[1," \" "]}"#),
            (r#"{"é":" 🦀 "}"#, r#"{"é":" 🦀 "}"#),
            ("", ""),
        ] {
            assert_eq!(compact(text), expected);
        }
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        for (text, expected) in
            [("1", 0), ("{}", 1), (r#"{"a":[{}]}"#, 3), (r#"{"[[[\"[[":1}"#, 1), (r#"["]","#, 1), ("\"\\", 0)]
        {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("1e999".to_owned()),
            Just(r#""\ud83d""#.to_owned()),
            Just(r#"",\"a\":null""#.to_owned()),
            "[-0-9.e]{1,4}",
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop_oneof![
                Just("a".to_owned()),
                Just(r"\u0061".to_owned()),
                Just("b".to_owned()),
                Just("c".to_owned()),
                Just(r"\ud83d".to_owned()),
            ];
            let field = (key, "[ \n]{0,2}", inner.clone())
                .prop_map(|(key, pad, value)| format!("{pad}\"{key}\"{pad}:{pad}{value}{pad}"));
            prop_oneof![
                proptest::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
                proptest::collection::vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_picked_is_what_is_found(text in json(), behind in "[ x]{0,1}") {
            let text = text + &behind;
            let picked = pick(&text, ["b", "a"]).ok().map(|values| values.map(|v| v.map(Value::span)));
            let fields = Fields::parse(&text).ok();
            let found = fields.map(|fields| ["b", "a"].map(|key| fields.find(key).map(Value::span)));
            prop_assert_eq!(picked, found);
        }

        #[test]
        fn any_text_is_taken(text in ".{0,64}") {
            depth(&text);
            compact(&text);
        }

        #[test]
        fn compact_json_is_the_same_json_on_one_line(text in json()) {
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            let compacted = compact(&text);
            prop_assert_eq!(read(&compacted), read(&text));
            prop_assert!(!compacted.contains('\n'));
        }

        #[test]
        fn a_spliced_body_differs_in_the_spliced_field_only(
            model in ".{0,12}", new in ".{0,12}", other in ".{0,12}", pad in "[ \n\t]{0,3}",
        ) {
            let text = format!(
                "{{{pad}{}:{pad}{},{pad}\"model\"{pad}:{pad}{}{pad}}}",
                quote("other"), quote(&other), quote(&model),
            );
            let span = Fields::parse(&text).unwrap().find("model").unwrap().span();
            let spliced = splice(&text, vec![(span.clone(), quote(&new))]);
            prop_assert_eq!(&spliced[..span.start], &text[..span.start]);
            prop_assert_eq!(&spliced[spliced.len() - (text.len() - span.end)..], &text[span.end..]);
            let fields = Fields::parse(&spliced).unwrap();
            prop_assert_eq!(fields.find("model").and_then(Value::read::<String>), Some(new));
            prop_assert_eq!(fields.find("other").and_then(Value::read::<String>), Some(other));
        }
    }
}

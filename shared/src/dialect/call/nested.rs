//! Models that a body names further inside: of a session, of a step, of whatever it describes.
//!
//! Nothing is routed by them; but a caller may not have made elsewhere what it may not ask for itself.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::fold::is_same;
use crate::wire::json;

/// Names that are looked at; a body with more of them is refused by a caller that is held to a list.
const MOST: usize = 256;

/// The texts that are called `model` beneath the top level of the object `text`, or `models` anywhere, in any case of
/// letters, up to where it is JSON no longer. `None` where there are too many of them.
pub(crate) fn models(text: &str) -> Option<Vec<String>> {
    search(text, At::Top)
}

/// As [`models`], but of a part of a body, whose top level is beneath another.
pub(crate) fn models_of_part(text: &str) -> Option<Vec<String>> {
    search(text, At::Inside)
}

/// As [`models`], but of an understood call: its messages and its data may speak of models, and name none. `models` is
/// `OpenRouter`'s list, `fallbacks` `LiteLLM`'s; a tool or a session may have a model of its own.
pub(crate) fn models_of_call(text: &str) -> Option<Vec<String>> {
    let keys = ["models", "fallbacks", "session", "tools", "plugins"];
    let values = json::pick(text, keys).unwrap_or_default();
    let mut found = Vec::new();
    for (key, value) in keys.into_iter().zip(values) {
        let Some(value) = value else { continue };
        let at = if matches!(key, "models" | "fallbacks") { At::Model } else { At::Inside };
        search_in(value.text(), at, &mut found);
    }
    (found.len() <= MOST).then_some(found)
}

fn search(text: &str, at: At) -> Option<Vec<String>> {
    let mut found = Vec::new();
    search_in(text, at, &mut found);
    (found.len() <= MOST).then_some(found)
}

fn search_in(text: &str, at: At, found: &mut Vec<String>) {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // What is no JSON is not this one's to refuse.
    let _ = Search { found, at }.deserialize(&mut deserializer);
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Top,
    Inside,
    /// Behind a key that says `model` or `models`.
    Model,
}

struct Search<'f> {
    found: &'f mut Vec<String>,
    at: At,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.at == At::Model {
            if self.found.len() > MOST {
                return Err(E::custom("too many models"));
            }
            self.found.push(text.to_owned());
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        // A list of models is named as one of them is.
        let at = if self.at == At::Model { At::Model } else { At::Inside };
        while list.next_element_seed(Search { found: &mut *self.found, at })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let is_own = self.at == At::Top && key == "model";
            let is_model = !is_own && (is_same(&key, "model") || is_same(&key, "models"));
            let at = if is_model { At::Model } else { At::Inside };
            map.next_value_seed(Search { found: &mut *self.found, at })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_wherever_they_are_named() {
        for (text, expected) in [
            (r#"{"model":"top"}"#, Some(&[][..])),
            (r#"{"session":{"model":"a","x":1.5}}"#, Some(&["a"])),
            (r#"{"a":[{"b":{"Model":"a"}},[{"model":"b"}],null,true,-1]}"#, Some(&["a", "b"])),
            (r#"{"a":{"model":{"model":"c"}}}"#, Some(&["c"])),
            (r#"{"a":{"m\u006fdel":"d"}}"#, Some(&["d"])),
            (r#"{"a":"model"}"#, Some(&[])),
            (r#"{"model":"top","models":["a",["b"]],"x":{"MODELS":"c"}}"#, Some(&["a", "b", "c"])),
            (r#"{"a":{"model":"e"},"b":{"#, Some(&["e"])),
            ("{no json}", Some(&[])),
        ] {
            let expected = expected.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(models(text), expected, "{text}");
        }
        let call = r#"{"model":"top","messages":[{"model":"no"}],"metadata":{"model":"no"},"models":["a"],
            "fallbacks":["b",{"model":"c"}],"tools":[{"type":"image_generation","model":"d"}],"session":{"model":"e"}}"#;
        assert_eq!(models_of_call(call), Some(["a", "b", "c", "e", "d"].map(ToOwned::to_owned).to_vec()));
        assert_eq!(models_of_part(r#"{"model":"a"}"#), Some(vec!["a".to_owned()]));
        assert_eq!(models(&format!("[{}1]", r#"{"model":"a"},"#.repeat(MOST + 1))), None);
    }
}

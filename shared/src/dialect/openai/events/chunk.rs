//! A chunk of chat or completions, read in one pass.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::json::{self, PlaceIn};

/// What is read of a chunk. What has another form than it should counts for nothing, and what is no JSON at all is
/// the only error; of a key that stands twice, the last one counts.
pub(super) struct Chunk<'a> {
    /// Of the fields in [`VALUES`].
    pub(super) values: [Option<&'a RawValue>; 7],
    /// `None` where there is no such field, or it is null.
    pub(super) choices: Option<Choices>,
}

/// The fields whose values are kept as they are spelled.
const VALUES: [&str; 7] = ["error", "model", "usage", "message", "detail", "object", "type"];

const KEYS: [&str; 8] = ["error", "model", "usage", "message", "detail", "object", "type", "choices"];

#[derive(Default)]
pub(super) struct Choices {
    pub(super) count: usize,
    /// Bytes of what the model has said.
    pub(super) content: usize,
    /// Whether one of them has come to its end.
    pub(super) is_any_finished: bool,
    /// Which ones: by index, and whether it has come to its end. The first one needs no room of its own.
    pub(super) first: Option<(u64, bool)>,
    pub(super) others: Vec<(u64, bool)>,
}

#[derive(Default)]
struct Choice {
    index: Option<u64>,
    delta: Delta,
    text: usize,
    is_finished: bool,
}

/// Bytes of what the model has said: text, reasoning, refusals, tool calls, whatever comes next; all but the
/// role.
#[derive(Default)]
struct Delta(usize);

/// What may be a `T` or anything else.
struct Maybe<T>(Option<T>);

/// An object of which some fields count.
trait Object: Default {
    const KEYS: &[&str];

    /// Reads the value behind a key: its place in [`Self::KEYS`], if it has one.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: Option<usize>, fields: &mut A) -> Result<(), A::Error>;
}

impl Choices {
    fn take(&mut self, Choice { index, delta, text, is_finished }: Choice) {
        let index = index.unwrap_or(self.count as u64);
        if self.first.is_none() {
            self.first = Some((index, is_finished));
        } else {
            self.others.push((index, is_finished));
        }
        self.count += 1;
        self.content += delta.0 + text;
        self.is_any_finished |= is_finished;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, bool)> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

impl Chunk<'_> {
    /// Whether it says that something went wrong: in a field of its own, or in place of choices.
    pub(super) fn is_error(&self) -> bool {
        let [error, _, _, message, detail, object, kind] = self.values.map(|value| value.map(RawValue::get));
        let says = |value: Option<&str>| value.is_some_and(json::says_something);
        says(error)
            || (self.choices.is_none()
                && (says(message)
                    || says(detail)
                    || object == Some("\"error\"")
                    || kind.is_some_and(|kind| kind.ends_with("error\""))))
    }
}

impl Object for Choice {
    const KEYS: &[&str] = &["delta", "text", "finish_reason", "index"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: Option<usize>, fields: &mut A) -> Result<(), A::Error> {
        match key {
            Some(0) => self.delta = fields.next_value::<Maybe<Delta>>()?.0.unwrap_or_default(),
            Some(1) => self.text = content_bytes(fields.next_value::<&RawValue>()?.get()),
            // Some say with every chunk that there is no reason yet: `""`.
            Some(2) => self.is_finished = json::says_something(fields.next_value::<&RawValue>()?.get()),
            Some(_) => self.index = fields.next_value::<&RawValue>()?.get().parse().ok(),
            None => _ = fields.next_value::<IgnoredAny>()?,
        }
        Ok(())
    }
}

impl Object for Delta {
    const KEYS: &[&str] = &["role"];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: Option<usize>, fields: &mut A) -> Result<(), A::Error> {
        let value: &RawValue = fields.next_value()?;
        if key.is_none() {
            self.0 += content_bytes(value.get());
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Chunk<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Chunk<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a chunk")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Chunk<'de>, A::Error> {
                let mut chunk = Chunk { values: [None; VALUES.len()], choices: None };
                while let Some(key) = fields.next_key_seed(PlaceIn(&KEYS))? {
                    match key.map(|key| chunk.values.get_mut(key)) {
                        Some(Some(value)) => *value = Some(fields.next_value()?),
                        Some(None) => chunk.choices = fields.next_value::<MaybeChoices>()?.0,
                        None => _ = fields.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(chunk)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The rest of a visitor that takes anything.
macro_rules! anything_else_is {
    ($nothing:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($nothing)
        }
    };
}

/// The value of the field `choices`; null is none.
pub(super) struct MaybeChoices(pub(super) Option<Choices>);

impl<'de> Deserialize<'de> for MaybeChoices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = MaybeChoices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("choices")
            }

            fn visit_unit<E>(self) -> Result<MaybeChoices, E> {
                Ok(MaybeChoices(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MaybeChoices, A::Error> {
                let (mut all, mut are_choices) = (Choices::default(), true);
                while let Some(Maybe(choice)) = list.next_element::<Maybe<Choice>>()? {
                    are_choices &= choice.is_some();
                    all.take(choice.unwrap_or_default());
                }
                Ok(MaybeChoices(Some(if are_choices { all } else { Choices::default() })))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<MaybeChoices, A::Error> {
                IgnoredAny.visit_map(fields).map(|_| MaybeChoices(Some(Choices::default())))
            }

            anything_else_is!(MaybeChoices(Some(Choices::default())));
        }

        deserializer.deserialize_any(List)
    }
}

impl<'de, T: Object> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(T);

        impl<'de, T: Object> Visitor<'de> for Fields<T> {
            type Value = Maybe<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Maybe<T>, A::Error> {
                let Self(mut object) = self;
                while let Some(key) = fields.next_key_seed(PlaceIn(T::KEYS))? {
                    object.read(key, &mut fields)?;
                }
                Ok(Maybe(Some(object)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Maybe<T>, A::Error> {
                IgnoredAny.visit_seq(list).map(|_| Maybe(None))
            }

            anything_else_is!(Maybe(None));
        }

        deserializer.deserialize_any(Fields(T::default()))
    }
}

/// Numbers and truth values are none: Mistral says in each delta which choice it is of.
fn content_bytes(value: &str) -> usize {
    match value {
        "\"\"" | "[]" | "{}" => 0,
        text if text.starts_with('"') => text.len() - 2,
        text if text.starts_with(['[', '{']) => text.len(),
        _ => 0,
    }
}

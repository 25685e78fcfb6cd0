//! JSON objects, read and put together by the texts of their values.

use serde_json::value::RawValue;

use crate::wire::json::{self, Fields};

/// An object with more fields than this is not one that an upstream sends.
const MOST_FIELDS: usize = 128;

/// Reads an object. `None` when it is none, or two parsers might read two different ones out of it.
pub(super) fn fields(text: &str) -> Option<Fields<'_>> {
    let fields = Fields::parse(text).ok()?;
    (fields.duplicate().is_none() && fields.iter().count() <= MOST_FIELDS).then_some(fields)
}

/// The text of a field's value.
pub(super) fn value<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a str> {
    fields.find(key).map(json::Value::text)
}

/// The items of an array.
pub(super) fn items(text: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

pub(super) fn is_string(value: &str) -> bool {
    value.starts_with('"')
}

pub(super) fn is_list(value: &str) -> bool {
    value.starts_with('[')
}

/// Whether a value says nothing.
pub(super) fn is_nothing(value: &str) -> bool {
    matches!(value, "null" | "\"\"" | "[]" | "{}")
}

/// A number or a truth value.
pub(super) fn is_scalar(value: &str) -> bool {
    value.starts_with(|first: char| first == '-' || first.is_ascii_digit() || matches!(first, 't' | 'f'))
}

/// An object that is put together, its fields in the order in which they first came.
#[derive(Debug, Default)]
pub(super) struct Object {
    fields: Vec<(String, String)>,
}

/// How a field that comes in pieces comes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Strings and lists grow.
    Appended,
    /// The last one that says something counts.
    Newest,
    /// Whoever says something says the same.
    Unchanging,
}

impl Object {
    /// Takes a piece of a field; `None` when the pieces do not fit.
    pub(super) fn take(&mut self, key: &str, piece: Piece, value: &str) -> Option<()> {
        let so_far = self.place(key)?;
        match piece {
            _ if so_far == "null" => value.clone_into(so_far),
            Piece::Appended => append(so_far, value)?,
            Piece::Newest if is_nothing(value) => {}
            Piece::Unchanging if is_nothing(value) || so_far == value => {}
            Piece::Unchanging if !is_nothing(so_far) => return None,
            Piece::Newest | Piece::Unchanging => value.clone_into(so_far),
        }
        Some(())
    }

    /// Puts a value in the place of the field, which is at the end if it has none.
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>) -> Option<()> {
        *self.place(key)? = value.into();
        Some(())
    }

    pub(super) fn find(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.fields.retain(|(known, _)| known != key);
    }

    pub(super) fn to_text(&self) -> String {
        let fields = self.fields.iter();
        let fields: Vec<_> = fields.map(|(key, value)| format!("{}:{value}", json::quote(key))).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// Where the value of a field stands, `null` if it has not come yet.
    pub(super) fn place(&mut self, key: &str) -> Option<&mut String> {
        let at = match self.fields.iter().position(|(known, _)| known == key) {
            Some(at) => at,
            None if self.fields.len() < MOST_FIELDS => {
                self.fields.push((key.to_owned(), "null".to_owned()));
                self.fields.len() - 1
            }
            None => return None,
        };
        self.fields.get_mut(at).map(|(_, value)| value)
    }
}

/// Strings are joined as they are spelled: an escape may have been cut in two, as a surrogate from its other half.
fn append(so_far: &mut String, more: &str) -> Option<()> {
    if more == "null" {
        return Some(());
    }
    let ((known, said), (open, more)) = (inside(so_far)?, inside(more)?);
    match (known, open) {
        ('"', '"') => {}
        ('[', '[') if more.trim().is_empty() => return Some(()),
        // What is blank goes, lest it be looked through with each piece.
        ('[', '[') if said.trim().is_empty() => so_far.replace_range(1.., "]"),
        ('[', '[') => so_far.insert(so_far.len() - 1, ','),
        _ => return None,
    }
    let close = so_far.pop()?;
    so_far.push_str(more);
    so_far.push(close);
    Some(())
}

/// What opens a string or a list, and what stands in it.
fn inside(value: &str) -> Option<(char, &str)> {
    let string = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(|inside| ('"', inside));
    let list = || value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(|inside| ('[', inside));
    string.or_else(list)
}

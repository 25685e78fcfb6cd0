//! JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Broken, DEEPEST, line_of};
use crate::config::path::{Path, Step};

/// Found by walking the text again: only a document with faults pays for it.
pub(in crate::config) struct Lines<'a> {
    text: &'a str,
}

impl Lines<'_> {
    pub(super) fn line(&self, path: &Path) -> usize {
        line_of(self.text, self.offset(path).unwrap_or(0))
    }

    fn offset(&self, path: &Path) -> Option<usize> {
        let mut at: &RawValue = serde_json::from_str(self.text).ok()?;
        for step in path.steps() {
            let next = match step {
                Step::Key(key) => serde_json::from_str::<BTreeMap<String, &RawValue>>(at.get())
                    .ok()
                    .and_then(|mut m| m.remove(key)),
                Step::Index(index) => {
                    serde_json::from_str::<Vec<&RawValue>>(at.get()).ok().and_then(|v| v.get(*index).copied())
                }
            };
            let Some(next) = next else { break };
            at = next;
        }
        at.get().as_ptr().addr().checked_sub(self.text.as_ptr().addr())
    }
}

pub(super) fn read(text: &str) -> Result<(Value, Lines<'_>), Broken> {
    let mut json = serde_json::Deserializer::from_str(text);
    let tree = Tree { depth: 1 }.deserialize(&mut json).and_then(|tree| json.end().map(|()| tree));
    match tree {
        Ok(tree) => Ok((tree, Lines { text })),
        Err(error) => {
            let problem = error.to_string();
            let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
            Err(Broken { offset: start_of_line(text, error.line()), problem: format!("not JSON: {problem}") })
        }
    }
}

fn start_of_line(text: &str, line: usize) -> usize {
    let mut breaks = memchr::memchr_iter(b'\n', text.as_bytes());
    line.checked_sub(2).and_then(|skip| breaks.nth(skip)).map_or(0, |at| at + 1)
}

/// A value in which no key is given twice; `serde_json` alone would take the last.
#[derive(Clone, Copy)]
struct Tree {
    depth: usize,
}

impl Tree {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth < DEEPEST {
            Ok(Self { depth: self.depth + 1 })
        } else {
            Err(E::custom("nested too deep"))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let below = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(below)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Value, A::Error> {
        let below = self.deeper()?;
        let mut values = Map::new();
        while let Some(key) = table.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(de::Error::custom("the same key twice in one table"));
            }
            values.insert(key, table.next_value_seed(below)?);
        }
        Ok(Value::Object(values))
    }
}

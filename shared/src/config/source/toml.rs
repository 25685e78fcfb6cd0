//! TOML.

mod depth;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Broken, DEEPEST, line_of};
use crate::config::path::{Path, Step};

pub(in crate::config) struct Lines<'a> {
    text: &'a str,
    root: DeTable<'a>,
}

impl Lines<'_> {
    pub(super) fn line(&self, path: &Path) -> usize {
        line_of(self.text, self.offset(path))
    }

    /// Of a key the key itself, of an element its value.
    fn offset(&self, path: &Path) -> usize {
        let mut offset = 0;
        let mut table = Some(&self.root);
        let mut list = None;
        for step in path.steps() {
            let found = match step {
                Step::Key(key) => {
                    let entry = table.and_then(|table| table.get_key_value(key.as_str()));
                    entry.map(|(key, value)| (key.span().start, value))
                }
                Step::Index(at) => {
                    let element = list.and_then(|list: &toml::de::DeArray<'_>| list.get(*at));
                    element.map(|value| (value.span().start, value))
                }
            };
            let Some((start, value)) = found else { break };
            offset = start;
            table = value.get_ref().as_table();
            list = value.get_ref().as_array();
        }
        offset
    }
}

pub(super) fn read(text: &str) -> Result<(Value, Lines<'_>), Broken> {
    if let Some(offset) = depth::too_deep(text) {
        return Err(Broken { offset, problem: "nested too deep".into() });
    }
    let root = DeTable::parse(text).map_err(|error| Broken {
        offset: error.span().map_or(0, |span| span.start),
        problem: format!("not TOML: {}", error.message()),
    })?;
    let root = root.into_inner();
    let tree = Value::Object(map(&root, 1)?);
    Ok((tree, Lines { text, root }))
}

fn map(table: &DeTable<'_>, depth: usize) -> Result<Map<String, Value>, Broken> {
    table.iter().map(|(key, value)| Ok((key.get_ref().to_string(), tree(value, depth)?))).collect()
}

fn tree(value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Value, Broken> {
    let broken = |problem: &str| Broken { offset: value.span().start, problem: problem.into() };
    if depth > DEEPEST {
        return Err(broken("nested too deep"));
    }
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Integer(number) => {
            let digits = i64::from_str_radix(number.as_str(), number.radix());
            digits.map_err(|_| broken("a number that is too large"))?.into()
        }
        DeValue::Float(number) => {
            let float = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            Value::Number(float.ok_or_else(|| broken("a number that has no end"))?)
        }
        DeValue::Datetime(_) => return Err(broken("a date, which has no place here")),
        DeValue::Array(list) => {
            Value::Array(list.iter().map(|value| tree(value, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => Value::Object(map(table, depth + 1)?),
    })
}

//! A custom kind, and the rules that its definition brings along (`x-kubernetes-validations`, in CEL): what an API
//! server holds each object to, beyond the shape that a schema can say.
//!
//! An object is first given the defaults of its schema, as it would be on the server. Rules of transitions
//! (`oldSelf`) are not asked: what is rendered here is new. A rule that cannot be evaluated is a fault, as it is there.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Program};
use serde_json::Value;

use crate::object::{self, Object};
use crate::yaml;

/// Words that a name cannot be in CEL; Kubernetes writes `__namespace__` for one.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// One version of a kind.
#[derive(Clone, Debug)]
pub struct CustomKind {
    api_version: String,
    kind: String,
    schema: Value,
}

impl CustomKind {
    /// Every version of every kind that the documents of `text` define; in words, why it cannot be read.
    pub fn read(text: &str) -> Result<Vec<Self>, String> {
        let mut kinds = Vec::new();
        for definition in yaml::documents(text)? {
            let group = object::text(&definition, "/spec/group").ok_or("it is of no group")?;
            let kind = object::text(&definition, "/spec/names/kind").ok_or("it defines no kind")?;
            for version in object::list(&definition, "/spec/versions") {
                let name = object::text(version, "/name").ok_or("a version has no name")?;
                let schema = version.pointer("/schema/openAPIV3Schema").ok_or("a version has no schema")?;
                kinds.push(Self {
                    api_version: format!("{group}/{name}"),
                    kind: kind.to_owned(),
                    schema: schema.clone(),
                });
            }
        }
        Ok(kinds)
    }

    /// Whether `object` is of it.
    pub fn is_of(&self, object: &Object) -> bool {
        object.kind() == self.kind && object.text("/apiVersion") == Some(&self.api_version)
    }

    /// Every rule of it that is asked of new objects.
    pub fn rules(&self) -> Vec<&str> {
        let mut found = Vec::new();
        gather(&self.schema, &mut found);
        found
    }

    /// What of its rules `object` does not keep, each with its place.
    pub fn faults(&self, object: &Object) -> Vec<String> {
        let mut value = object.0.clone();
        complete(&self.schema, &mut value);
        let mut faults = Vec::new();
        judge(&self.schema, &value, "", &mut faults);
        faults.into_iter().map(|fault| format!("{object}: {fault}")).collect()
    }
}

fn gather<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    found.extend(rules_of(schema).map(|(rule, _)| rule));
    for part in parts(schema) {
        gather(part, found);
    }
}

/// The rules of one place, with what they say to whoever breaks them.
fn rules_of(schema: &Value) -> impl Iterator<Item = (&str, &str)> {
    let rules = object::list(schema, "/x-kubernetes-validations").iter();
    let rules = rules.filter_map(|rule| {
        let text = object::text(rule, "/rule")?;
        Some((text, object::text(rule, "/message").unwrap_or(text)))
    });
    rules.filter(|(rule, _)| !rule.contains("oldSelf"))
}

/// The schemas right below one.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let named = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|it| it.values());
    let others = ["items", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
    named.chain(others.filter(|it| it.is_object()))
}

/// Puts the schema's defaults in, from the outside in.
fn complete(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                for (name, part) in properties {
                    if let Some(default) = part.get("default").filter(|_| !fields.contains_key(name)) {
                        fields.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, field) in fields {
                if let Some(part) = part_of(schema, name) {
                    complete(part, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(part) = schema.get("items") {
                for item in items {
                    complete(part, item);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn part_of<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema.get("properties").and_then(|properties| properties.get(name));
    named.or_else(|| schema.get("additionalProperties").filter(|it| it.is_object()))
}

fn judge(schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    for (rule, message) in rules_of(schema) {
        match holds(rule, schema, value) {
            Ok(true) => {}
            Ok(false) => faults.push(format!("{place}: {message}")),
            Err(why) => faults.push(format!("{place}: `{rule}` cannot be evaluated: {why}")),
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(part) = part_of(schema, name) {
                    judge(part, field, &format!("{place}.{name}"), faults);
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if let Some(part) = schema.get("items") {
                    judge(part, item, &format!("{place}[{at}]"), faults);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn holds(rule: &str, schema: &Value, value: &Value) -> Result<bool, String> {
    let program = Program::compile(rule).map_err(|error| error.to_string())?;
    let mut context = Context::default();
    context.add_variable_from_value("self", said(schema, value)?);
    match program.execute(&context) {
        Ok(cel::Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!("it is no condition: {other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// `value` in CEL's terms; fields that a schema names by the names that rules call them.
fn said(schema: &Value, value: &Value) -> Result<cel::Value, String> {
    let nothing = Value::Null;
    Ok(match value {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => (*it).into(),
        Value::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(it), _) => it.into(),
            (None, Some(it)) => it.into(),
            (None, None) => return Err(format!("{it} is no number of CEL")),
        },
        Value::String(it) => it.as_str().into(),
        Value::Array(items) => {
            let part = schema.get("items").unwrap_or(&nothing);
            let items: Result<Vec<_>, _> = items.iter().map(|item| said(part, item)).collect();
            cel::Value::List(Arc::new(items?))
        }
        Value::Object(fields) => {
            let mut map = HashMap::new();
            for (name, field) in fields {
                let is_named = schema.get("properties").is_some_and(|it| it.get(name).is_some());
                let key = if is_named { escaped(name) } else { name.clone() };
                let field = said(part_of(schema, name).unwrap_or(&nothing), field)?;
                map.insert(Key::String(Arc::new(key)), field);
            }
            cel::Value::Map(Map { map: Arc::new(map) })
        }
    })
}

/// As Kubernetes writes a field in its rules (`apiextensions`, "escaping").
fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let name = name.replace("__", "__underscores__").replace('.', "__dot__");
    name.replace('-', "__dash__").replace('/', "__slash__")
}

//! Sample values for a JSON Schema, so that tool arguments and structured answers satisfy the
//! schema their caller sent.
//!
//! Understood: type (also a list of types), properties, required, items, prefixItems, enum,
//! const, anyOf, oneOf, allOf, `$ref` within the document, numeric and length bounds and the
//! common string formats. `pattern`, `not`, `if` and `patternProperties` are ignored.

use serde_json::{Map, Number, Value, json};

use crate::{prose, seed::Seed};

/// A schema may refer to itself; below this, optional parts are left out and the rest is null.
const DEEPEST: usize = 12;
/// The most values in one sample; a small schema that refers to itself can ask for any number.
const MOST_VALUES: usize = 4096;
/// The longest array or padded string that a bound may ask for.
const LONGEST: usize = 1024;

/// A value that satisfies `schema`, the same for the same seed.
pub(crate) fn value(schema: &Value, seed: &Seed) -> Value {
    let mut sampler = Sampler { root: schema, seed: seed.branch("sample"), left: MOST_VALUES };
    sampler.value(schema, 0)
}

struct Sampler<'s> {
    root: &'s Value,
    seed: Seed,
    /// How many more values there may be.
    left: usize,
}

impl Sampler<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if depth > DEEPEST || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return target.map_or(Value::Null, |target| self.value(target, depth + 1));
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            let place = self.seed.below(choices.len());
            return choices.get(place).cloned().unwrap_or(Value::Null);
        }
        for either in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(either).and_then(Value::as_array) {
                return self.branch(branches, depth);
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(schema, parts, depth);
        }
        match kind(schema) {
            Some("object") => self.object(schema, depth),
            Some("array") => self.array(schema, depth),
            Some("string") => Value::String(self.string(schema)),
            Some("integer") => self.integer(schema),
            Some("number") => self.number(schema),
            Some("boolean") => Value::Bool(self.seed.below(2) == 0),
            Some("null") => Value::Null,
            Some(_) | None => Value::String(prose::sentence(&mut self.seed)),
        }
    }

    /// The first branch that is not null; near the bottom, null if that is allowed.
    fn branch(&mut self, branches: &[Value], depth: usize) -> Value {
        let null = |branch: &&Value| kind(branch) == Some("null");
        if depth + 2 > DEEPEST && branches.iter().any(|branch| null(&branch)) {
            return Value::Null;
        }
        let chosen = branches.iter().find(|branch| !null(branch));
        chosen.map_or(Value::Null, |branch| self.value(branch, depth + 1))
    }

    fn all_of(&mut self, schema: &Value, parts: &[Value], depth: usize) -> Value {
        let own = schema.get("properties").map(|_| self.object(schema, depth));
        let values = parts.iter().map(|part| self.value(part, depth + 1));
        let mut merged = Map::new();
        let mut other = Value::Null;
        for value in values.collect::<Vec<_>>().into_iter().chain(own) {
            match value {
                Value::Object(fields) => merged.extend(fields),
                scalar => other = scalar,
            }
        }
        if merged.is_empty() { other } else { Value::Object(merged) }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return json!({});
        };
        let required = schema.get("required").and_then(Value::as_array);
        let wanted = |name: &str| required.is_none_or(|names| names.iter().any(|own| own == name));
        let fields: Vec<_> = properties.iter().filter(|(name, _)| wanted(name)).collect();
        fields.into_iter().map(|(name, part)| (name.clone(), self.value(part, depth + 1))).collect()
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Value {
        let least = bound(schema, "minItems").unwrap_or(0).min(LONGEST);
        let most = bound(schema, "maxItems").unwrap_or(usize::MAX);
        let wanted = if depth + 3 > DEEPEST { least } else { least.max(2).min(most) };
        let places = schema.get("prefixItems").and_then(Value::as_array);
        let any = json!({"type": "string"});
        let item = schema.get("items").filter(|items| items.is_object()).unwrap_or(&any);
        let fixed = places.map_or(&[][..], Vec::as_slice);
        let length = wanted.max(fixed.len());
        (0..length).map(|place| self.value(fixed.get(place).unwrap_or(item), depth + 1)).collect()
    }

    fn string(&mut self, schema: &Value) -> String {
        let id = self.seed.id("");
        let sample = match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => return "2025-01-15T09:30:00Z".to_owned(),
            Some("date") => return "2025-01-15".to_owned(),
            Some("time") => return "09:30:00Z".to_owned(),
            Some("duration") => return "PT15M".to_owned(),
            Some("email") => return "simulated@example.com".to_owned(),
            Some("hostname") => return "example.com".to_owned(),
            Some("ipv4") => return "192.0.2.1".to_owned(),
            Some("ipv6") => return "2001:db8::1".to_owned(),
            Some("uri" | "url") => return "https://example.com/simulated".to_owned(),
            Some("uuid") => return uuid(&id),
            Some(_) | None => prose::sentence(&mut self.seed),
        };
        let least = bound(schema, "minLength").unwrap_or(0).min(LONGEST);
        let most = bound(schema, "maxLength").unwrap_or(usize::MAX);
        sample
            .chars()
            .chain(std::iter::repeat('x'))
            .take(sample.chars().count().max(least).min(most))
            .collect()
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let above = limit(schema, "exclusiveMinimum").map(|limit| limit.saturating_add(1));
        let below = limit(schema, "exclusiveMaximum").map(|limit| limit.saturating_sub(1));
        let least = limit(schema, "minimum").or(above);
        let most = limit(schema, "maximum").or(below);
        let drawn = i64::try_from(self.seed.below(100)).unwrap_or(0);
        let value = match (least, most) {
            (Some(least), Some(most)) if most >= least => {
                least.saturating_add(drawn % most.saturating_sub(least).saturating_add(1).max(1))
            }
            (Some(least), _) => least.saturating_add(drawn),
            (None, Some(most)) => most.saturating_sub(drawn),
            (None, None) => drawn,
        };
        let step = limit(schema, "multipleOf").filter(|step| *step > 0).unwrap_or(1);
        let down = value.saturating_sub(value.rem_euclid(step));
        let fits = least.is_none_or(|least| down >= least);
        json!(if fits { down } else { down.saturating_add(step) })
    }

    fn number(&mut self, schema: &Value) -> Value {
        let end = |name: &str| schema.get(name).and_then(Value::as_f64);
        let least = end("minimum").or(end("exclusiveMinimum"));
        let most = end("maximum").or(end("exclusiveMaximum"));
        let value = match (least, most) {
            (Some(least), Some(most)) => f64::midpoint(least, most),
            (Some(least), None) => least + 0.5,
            (None, Some(most)) => most - 0.5,
            (None, None) => f64::from(u8::try_from(self.seed.below(100)).unwrap_or(0)) + 0.5,
        };
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

/// The type a schema asks for, told by its keywords if it does not say.
fn kind(schema: &Value) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => Some(kind),
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").or(Some("null"))
        }
        _ if schema.get("properties").is_some() => Some("object"),
        _ if schema.get("items").is_some() => Some("array"),
        _ => None,
    }
}

fn bound(schema: &Value, name: &str) -> Option<usize> {
    schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok())
}

fn limit(schema: &Value, name: &str) -> Option<i64> {
    schema.get(name).and_then(Value::as_i64)
}

/// 32 hex digits as a version 4 UUID.
fn uuid(hex: &str) -> String {
    let part = |range| hex.get(range).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0..8), part(8..12), part(13..16), part(17..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(schema: &Value) -> Value {
        value(schema, &Seed::of([b"seed".as_slice()]))
    }

    #[test]
    fn scalars_keep_their_bounds() {
        let table = [
            (json!({"const": 7}), json!(7)),
            (json!({"enum": ["only"]}), json!("only")),
            (json!({"type": "integer", "minimum": 3, "maximum": 3}), json!(3)),
            (json!({"type": "integer", "minimum": 5, "maximum": 9, "multipleOf": 4}), json!(8)),
            (json!({"type": "number", "minimum": 1, "maximum": 2}), json!(1.5)),
            (json!({"type": "null"}), json!(null)),
            (json!({"type": "string", "format": "date"}), json!("2025-01-15")),
            (json!({"anyOf": [{"type": "null"}, {"const": 1}]}), json!(1)),
            (json!({"allOf": [{"properties": {"a": {"const": 1}}}]}), json!({"a": 1})),
        ];
        for (schema, expected) in table {
            assert_eq!(sampled(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn strings_keep_their_lengths() {
        let short = sampled(&json!({"type": "string", "maxLength": 3}));
        assert_eq!(short.as_str().map(str::len), Some(3));
        let long = sampled(&json!({"type": ["null", "string"], "minLength": 300}));
        assert_eq!(long.as_str().map(str::len), Some(300));
    }

    #[test]
    fn objects_have_what_is_required_and_follow_references() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"$ref": "#/$defs/city"},
                "days": {"type": "array", "items": {"type": "integer"}, "minItems": 3},
                "note": {"type": "string"},
            },
            "required": ["city", "days"],
            "$defs": {"city": {"type": "object", "properties": {"name": {"const": "Lyon"}}, "required": ["name"]}},
        });
        let made = sampled(&schema);
        assert_eq!(made["city"], json!({"name": "Lyon"}));
        assert_eq!(made["days"].as_array().map(Vec::len), Some(3));
        assert_eq!(made.get("note"), None);
    }

    #[test]
    fn a_schema_within_itself_ends() {
        let schema = json!({
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["next"],
        });
        assert!(sampled(&schema).is_object());
        assert_eq!(sampled(&json!({"$ref": "#"})), Value::Null);
        let branches: Map<String, Value> = (0..50).map(|n| (n.to_string(), json!({"$ref": "#"}))).collect();
        assert!(sampled(&json!({"properties": branches})).is_object());
    }
}

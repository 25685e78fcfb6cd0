//! Reads a request body field by field; a wrong one is refused by the name the caller gave it.
//! A field that is `null` counts as absent, as OpenAI has it.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

#[derive(Clone, Debug)]
pub(crate) struct Fields<'b> {
    map: &'b Map<String, Value>,
    /// The way from the body to this object, ending in a dot if there is one.
    path: String,
}

impl<'b> Fields<'b> {
    pub(crate) fn of_body(body: &'b Value) -> Result<Self, Refusal> {
        let map = body
            .as_object()
            .ok_or_else(|| Refusal::NotJson { why: "it has to be a JSON object".to_owned() })?;
        Ok(Self { map, path: String::new() })
    }

    /// The name of a field as error messages have it.
    pub(crate) fn param(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&'b Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'b str>, Refusal> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.typed(name, "a boolean", Value::as_bool)?.unwrap_or(false))
    }

    pub(crate) fn count(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let whole = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
        self.typed(name, "a non-negative integer", whole)
    }

    pub(crate) fn array(&self, name: &str) -> Result<Option<&'b [Value]>, Refusal> {
        self.typed(name, "an array", |value| value.as_array().map(Vec::as_slice))
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        let map = self.typed(name, "an object", Value::as_object)?;
        Ok(map.map(|map| Self { map, path: format!("{}{name}.", self.path) }))
    }

    /// The objects of an array; empty if there is no such field.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, Refusal> {
        let items = self.array(name)?.unwrap_or_default();
        let object = |(place, item): (usize, &'b Value)| {
            let path = format!("{}{name}[{place}]", self.path);
            match item.as_object() {
                Some(map) => Ok(Self { map, path: format!("{path}.") }),
                None => Err(Refusal::WrongType { param: path, wanted: "an object" }),
            }
        };
        items.iter().enumerate().map(object).collect()
    }

    pub(crate) fn missing(&self, name: &str) -> Refusal {
        Refusal::Missing { param: self.param(name) }
    }

    pub(crate) fn wrong(&self, name: &str, wanted: &'static str) -> Refusal {
        Refusal::WrongType { param: self.param(name), wanted }
    }

    pub(crate) fn bad(&self, name: &str, why: impl Into<String>) -> Refusal {
        Refusal::BadValue { param: self.param(name), why: why.into() }
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &'static str,
        read: impl FnOnce(&'b Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.wrong(name, wanted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_field_is_named_by_its_path() {
        let body = json!({"a": {"b": [{"c": 1}, 2]}, "n": null});
        let fields = Fields::of_body(&body).unwrap();
        let inner = fields.object("a").unwrap().unwrap();
        assert_eq!(
            inner.objects("b").unwrap_err(),
            Refusal::WrongType { param: "a.b[1]".to_owned(), wanted: "an object" }
        );
        assert_eq!(fields.count("n"), Ok(None));
        assert!(fields.flag("a").is_err());
    }
}

//! One object of the cluster.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

/// Labels, and selectors by equality.
pub(crate) type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq)]
pub struct Object(pub Value);

impl Object {
    pub fn kind(&self) -> &str {
        self.text("/kind").unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }

    /// Empty for what belongs to no namespace.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace").unwrap_or_default()
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind() == kind
    }

    /// Whether this is what `name` means to an object of `namespace`.
    pub(crate) fn is_named(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.is(kind) && self.namespace() == namespace && self.name() == name
    }

    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str()
    }

    pub(crate) fn number(&self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer)?.as_i64()
    }

    pub(crate) fn flag(&self, pointer: &str) -> Option<bool> {
        self.0.pointer(pointer)?.as_bool()
    }

    /// Nothing where there is no list.
    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        list(&self.0, pointer)
    }

    pub(crate) fn labels(&self, pointer: &str) -> Labels {
        labels(&self.0, pointer)
    }
}

/// As messages call it: `HorizontalPodAutoscaler ai-services/ai-gateway-hpa`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind(), self.namespace(), self.name())
    }
}

/// The list at `pointer`; nothing where there is none.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The table of texts at `pointer`; empty where there is none.
pub(crate) fn labels(value: &Value, pointer: &str) -> Labels {
    let table = value.pointer(pointer).and_then(Value::as_object);
    let pairs = table.into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The text at `pointer`.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

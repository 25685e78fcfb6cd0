//! An upstream's verdict on a request, rebuilt so that it says nothing of our house.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::secret::Secret;

/// What an upstream said of a request it would not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub status: StatusCode,
    pub message: String,
    pub kind: String,
    pub param: Option<String>,
    pub code: Option<String>,
    /// Azure's account of what its filter found: `innererror` and the like.
    pub details: Map<String, Value>,
}

impl Rejection {
    /// Masks `secret` wherever it is quoted.
    pub(super) fn mask(&mut self, secret: &Secret) {
        for text in
            [&mut self.message, &mut self.kind].into_iter().chain(&mut self.param).chain(&mut self.code)
        {
            *text = secret.scrub(text);
        }
        self.details.values_mut().for_each(|value| mask_all(value, secret));
    }

    /// Whether it is for want of an answer from an upstream, and not for the caller's request: 408, 425, 429, 5xx.
    pub(super) fn is_upstreams(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 425 | 429 | 500..=599)
    }
}

/// Masks `secret` in all texts of `value`.
fn mask_all(value: &mut Value, secret: &Secret) {
    match value {
        Value::String(text) => *text = secret.scrub(text),
        Value::Array(list) => list.iter_mut().for_each(|value| mask_all(value, secret)),
        Value::Object(fields) => fields.values_mut().for_each(|value| mask_all(value, secret)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

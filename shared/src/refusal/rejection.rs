//! An upstream's verdict on a request, rebuilt so that it says nothing of our house.

use http::StatusCode;
use serde_json::{Map, Value};

use super::cause::Cause;
use super::upstream_error::{UpstreamError, mask_account};
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

impl UpstreamError {
    /// What the caller is told: the error's own words, or ours where it has none, under `status`.
    pub(crate) fn rejection(&self, cause: Cause, status: StatusCode, secret: Option<&Secret>) -> Rejection {
        let shown = |text: &String| mask_account(&mask_account(text, "org-"), "proj_");
        let (kind, code) = (self.kind.clone(), self.code.clone());
        let (kind, code) = match cause {
            Cause::Caller | Cause::Momentary => {
                (kind.unwrap_or_else(|| "invalid_request_error".into()), code)
            }
            Cause::Quota => ("insufficient_quota".into(), Some("insufficient_quota".into())),
            Cause::RateLimit => {
                // A number says no more than the status.
                let code = code.filter(|code| code.parse::<u64>().is_err());
                (
                    kind.unwrap_or_else(|| "requests".into()),
                    code.or_else(|| Some("rate_limit_exceeded".into())),
                )
            }
            Cause::Credentials | Cause::Timeout | Cause::Server | Cause::NoAnswer => {
                ("server_error".into(), code.or_else(|| Some("upstream_error".into())))
            }
        };
        let own = || match cause {
            Cause::Quota => "The gateway's quota at the upstream is used up.".into(),
            Cause::Caller
            | Cause::Momentary
            | Cause::RateLimit
            | Cause::Credentials
            | Cause::Timeout
            | Cause::Server
            | Cause::NoAnswer => format!("The upstream refused the request with status {status}."),
        };
        let message = self.message.as_ref().map_or_else(own, shown);
        let (param, details) = (self.param.clone(), self.details.clone());
        let mut rejection = Rejection { status, message, kind, param, code, details };
        if let Some(secret) = secret {
            rejection.mask(secret);
        }
        rejection
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

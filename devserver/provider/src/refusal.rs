//! Every way to say no, and the one conversion of each to the wire.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    reply::{self, Reply},
    script::ScriptError,
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    NotJson {
        why: String,
    },
    BodyBroken,
    TooLarge {
        most: usize,
    },
    Missing {
        param: String,
    },
    WrongType {
        param: String,
        wanted: &'static str,
    },
    BadValue {
        param: String,
        why: String,
    },
    NoModel {
        why: String,
    },
    InvalidKey {
        key: String,
    },
    UnknownUrl {
        method: Method,
        path: String,
    },
    /// The answer broke off, as the model name asked.
    Midway,
    /// The model name asked for it.
    Scripted {
        status: StatusCode,
        model: String,
        retry_after: Option<Duration>,
    },
}

/// The parts of an OpenAI error object.
struct Wire {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
}

impl From<ScriptError> for Refusal {
    fn from(error: ScriptError) -> Self {
        Self::NoModel { why: error.to_string() }
    }
}

impl Refusal {
    pub(crate) fn reply(&self) -> Reply {
        let wire = self.wire();
        let mut reply = reply::json(wire.status, &json!({"error": wire.error()}));
        if let Self::Scripted { retry_after: Some(wait), .. } = self {
            announce(&mut reply, *wait);
        }
        reply
    }

    /// The object under `error`.
    pub(crate) fn error(&self) -> Value {
        self.wire().error()
    }

    fn wire(&self) -> Wire {
        match self {
            Self::NotJson { why } => {
                bad("invalid_json", None, format!("We could not parse the JSON body of your request: {why}."))
            }
            Self::BodyBroken => bad("invalid_json", None, "The request body ended too early.".to_owned()),
            Self::TooLarge { most } => Wire {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..bad("request_too_large", None, format!("The request body is larger than {most} bytes."))
            },
            Self::Missing { param } => bad(
                "missing_required_parameter",
                Some(param),
                format!("Missing required parameter: '{param}'."),
            ),
            Self::WrongType { param, wanted } => {
                bad("invalid_type", Some(param), format!("Invalid type for '{param}': expected {wanted}."))
            }
            Self::BadValue { param, why } => {
                bad("invalid_value", Some(param), format!("Invalid value for '{param}': {why}."))
            }
            Self::NoModel { why } => {
                Wire { status: StatusCode::NOT_FOUND, ..bad("model_not_found", Some("model"), why.clone()) }
            }
            Self::InvalidKey { key } => Wire {
                status: StatusCode::UNAUTHORIZED,
                ..bad("invalid_api_key", None, format!("Incorrect API key provided: {key}."))
            },
            Self::UnknownUrl { method, path } => Wire {
                status: StatusCode::NOT_FOUND,
                code: None,
                ..bad("", None, format!("Invalid URL ({method} {path})"))
            },
            Self::Midway => Wire {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                kind: "server_error",
                code: None,
                param: None,
                message: "The simulated answer broke off, as the model name asks.".to_owned(),
            },
            Self::Scripted { status, model, retry_after: _ } => scripted(*status, model),
        }
    }
}

impl Wire {
    fn error(&self) -> Value {
        json!({
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        })
    }
}

fn bad(code: &'static str, param: Option<&str>, message: String) -> Wire {
    Wire {
        status: StatusCode::BAD_REQUEST,
        kind: "invalid_request_error",
        code: Some(code),
        param: param.map(str::to_owned),
        message,
    }
}

fn scripted(status: StatusCode, model: &str) -> Wire {
    let (kind, code) = match status.as_u16() {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        403 => ("invalid_request_error", Some("permission_denied")),
        404 => ("invalid_request_error", Some("model_not_found")),
        408 => ("invalid_request_error", Some("request_timeout")),
        409 => ("invalid_request_error", Some("idempotency_conflict")),
        413 => ("invalid_request_error", Some("request_too_large")),
        422 => ("invalid_request_error", Some("content_filter")),
        429 => ("requests", Some("rate_limit_exceeded")),
        502 => ("server_error", Some("upstream_error")),
        503 => ("server_error", Some("overloaded")),
        504 => ("timeout_error", Some("request_timeout")),
        500..=599 => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    let reason = status.canonical_reason().unwrap_or("error");
    Wire {
        status,
        kind,
        code,
        param: None,
        message: format!("Simulated {} {reason}, as the model name `{model}` asks.", status.as_u16()),
    }
}

/// `retry-after` in whole seconds, rounded up, and `retry-after-ms`.
fn announce(reply: &mut Reply, wait: Duration) {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let headers = reply.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
    headers.insert("retry-after-ms", HeaderValue::from(millis));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_code() {
        let param = || "n".to_owned();
        let table = [
            (Refusal::NotJson { why: String::new() }, 400, Some("invalid_json"), None),
            (Refusal::BodyBroken, 400, Some("invalid_json"), None),
            (Refusal::TooLarge { most: 1 }, 413, Some("request_too_large"), None),
            (Refusal::Missing { param: param() }, 400, Some("missing_required_parameter"), Some("n")),
            (Refusal::WrongType { param: param(), wanted: "" }, 400, Some("invalid_type"), Some("n")),
            (Refusal::BadValue { param: param(), why: param() }, 400, Some("invalid_value"), Some("n")),
            (Refusal::NoModel { why: param() }, 404, Some("model_not_found"), Some("model")),
            (Refusal::InvalidKey { key: param() }, 401, Some("invalid_api_key"), None),
            (Refusal::UnknownUrl { method: Method::GET, path: param() }, 404, None, None),
        ];
        for (refusal, status, code, param) in table {
            assert_eq!(refusal.reply().status(), status, "{refusal:?}");
            let error = refusal.error();
            assert_eq!(error["code"].as_str(), code, "{refusal:?}");
            assert_eq!(error["param"].as_str(), param, "{refusal:?}");
            assert_eq!(error["type"], "invalid_request_error", "{refusal:?}");
        }
    }

    #[test]
    fn a_wait_is_announced_in_seconds_rounded_up_and_in_milliseconds() {
        let refusal = Refusal::Scripted {
            status: StatusCode::TOO_MANY_REQUESTS,
            model: "sim".to_owned(),
            retry_after: Some(Duration::from_millis(1200)),
        };
        let reply = refusal.reply();
        assert_eq!(reply.headers()["retry-after"], "2");
        assert_eq!(reply.headers()["retry-after-ms"], "1200");
        assert_eq!(refusal.error()["type"], "requests");
    }
}

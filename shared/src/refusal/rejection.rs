//! An upstream's verdict on the caller's own request, rebuilt so that it says nothing of our house.

use http::StatusCode;

use crate::secret::Secret;

/// What an upstream said of a request it would not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub status: StatusCode,
    pub message: String,
    pub kind: String,
    pub param: Option<String>,
    pub code: Option<String>,
}

impl Rejection {
    /// Rebuilds an upstream's error body: the four fields and nothing else, with the credential that was
    /// shown to this upstream masked should it be quoted.
    pub fn rebuild(status: StatusCode, body: &[u8], secret: Option<&Secret>) -> Self {
        let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let error = parsed.as_ref().and_then(|body| body.get("error"));
        let scrubbed = |text: &str| secret.map_or_else(|| text.to_owned(), |secret| secret.scrub(text));
        // An empty text says no more than none.
        let text = |key: &str| match error?.get(key)? {
            serde_json::Value::String(text) => Some(scrubbed(text)).filter(|text| !text.trim().is_empty()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let plain = || error?.as_str().map(scrubbed).filter(|text| !text.trim().is_empty());
        Self {
            status,
            message: text("message")
                .or_else(plain)
                .unwrap_or_else(|| format!("The upstream refused the request with status {status}.")),
            kind: text("type").unwrap_or_else(|| "invalid_request_error".into()),
            param: text("param"),
            code: text("code"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuilt_rejection_quotes_no_credential() {
        let body = br#"{"error":{"message":"no sk-canary here","type":"t","param":null,"code":7,"x":1}}"#;
        let rejection = Rejection::rebuild(StatusCode::BAD_REQUEST, body, Some(&Secret::new("sk-canary")));
        assert_eq!(rejection.message, "no *** here");
        assert_eq!(rejection.code.as_deref(), Some("7"));
    }

    #[test]
    fn a_rebuilt_rejection_that_says_nothing_is_given_words() {
        let nothing: [&[u8]; 4] = [
            b"<html>",
            br#"{"error":""}"#,
            br#"{"error":{"message":"","type":"","param":"","code":""}}"#,
            br#"{"error":{"message":" \n"}}"#,
        ];
        for body in nothing {
            let expected = Rejection {
                status: StatusCode::BAD_REQUEST,
                message: "The upstream refused the request with status 400 Bad Request.".into(),
                kind: "invalid_request_error".into(),
                param: None,
                code: None,
            };
            assert_eq!(Rejection::rebuild(StatusCode::BAD_REQUEST, body, None), expected);
        }
    }
}

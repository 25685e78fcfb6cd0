//! Whose doing an upstream's error is, and so whether asking again can help.
//!
//! One place tells it for a status, for an event of a stream and for an error that comes with status 200: what an
//! error means does not depend on the form it comes in. Where a status leaves it open, as 403 does, the body decides.

use http::StatusCode;

use super::upstream_error::UpstreamError;

/// What an upstream's error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The caller's request: the error comes back as it is.
    Caller,
    /// The moment: 408 and 425 ask for the same request once more.
    Momentary,
    /// The gateway's credential.
    Credentials,
    /// The gateway's account has nothing left.
    Quota,
    /// The gateway asks too often, at least for this model.
    RateLimit,
    /// The upstream waited for something in vain.
    Timeout,
    /// The upstream's own fault.
    Server,
    /// No error at all, and no answer either: a redirect, a status that does not exist.
    NoAnswer,
}

/// Codes and types that say that an account is spent. Words are not asked: Google's "exceeded your current quota" is
/// said of limits a minute.
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_user_quota",
    "billing_error",
    "billing_not_active",
    "billing_hard_limit_reached",
    "exceeded_current_quota_error",
    "enforced_spend_limit_reached",
    "payment_required",
];

/// Anthropic says of an empty account with 400 and words alone.
const QUOTA_WORDS: &str = "Your credit balance is too low";

/// Codes, types and reasons that say that a credential is wrong, whatever the status.
const CREDENTIALS: &[&str] = &[
    "invalid_api_key",
    "API_KEY_INVALID",
    "authentication_error",
    "invalid_authentication",
    "invalid_authentication_error",
    "UNAUTHENTICATED",
];

/// Parts of codes, types and words by which a 403 tells of moderation.
const MODERATION: &[&str] = &[
    "moderation",
    "content_policy",
    "content policy",
    "content_filter",
    "content filter",
    "flagged",
    "safety",
    "usage polic",
    "usage guideline",
];

/// Codes and types of errors in streams, and the status that the same error has by itself.
const NAMED: &[(&str, u16)] = &[
    ("context_length_exceeded", 400),
    ("string_above_max_length", 400),
    ("content_filter", 400),
    ("content_policy_violation", 400),
    ("moderation_blocked", 400),
    ("empty_image_file", 400),
    ("failed_to_download_image", 400),
    ("INVALID_ARGUMENT", 400),
    ("FAILED_PRECONDITION", 400),
    ("BadRequestError", 400),
    ("permission_denied", 403),
    ("permission_error", 403),
    ("PERMISSION_DENIED", 403),
    ("model_not_found", 404),
    ("not_found", 404),
    ("not_found_error", 404),
    ("NOT_FOUND", 404),
    ("request_too_large", 413),
    ("rate_limit_exceeded", 429),
    ("rate_limit_error", 429),
    ("rate_limit_reached", 429),
    ("too_many_requests", 429),
    ("RESOURCE_EXHAUSTED", 429),
    ("server_error", 500),
    ("api_error", 500),
    ("internal_error", 500),
    ("INTERNAL", 500),
    ("overloaded", 503),
    ("overloaded_error", 503),
    ("server_is_overloaded", 503),
    ("slow_down", 503),
    ("UNAVAILABLE", 503),
    ("timeout", 504),
    ("timeout_error", 504),
    ("request_timeout", 504),
    ("vector_store_timeout", 504),
    ("DEADLINE_EXCEEDED", 504),
];

/// Beginnings of codes by which the caller's request is at fault.
const CALLERS_PREFIXES: &[&str] = &["invalid_", "unsupported_", "missing_", "image_"];

impl Cause {
    /// What `error` under an HTTP status is.
    pub(crate) fn of_status(status: StatusCode, error: &UpstreamError) -> Self {
        if status.is_client_error() {
            if error.is_named(QUOTA) || error.says_quota() {
                return Self::Quota;
            }
            if error.is_named(CREDENTIALS) {
                return Self::Credentials;
            }
        }
        match status.as_u16() {
            402 => Self::Quota,
            403 if error.is_moderation() || error.param.is_some() => Self::Caller,
            401 | 403 => Self::Credentials,
            408 | 425 => Self::Momentary,
            429 => Self::RateLimit,
            400..=499 => Self::Caller,
            504 => Self::Timeout,
            500..=599 => Self::Server,
            // Redirects are not followed: whoever asks for one gives no answer.
            _ => Self::NoAnswer,
        }
    }

    /// What an error is that came under status 200, and the status that it would have had by itself.
    pub(crate) fn of_event(error: &UpstreamError) -> (Self, StatusCode) {
        let status = error.status();
        (Self::of_status(status, error), status)
    }
}

impl UpstreamError {
    /// The status that its code means, or its type where the code is not known.
    fn status(&self) -> StatusCode {
        let texts = || self.code.iter().chain(&self.kind).chain(&self.reasons);
        let numeric = texts().find_map(|text| text.parse().ok().filter(|code| (400..=599).contains(code)));
        let named = || texts().find_map(|text| status_of_name(text));
        let status = numeric.or_else(named).unwrap_or(500);
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether its code, its type or one of its reasons is among `names`.
    fn is_named(&self, names: &[&str]) -> bool {
        let mut texts = self.code.iter().chain(&self.kind).chain(&self.reasons);
        texts.any(|text| names.iter().any(|name| text.eq_ignore_ascii_case(name)))
    }

    fn says_quota(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.starts_with(QUOTA_WORDS))
    }

    fn is_moderation(&self) -> bool {
        let mut texts = self.code.iter().chain(&self.kind).chain(&self.message);
        self.is_flagged
            || texts.any(|text| {
                let text = text.to_ascii_lowercase();
                MODERATION.iter().any(|sign| text.contains(sign))
            })
    }
}

fn status_of_name(text: &str) -> Option<u16> {
    let exact = NAMED.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    exact.map(|(_, status)| *status).or_else(|| {
        if CREDENTIALS.iter().any(|name| text.eq_ignore_ascii_case(name)) {
            Some(401)
        } else if QUOTA.iter().any(|name| text.eq_ignore_ascii_case(name)) {
            Some(429)
        } else if MODERATION.iter().chain(CALLERS_PREFIXES).any(|sign| text.starts_with(sign)) {
            Some(400)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> UpstreamError {
        UpstreamError::read(Some("application/json"), body.as_bytes(), false)
    }

    #[test]
    fn a_status_says_whose_doing_an_error_is_and_the_body_where_it_does_not() {
        for (status, body, expected) in [
            (400, "", Cause::Caller),
            (404, "", Cause::Caller),
            (409, "", Cause::Caller),
            (413, "", Cause::Caller),
            (422, "", Cause::Caller),
            (451, "", Cause::Caller),
            (400, r#"{"error":{"code":"context_length_exceeded"}}"#, Cause::Caller),
            (400, r#"{"error":{"code":"content_filter"}}"#, Cause::Caller),
            (400, r#"[{"error":{"code":400,"details":[{"reason":"API_KEY_INVALID"}]}}]"#, Cause::Credentials),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
                Cause::Quota,
            ),
            (401, "", Cause::Credentials),
            (
                401,
                r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#,
                Cause::Credentials,
            ),
            (402, "", Cause::Quota),
            (402, r#"{"error":{"message":"Insufficient Balance","type":"unknown_error"}}"#, Cause::Quota),
            (403, "", Cause::Credentials),
            (403, "<html>Forbidden</html>", Cause::Credentials),
            (403, r#"{"message":"Forbidden"}"#, Cause::Credentials),
            (
                403,
                r#"{"error":{"status":"PERMISSION_DENIED","code":403,"message":"Permission denied"}}"#,
                Cause::Credentials,
            ),
            (
                403,
                r#"{"error":{"code":"unsupported_country_region_territory","message":"Country not supported"}}"#,
                Cause::Credentials,
            ),
            (
                403,
                r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["hate"],"flagged_input":"x"}}}"#,
                Cause::Caller,
            ),
            (403, r#"{"error":{"message":"Your input was flagged by moderation"}}"#, Cause::Caller),
            (403, r#"{"code":"denied","error":"Content violates usage guidelines."}"#, Cause::Caller),
            (403, r#"{"error":{"message":"m","code":"content_policy_violation"}}"#, Cause::Caller),
            (403, r#"{"error":{"message":"You may not use this voice","param":"voice"}}"#, Cause::Caller),
            (403, r#"{"error":{"message":"m","code":"insufficient_quota"}}"#, Cause::Quota),
            (408, "", Cause::Momentary),
            (425, "", Cause::Momentary),
            (429, "", Cause::RateLimit),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED"}}"#,
                Cause::RateLimit,
            ),
            (
                429,
                r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Cause::Quota,
            ),
            (429, r#"{"error":{"message":"m","type":"exceeded_current_quota_error"}}"#, Cause::Quota),
            (500, "", Cause::Server),
            (500, r#"{"error":{"code":"insufficient_quota"}}"#, Cause::Server),
            (503, "", Cause::Server),
            (504, "", Cause::Timeout),
            (529, "", Cause::Server),
            (302, "", Cause::NoAnswer),
            (600, "", Cause::NoAnswer),
            (999, "", Cause::NoAnswer),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Cause::of_status(status, &read(body)), expected, "{status} {body}");
        }
    }

    #[test]
    fn an_error_in_a_stream_has_the_status_that_its_code_means() {
        for (body, cause, status) in [
            (r#"{"error":{"code":"context_length_exceeded"}}"#, Cause::Caller, 400),
            (r#"{"error":{"code":"string_above_max_length"}}"#, Cause::Caller, 400),
            (r#"{"error":{"code":"invalid_prompt"}}"#, Cause::Caller, 400),
            (r#"{"error":{"code":"invalid_image_url"}}"#, Cause::Caller, 400),
            (r#"{"error":{"code":"image_content_policy_violation"}}"#, Cause::Caller, 400),
            (r#"{"error":{"code":"content_filter"}}"#, Cause::Caller, 400),
            (r#"{"error":{"code":"unsupported_value","type":"invalid_request_error"}}"#, Cause::Caller, 400),
            (r#"{"error":{"code":null,"type":"invalid_request_error","message":"m"}}"#, Cause::Caller, 400),
            (r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#, Cause::Caller, 400),
            (r#"{"error":{"code":422}}"#, Cause::Caller, 422),
            (r#"{"error":{"code":"413"}}"#, Cause::Caller, 413),
            (r#"{"error":{"code":409}}"#, Cause::Caller, 409),
            (r#"{"error":{"code":"model_not_found"}}"#, Cause::Caller, 404),
            (r#"{"error":{"code":403,"metadata":{"flagged_input":"x"}}}"#, Cause::Caller, 403),
            (r#"{"error":{"code":403}}"#, Cause::Credentials, 403),
            (r#"{"error":{"code":"invalid_api_key"}}"#, Cause::Credentials, 401),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}"#,
                Cause::RateLimit,
                429,
            ),
            (r#"{"type":"error","error":{"type":"rate_limit_error"}}"#, Cause::RateLimit, 429),
            (r#"{"error":{"code":429}}"#, Cause::RateLimit, 429),
            (r#"{"error":{"code":"insufficient_quota"}}"#, Cause::Quota, 429),
            (r#"{"error":{"code":402,"message":"m"}}"#, Cause::Quota, 402),
            (r#"{"type":"error","code":"server_error","message":"m"}"#, Cause::Server, 500),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Cause::Server, 503),
            (r#"{"error":{"code":"server_error","type":"invalid_request_error"}}"#, Cause::Server, 500),
            (r#"{"error":{"code":502,"type":"invalid_request_error"}}"#, Cause::Server, 502),
            (r#"{"error":{"code":"timeout"}}"#, Cause::Timeout, 504),
            (r#"{"error":{"message":"boom"}}"#, Cause::Server, 500),
            (r#"{"error":{"code":"odd","type":"x"}}"#, Cause::Server, 500),
            (r#"{"error":"boom"}"#, Cause::Server, 500),
            (r#"{"detail":"boom"}"#, Cause::Server, 500),
        ] {
            let (found, status_found) = Cause::of_event(&read(body));
            assert_eq!((found, status_found.as_u16()), (cause, status), "{body}");
        }
    }
}

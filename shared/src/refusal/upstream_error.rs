//! What an upstream says of an error, whatever the shape it says it in.
//!
//! OpenAI's `{"error":{…}}` is one shape of many: `FastAPI` says `{"detail":…}`, AWS `{"message":…}`, Google's
//! compatible door a list of errors, xAI a text beside a `code`, some providers plain text. Nothing of it is shown
//! as it came: [`UpstreamError::rejection`] rebuilds it, without the gateway's credential and account.

use std::time::Duration;

use serde_json::{Map, Value};

use super::cut_json;
use crate::time::parse_go_duration;

/// Bytes of an error that are read, and shown at most.
pub(crate) const LARGEST_ERROR: usize = 64 * 1024;

/// Stands where something is missing.
const CUT: &str = " … (cut off)";

/// Where an error's words may stand, the most telling first.
const WORDS: &[&str] =
    &["message", "Message", "detail", "msg", "error_description", "error_message", "text", "title", "reason"];

/// Azure's account of why its filter refused: clients read it.
const DETAILS: &[&str] = &["innererror", "content_filter_result", "content_filter_results"];

/// What an upstream says of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpstreamError {
    pub(super) message: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) param: Option<String>,
    pub(super) code: Option<String>,
    /// Google's words for it: a status and reasons.
    pub(super) reasons: Vec<String>,
    pub(super) details: Map<String, Value>,
    pub(crate) retry_after: Option<Duration>,
    /// It says what the moderation of an upstream found.
    pub(super) is_flagged: bool,
    /// A page for people, by something between here and the upstream.
    pub(super) is_page: bool,
    /// Its words stand in JSON, not in bare text.
    pub(super) is_structured: bool,
}

impl UpstreamError {
    /// Reads the body of an error. `is_cut`: it is only the beginning.
    pub(crate) fn read(media_type: Option<&str>, body: &[u8], is_cut: bool) -> Self {
        let text = if is_cut {
            // A character may have been cut in two.
            let valid = str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
            str::from_utf8(&body[..valid]).unwrap_or_default()
        } else {
            str::from_utf8(body).unwrap_or_default()
        };
        let text = text.trim_start_matches('\u{feff}').trim();
        let parsed = if is_cut { cut_json::parse(text) } else { serde_json::from_str(text).ok() };
        let mut error = match parsed {
            Some(value) => Self::of(&value),
            None => Self::of_text(media_type.unwrap_or_default(), text),
        };
        error.bound(is_cut);
        error
    }

    /// Reads the error in an event of a stream.
    pub(crate) fn of_event(data: &[u8]) -> Self {
        Self::read(Some("application/json"), data, false)
    }

    /// The error in what should have been an answer; `None` where it says of none.
    pub(crate) fn instead_of_answer(body: &[u8]) -> Option<Self> {
        let error = Self::read(Some("application/json"), body, false);
        (error.is_structured && error.message.is_some()).then_some(error)
    }

    fn of(value: &Value) -> Self {
        let mut error = Self { is_structured: true, ..Self::default() };
        match value {
            Value::Array(list) => return list.first().map(Self::of_item).unwrap_or_default(),
            Value::Object(outer) => error.fill(outer),
            Value::String(_) => error.message = words(value),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        error
    }

    /// Of a list, the first; lists in lists are none.
    fn of_item(item: &Value) -> Self {
        if item.is_array() { Self::default() } else { Self::of(item) }
    }

    fn fill(&mut self, outer: &Map<String, Value>) {
        let nested = outer.get("response").and_then(|response| response.get("error"));
        let listed = outer.get("errors").and_then(|errors| errors.get(0));
        let inner =
            [outer.get("error"), nested, listed].into_iter().flatten().find(|error| says_something(error));
        match inner {
            Some(Value::Object(inner)) => {
                self.fill_from(inner);
                self.fill_from(outer);
            }
            Some(inner) => {
                self.message = words(inner);
                self.fill_from(outer);
            }
            None => self.fill_from(outer),
        }
    }

    /// Takes what is not known yet.
    fn fill_from(&mut self, fields: &Map<String, Value>) {
        let text = |key: &str| match fields.get(key)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        if self.message.is_none() {
            self.message = WORDS.iter().find_map(|key| words(fields.get(*key)?));
        }
        // These name the event or the document, not the error.
        let names_error =
            |kind: &String| kind != "error" && kind != "about:blank" && !kind.starts_with("response.");
        self.kind =
            self.kind.take().or_else(|| text("type").filter(names_error)).or_else(|| text("error_type"));
        self.code = self.code.take().or_else(|| text("code"));
        self.param = self.param.take().or_else(|| text("param")).or_else(|| location(fields.get("detail")?));
        self.reasons.extend(fields.get("status").and_then(Value::as_str).map(str::to_owned));
        for detail in fields.get("details").and_then(Value::as_array).into_iter().flatten() {
            self.reasons.extend(detail.get("reason").and_then(Value::as_str).map(str::to_owned));
            self.retry_after = self.retry_after.or_else(|| wait(detail.get("retryDelay")?));
        }
        self.retry_after = self.retry_after.or_else(|| wait(fields.get("retry_after")?));
        // OpenRouter tells so which input a provider's moderation would not have.
        self.is_flagged |=
            fields.get("metadata").is_some_and(|metadata| metadata.get("flagged_input").is_some());
        for key in DETAILS {
            if let Some(value) = fields.get(*key).filter(|value| says_something(value)) {
                self.details.entry(*key).or_insert_with(|| value.clone());
            }
        }
    }

    /// Bare words, unless they are markup or the ruin of something else.
    fn of_text(media_type: &str, text: &str) -> Self {
        let is_page = text.starts_with('<') || media_type.ends_with("html");
        let is_prose = !is_page
            && !text.is_empty()
            && !text.starts_with(['{', '['])
            && !media_type.ends_with("xml")
            && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
        let message = is_prose.then(|| text.to_owned());
        Self { message, is_page, ..Self::default() }
    }

    fn bound(&mut self, is_cut: bool) {
        let Some(message) = &mut self.message else { return };
        if message.len() > LARGEST_ERROR {
            message.truncate(message.floor_char_boundary(LARGEST_ERROR));
            message.push_str(CUT);
        } else if is_cut {
            message.push_str(CUT);
        }
    }

    /// Whether it is a page for people, by something between here and the upstream.
    pub(crate) fn is_page(&self) -> bool {
        self.is_page
    }

    /// Whether it speaks of one model: by name ("gpt-4o" stands for "gpt-4o-2024-08-06" as well), or as its model.
    pub(crate) fn is_about_a_model(&self, model: &str) -> bool {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let family = match name.match_indices('-').nth(1) {
            Some((end, _)) => &name[..end],
            None => name.as_str(),
        };
        let said = [&self.message, &self.param, &self.code];
        let mut said = said.into_iter().flatten().map(|text| text.to_ascii_lowercase());
        said.any(|text| {
            ["model", "deployment"]
                .into_iter()
                .chain(Some(family).filter(|name| !name.is_empty()))
                .any(|word| text.contains(word))
        })
    }

    /// Whether it has words of its own, and stands in JSON: what else comes may be anybody's.
    pub(crate) fn has_words(&self) -> bool {
        self.is_structured && self.message.is_some()
    }
}

/// `{}`, `""`, `[]` and `null` say nothing.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// A value as words: a text, the words of an object, of a list each item's.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Object(fields) => {
            let told = WORDS.iter().chain(&["error"]).find_map(|key| words(fields.get(*key)?));
            match (told, location(value)) {
                (Some(told), Some(place)) => Some(format!("{place}: {told}")),
                (Some(told), None) => Some(told),
                (None, _) => (!fields.is_empty()).then(|| value.to_string()),
            }
        }
        Value::Array(list) => {
            let told: Vec<_> = list.iter().filter_map(words).collect();
            (!told.is_empty()).then(|| told.join("; "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The field that a fault of `FastAPI`'s is about, or the first of a list of faults: `["body","messages",0]` is
/// `messages.0`.
fn location(value: &Value) -> Option<String> {
    match value {
        Value::Array(faults) => faults.first().filter(|fault| fault.is_object()).and_then(location),
        Value::Object(fault) => {
            let steps = fault.get("loc")?.as_array()?.iter().filter_map(|step| match step {
                Value::String(name) => Some(name.clone()),
                Value::Number(index) => Some(index.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            });
            let path = steps.collect::<Vec<_>>().join(".");
            let path = path.strip_prefix("body.").unwrap_or(&path);
            (!path.is_empty()).then(|| path.to_owned())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// A wait in seconds, as a number or a text, or with its unit: `2`, `"2"`, `"34.4s"`.
fn wait(value: &Value) -> Option<Duration> {
    let seconds = |seconds| Duration::try_from_secs_f64(seconds).ok();
    match value {
        Value::Number(number) => seconds(number.as_f64()?),
        Value::String(text) => match text.trim().parse() {
            Ok(number) => seconds(number),
            Err(_) => parse_go_duration(text.trim()),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Masks the ids of an account, which is the gateway's: `prefix` and a dozen letters and digits or more.
pub(super) fn mask_account(text: &str, prefix: &str) -> String {
    const SHORTEST_ID: usize = 12;
    let mut pieces = text.split(prefix);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let id = piece.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(piece.len());
        out.push_str(prefix);
        out.push_str(if id >= SHORTEST_ID { "***" } else { &piece[..id] });
        out.push_str(&piece[id..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::refusal::{Cause, Rejection};
    use crate::secret::Secret;

    fn told(media_type: &str, body: &str) -> Rejection {
        let error = UpstreamError::read(Some(media_type), body.as_bytes(), false);
        error.rejection(Cause::Caller, StatusCode::BAD_REQUEST, Some(&Secret::new("sk-canary")))
    }

    #[test]
    fn a_rate_limit_is_a_models_where_it_speaks_of_one() {
        let about =
            |body: &str, model| UpstreamError::read(None, body.as_bytes(), false).is_about_a_model(model);
        for (body, model) in [
            (
                r#"{"error":{"message":"Rate limit reached for gpt-4o in organization org-1 on tokens per min"}}"#,
                "gpt-4o-2024-08-06",
            ),
            (r#"{"error":{"message":"Rate limit reached for model `llama3-70b`"}}"#, "other"),
            (r#"{"error":{"message":"slow down","param":"model"}}"#, "m"),
            (r#"{"error":{"message":"too many","code":"kimi-k2_limit"}}"#, "moonshotai/Kimi-K2"),
            ("Deployment busy", "m"),
        ] {
            assert!(about(body, model), "{body}");
        }
        for body in [
            "",
            r#"{"message":"Requests rate limit exceeded"}"#,
            r#"{"error":{"message":"Too many requests"}}"#,
            "null",
        ] {
            assert!(!about(body, "gpt-4o"), "{body}");
            assert!(!about(body, ""), "{body}");
        }
    }

    #[test]
    fn an_error_keeps_its_words_whatever_its_shape() {
        for (body, message, code, param) in [
            (r#"{"error":{"message":"m","code":"c","param":"p"}}"#, "m", Some("c"), Some("p")),
            (r#"{"error":{"message":"m","code":7}}"#, "m", Some("7"), None),
            (r#"{"error":"m"}"#, "m", None, None),
            (r#"{"error":"m","code":"c"}"#, "m", Some("c"), None),
            (r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#, "m", Some("400"), None),
            (r#"{"detail":"m"}"#, "m", None, None),
            (
                r#"{"detail":[{"loc":["body","messages",0],"msg":"m","type":"missing"},{"loc":["query","x"],"msg":"n"}]}"#,
                "messages.0: m; query.x: n",
                None,
                Some("messages.0"),
            ),
            (r#"{"detail":["m","n"]}"#, "m; n", None, None),
            (r#"{"message":"m","type":"error"}"#, "m", None, None),
            (r#"{"Message":"m"}"#, "m", None, None),
            (r#"{"error":{"message":{"text":"m"}}}"#, "m", None, None),
            (r#"{"error":{"message":{"odd":1}}}"#, r#"{"odd":1}"#, None, None),
            (r#"{"error":{"message":{"error":{"message":"m"}}}}"#, "m", None, None),
            (r#"{"errors":[{"message":"m","code":7003}],"success":false}"#, "m", Some("7003"), None),
            (
                r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
                "m",
                Some("400"),
                None,
            ),
            (r#"{"type":"about:blank","title":"t","detail":"m"}"#, "m", None, None),
            (r#"{"type":"error","code":"c","message":"m"}"#, "m", Some("c"), None),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"c","message":"m"}}}"#,
                "m",
                Some("c"),
                None,
            ),
            (r#"{"error":{},"message":"m"}"#, "m", None, None),
            (r#""m""#, "m", None, None),
            ("m\nn", "m\nn", None, None),
        ] {
            let rejection = told("text/plain", body);
            assert_eq!(
                (rejection.message.as_str(), rejection.code.as_deref(), rejection.param.as_deref()),
                (message, code, param),
                "{body}"
            );
        }
    }

    #[test]
    fn what_says_nothing_is_given_words_and_markup_is_not_shown() {
        for (media_type, body) in [
            ("text/html", "Bad gateway"),
            ("text/plain", "<html>nginx</html>"),
            ("application/xml", "<?xml?><Error/>"),
            ("application/json", r#"{"error":""}"#),
            ("application/json", r#"{"error":{"message":" \n","type":"","param":"","code":""}}"#),
            ("application/json", r#"{"error":{"mess"#),
            ("application/json", "[]"),
            ("application/json", "[[[]]]"),
            ("application/json", "7"),
            ("text/plain", "a\u{0}b"),
            ("text/plain", ""),
        ] {
            let expected = Rejection {
                status: StatusCode::BAD_REQUEST,
                message: "The upstream refused the request with status 400 Bad Request.".into(),
                kind: "invalid_request_error".into(),
                param: None,
                code: None,
                details: Map::new(),
            };
            assert_eq!(told(media_type, body), expected, "{media_type} {body}");
        }
    }

    #[test]
    fn neither_the_credential_nor_its_account_is_quoted() {
        let body = r#"{"error":{"message":"no sk-canary in organization org-Ab12Cd34Ef56Gh on tokens; org-chart",
            "param":"sk-canary","innererror":{"a":["sk-canary"]}}}"#;
        let rejection = told("application/json", body);
        assert_eq!(rejection.message, "no *** in organization org-*** on tokens; org-chart");
        assert_eq!(rejection.param.as_deref(), Some("***"));
        assert_eq!(Value::Object(rejection.details), json!({"innererror": {"a": ["***"]}}));
    }

    #[test]
    fn azures_reasons_are_kept() {
        let reasons = json!({"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": true}}});
        let body =
            json!({"error": {"message": "m", "code": "content_filter", "innererror": reasons, "x": 1}});
        let rejection = told("application/json", &body.to_string());
        assert_eq!(Value::Object(rejection.details), json!({"innererror": reasons}));
    }

    #[test]
    fn a_wait_in_a_body_is_read_in_all_its_forms() {
        for (body, expected) in [
            (r#"{"retry_after":3}"#, Some(3000)),
            (r#"{"retry_after":"3"}"#, Some(3000)),
            (r#"{"retry_after":" 1.5 "}"#, Some(1500)),
            (r#"{"error":{"retry_after":1.5}}"#, Some(1500)),
            (r#"{"error":{"retry_after":"2s"}}"#, Some(2000)),
            (r#"{"error":{"retry_after":null},"retry_after":2}"#, Some(2000)),
            (r#"[{"error":{"details":[{"@type":"x"},{"retryDelay":"34.4s"}]}}]"#, Some(34_400)),
            (r#"{"retry_after":"soon"}"#, None),
            (r#"{"retry_after":-1}"#, None),
            (r#"{"retry_after":"1e300"}"#, None),
            ("<html>", None),
        ] {
            let error = UpstreamError::read(None, body.as_bytes(), false);
            assert_eq!(error.retry_after, expected.map(Duration::from_millis), "{body}");
        }
    }

    #[test]
    fn of_an_error_beyond_the_bound_the_beginning_is_shown_and_marked() {
        let long = "long ".repeat(20_000);
        for body in [
            format!(r#"{{"error":{{"message":"{long}","code":"c"}}}}"#),
            format!(r#"{{"error":{{"code":"c","message":"{long}"}}}}"#),
            format!(r#"{{"detail":[{{"type":"missing","loc":["body","x"],"msg":"bad","input":"{long}"}}]}}"#),
            long.clone(),
        ] {
            let error = UpstreamError::read(Some("text/plain"), &body.as_bytes()[..LARGEST_ERROR], true);
            let message = error.message.unwrap();
            assert!(message.starts_with("long ") || message.starts_with("x: bad"), "{message:.80}");
            assert!(message.ends_with(CUT), "{:.80}", &message[message.len() - 80..]);
        }
    }
}

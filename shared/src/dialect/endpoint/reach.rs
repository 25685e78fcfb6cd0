//! What a call that passes through reaches of an upstream's account, which all tenants may share.
//!
//! By the paths that `OpenAI` documents; of a path that an operator has opened only the method and the last word are
//! known. What is not known to be harmless counts as what it could be at worst.

use http::Method;

use super::PathPattern;

/// What of the account a call reaches; what is behind another one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Nothing that stays: it is asked, and answers.
    Work,
    /// It makes an object.
    Creation,
    /// One object, which it names.
    Object,
    /// An object's end: it is deleted, or what it does is stopped.
    Ending,
    /// What everybody has made.
    Listing,
    /// The account itself: keys, people, credentials for clients, prices.
    Administration,
}

/// What a path says of the account, and where in it an object is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub reach: Reach,
    /// Which of the segments behind `/v1` names the object.
    pub id: Option<usize>,
}

/// First segments beneath which there is nothing but administration.
const ADMINISTRATION: &[&str] = &["organization", "projects", "vaults", "webhook_endpoints"];

/// Segments that mean it anywhere: credentials, and who may do what.
const CREDENTIALS: &[&str] = &["admin_api_keys", "api_keys", "certificates", "client_secrets", "permissions"];

/// Segments that stand where others name an object.
const NO_ID: &[(&str, &str)] = &[("threads", "runs"), ("videos", "edits"), ("videos", "extensions")];

/// Last segments of a POST that stops something, or hides it.
const STOPS: &[&str] =
    &["archive", "cancel", "deactivate", "delete", "hangup", "pause", "refer", "reject", "stop", "terminate"];

/// What `method` on `suffix` reaches; `opened` is the operator's pattern for it, and `None` of a path that is documented.
/// What stands where the pattern has its first `*` names an object.
pub(super) fn reached(method: &Method, suffix: &[&str], opened: Option<&PathPattern>) -> Reached {
    if is_administration(suffix) {
        return Reached { reach: Reach::Administration, id: None };
    }
    let is_read = method == Method::GET || method == Method::HEAD;
    let is_stop = suffix.last().is_some_and(|last| is_among(STOPS, last));
    if let Some(pattern) = opened {
        let id = pattern.wildcard();
        let reach = match id {
            _ if method == Method::DELETE || (!is_read && is_stop) => Reach::Ending,
            Some(_) => Reach::Object,
            None if is_read => Reach::Work,
            None => Reach::Creation,
        };
        return Reached { reach, id };
    }
    if is_work(method, suffix) {
        return Reached { reach: Reach::Work, id: None };
    }
    let collection = collection_length(suffix);
    let id = Some(collection).filter(|at| *at < suffix.len());
    let id = id.filter(|at| !NO_ID.contains(&(suffix[0], suffix[*at])));
    let reach = match id {
        // `evals/ID/runs/ID` is stopped by a POST to it.
        _ if method == Method::DELETE => Reach::Ending,
        Some(at) if !is_read && is_stop && suffix.len() > at + 1 => Reach::Ending,
        Some(_) if method == Method::POST && matches!(suffix, ["evals", _, "runs", _]) => Reach::Ending,
        // A run may be over all completions that are stored in the account.
        Some(_) if method == Method::POST && matches!(suffix, ["evals", _, "runs"]) => Reach::Listing,
        Some(_) => Reach::Object,
        None if is_read => Reach::Listing,
        None => Reach::Creation,
    };
    Reached { reach, id }
}

fn is_administration(suffix: &[&str]) -> bool {
    suffix.first().is_some_and(|first| is_among(ADMINISTRATION, first))
        || suffix.iter().any(|segment| is_among(CREDENTIALS, segment))
        || matches!(
            suffix,
            ["realtime", "sessions" | "transcription_sessions", ..] | ["chatkit" | "live", "sessions", ..]
        )
}

/// To a reader that ignores case as well.
fn is_among(words: &[&str], segment: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(segment.trim()))
}

/// What answers and keeps nothing.
fn is_work(method: &Method, suffix: &[&str]) -> bool {
    let is_read = method == Method::GET || method == Method::HEAD;
    match suffix {
        ["realtime" | "live"] => true,
        ["webhook_event_types", ..] => is_read,
        ["audio", "speech" | "transcriptions" | "translations"]
        | ["images", "generations" | "edits" | "variations"]
        | ["moderations" | "decisions" | "content_provenance_checks"]
        | ["responses", "compact" | "input_tokens"]
        | ["fine_tuning", "alpha", "graders", _] => method == Method::POST,
        _ => false,
    }
}

/// How many segments name a kind of objects; the next one names one of them.
fn collection_length(suffix: &[&str]) -> usize {
    match suffix {
        ["audio" | "chat" | "chatkit" | "fine_tuning" | "images" | "live" | "realtime" | "safety", ..]
        | ["videos", "characters", ..] => 2,
        _ => 1,
    }
}

/// Whether what a POST made there, which names no object, or makes one out of another, has an owner from now on.
pub(super) fn makes_object(reached: Reached, suffix: &[&str]) -> bool {
    match reached.reach {
        Reach::Creation => true,
        // A video is made of another one, a part within an upload.
        Reach::Object => matches!(suffix, ["videos", _, "remix"] | ["uploads", _, "parts"]),
        Reach::Work | Reach::Ending | Reach::Listing | Reach::Administration => false,
    }
}

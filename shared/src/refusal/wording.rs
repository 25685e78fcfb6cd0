//! What a refusal says: what the caller sent or did, never an upstream's address, a credential or a prompt.

use std::fmt::Write as _;

use super::Refusal;
use crate::limits::account::{Denied, Measure};
use crate::limits::admission::Full;
use crate::limits::rate::Denial;
use crate::time::go_duration;

impl Refusal {
    #[expect(clippy::too_many_lines, reason = "one sentence for each refusal")]
    pub fn message(&self) -> String {
        match self {
            Self::InvalidJson { problem } => {
                format!("We could not parse the JSON body of your request: {problem}.")
            }
            Self::InvalidParameter { param, problem } => format!("Invalid value for '{param}': {problem}."),
            Self::TooDeep { limit } => {
                format!("The JSON body of your request is nested deeper than {limit} levels.")
            }
            Self::TooLarge { limit } => {
                format!("The body of your request is too large: at most {limit} bytes are taken, decoded.")
            }
            Self::UnsupportedMedia { problem } => format!("{problem}."),
            Self::Ambiguous { problem } => format!("Your request is ambiguous: {problem}."),
            Self::TooSlow => "Your request was not sent completely in time.".into(),
            Self::NoKey => {
                "You didn't provide an API key. You need to provide your API key in an Authorization \
                            header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
                    .into()
            }
            Self::WrongKey { shown } => format!("Incorrect API key provided: {shown}."),
            Self::KeyInQuery { param } => format!(
                "An API key must not be sent in the query ('{param}'): use the Authorization header. Treat \
                 the key as exposed and replace it."
            ),
            Self::ForeignHost { host } => format!(
                "This gateway asks for no key, so it answers to names of its own machine only, not to {host}."
            ),
            Self::ModelNotFound { model } => {
                format!("The model `{model}` does not exist or you do not have access to it.")
            }
            Self::NoPassthrough { method, path } => format!(
                "Not allowed to {method} {path} here: the configuration's `passthrough` does not open it."
            ),
            Self::NoSuchObject { id: Some(id) } => format!("No such object: {id}."),
            Self::NoSuchObject { id: None } => "No such object: one of those that your request names.".into(),
            Self::OwnersUnknown => {
                "Whose the objects are that your request names cannot be found out at the moment; try again shortly.".into()
            }
            Self::NotGranted { path } => format!("Your key may not use {path}."),
            Self::SharedAccount { method, path } => format!(
                "Not allowed to {method} {path} here: it reaches what others have made in an account that tenants share."
            ),
            Self::NamesNoModel { path } => {
                format!("Your key may not use {path} without naming a model.")
            }
            Self::ForeignOrigin { origin } => format!(
                "This gateway asks for no key, so pages of {origin} may not call it; `server.cors` names those that may."
            ),
            Self::ForOperators => {
                "This is for the gateway's operators: show the admin's key, ask at `admin.listen`, or let the \
                 document make it `public`."
                    .into()
            }
            Self::NoWebSocket => {
                "Websockets are relayed by the native server alone; this gateway runs where connections cannot be handed on.".into()
            }
            Self::BrokenWebSocket { problem } => format!("This opens no websocket: {problem}."),
            Self::WebSocketVersion => "This opens no websocket: version 13 is the one that is spoken here.".into(),
            Self::UnknownPath { method, path } => format!("Invalid URL ({method} {path})"),
            Self::WrongMethod { method, path, allow } => {
                format!("Not allowed to {method} on {path}; allowed: {allow}.")
            }
            Self::NoBreaker { name, known } => {
                format!("No breaker of this configuration is named `{name}`; there are {known}.")
            }
            Self::TooManyOverrides { most } => {
                format!("{most} breakers are overridden, and no more can be: release one first.")
            }
            Self::Rejected(told) | Self::RateLimited { told: Some(told), .. } => told.message.clone(),
            Self::Unconfigured => {
                "The gateway has no usable configuration; what is wrong with it stands in its log.".into()
            }
            Self::Internal => "The gateway had an error while processing your request.".into(),
            Self::Limited { model, denied } => limited(model, denied),
            Self::RateLimited { model, retry_after, told: None, .. } => {
                let mut text = format!("Rate limit reached for {model} at the upstream.");
                if let Some(wait) = retry_after {
                    let _ = write!(text, " Please try again in {}.", go_duration(*wait));
                }
                text
            }
            Self::UpstreamFailed { problem } => format!("The upstream gave no usable answer: {problem}."),
            Self::AnswerTooLarge { what } => {
                format!("The upstream's answer is larger than this gateway takes: {what}.")
            }
            Self::NoUpstream { .. } => "No upstream for this model is available at the moment.".into(),
            Self::Overloaded { .. } => "Too many requests at the same time; this one was not begun.".into(),
            Self::ConnectionsBusy => {
                "All connections to the upstream are busy, and none had room in time; try again shortly.".into()
            }
            Self::Exhausted { of } => {
                format!("The gateway itself is out of {of} at the moment; try again shortly.")
            }
            Self::BuffersFull { full: Full::Share } => "The request bodies that are under way for you hold as much \
                memory as they may; this one was not read to its end."
                .into(),
            Self::BuffersFull { full: Full::Process } => "The request bodies that are under way hold as much memory \
                as they may; this one was not read to its end."
                .into(),
            Self::GoingAway => "This gateway is shutting down; the answer ends here. Try again.".into(),
            Self::StoreLost => {
                "Limits cannot be checked at the moment, so nothing is let through; try again shortly.".into()
            }
            Self::NotCached => "There is no kept answer to this request, and it asked for no other.".into(),
            Self::IdempotencyConflict => {
                "This Idempotency-Key was used with another request; use a new key for a new request.".into()
            }
            Self::StillRunning => {
                "The first request with this Idempotency-Key has not been answered yet.".into()
            }
            Self::DeadlinePassed { waited } => {
                format!("Request timed out: no answer within {}.", go_duration(*waited))
            }
            Self::Stalled { waited } => {
                format!("The upstream fell silent for {} in the middle of its answer.", go_duration(*waited))
            }
        }
    }
}

/// As the clients' own providers put it, so that whatever reads the text finds its numbers.
fn limited(model: &str, denied: &Denied) -> String {
    let (what, unit, limit) = match denied.measure {
        Measure::Requests(rate) => ("requests", "R", (rate.count, Some(rate.per))),
        Measure::Tokens(rate) => ("tokens", "T", (rate.count, Some(rate.per))),
        Measure::Concurrent(most) => ("concurrent requests", "", (most, None)),
    };
    let (limit, per) = limit;
    let span = per.map(|per| match per.as_secs() {
        1 => ("sec", "S"),
        60 => ("min", "M"),
        3600 => ("hour", "H"),
        _ => ("day", "D"),
    });
    let measure = match span {
        Some((name, letter)) => format!("{what} per {name} ({unit}P{letter})"),
        None => what.to_owned(),
    };
    let Denied { used, requested, .. } = denied;
    match denied.denial {
        Denial::NotYet { wait } => format!(
            "Rate limit reached for {model} on {measure}: Limit {limit}, Used {used}, Requested {requested}. \
             Please try again in {}.",
            go_duration(wait)
        ),
        Denial::Never => format!(
            "Request too large for {model} on {measure}: Limit {limit}, Requested {requested}. It can never \
             fit: ask for fewer tokens."
        ),
    }
}

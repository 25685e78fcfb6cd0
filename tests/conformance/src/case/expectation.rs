//! What must come of a step, as a case writes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Span;
use crate::matching::Count;

/// Whatever is left out is not looked at. Texts may hold wildcards.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expectation {
    /// 0: closed without a word.
    pub(crate) status: Option<u16>,
    /// One of these, where the transport in front decides.
    pub(crate) status_in: Option<Vec<u16>>,
    /// How many of several requests got which status.
    pub(crate) statuses: Option<BTreeMap<String, Count>>,
    pub(crate) headers: BTreeMap<String, String>,
    /// Headers that must not be there.
    pub(crate) no_headers: Vec<String>,
    /// The whole body.
    pub(crate) body: Option<String>,
    pub(crate) json: Option<Json>,
    /// Keys that are not named do not matter.
    pub(crate) json_part: Option<Json>,
    pub(crate) contains: Vec<String>,
    /// Texts that must stand neither in the body nor in a header.
    pub(crate) lacks: Vec<String>,
    /// The whole body is an error with these fields.
    pub(crate) error: Option<WireError>,
    /// The whole body is these events: what stands between blank lines, without a leading `data: `.
    pub(crate) events: Option<Vec<String>>,
    pub(crate) ended: Ending,
    pub(crate) at_least: Option<Span>,
    pub(crate) at_most: Option<Span>,
    /// Of the header `x-weir-explain`, in part.
    pub(crate) explain: Option<Json>,
    /// Requests that upstreams saw meanwhile.
    pub(crate) calls: BTreeMap<String, Count>,
    /// The same one by one, in their order.
    pub(crate) sent: BTreeMap<String, Vec<Sent>>,
    /// One request was admitted, and this is its account.
    pub(crate) ledger: Option<Ledger>,
    /// No request was admitted, and one was refused so.
    pub(crate) refused: Option<Refused>,
    /// Differences of counters: `name` or `name{label="value"}`.
    pub(crate) metrics: BTreeMap<String, Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    #[default]
    Clean,
    Aborted,
    Left,
}

/// All four fields; those that are left out are null.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireError {
    pub(crate) message: String,
    pub(crate) r#type: String,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<String>,
}

/// A request as an upstream saw it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sent {
    pub(crate) method: Option<String>,
    /// Path and query.
    pub(crate) target: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) no_headers: Vec<String>,
    pub(crate) body: Option<String>,
    /// Texts that must stand nowhere in it.
    pub(crate) lacks: Vec<String>,
}

/// Read from the differences of `/metrics`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ledger {
    pub(crate) status: Option<u16>,
    pub(crate) route: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) ending: Option<String>,
    /// `reported`, `counted` or `nothing`.
    pub(crate) usage: Option<String>,
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// `none` where the error has no code.
    pub(crate) code: String,
}

/// JSON as text: TOML has no null.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Json(pub(crate) String);

impl TryFrom<String> for Json {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // Words may stand for whole values and are spelled out later; with none in it, it must be JSON now.
        let spelled = crate::words::Words::default().spell(&text);
        match serde_json::from_str::<Value>(&spelled) {
            Err(e) if !text.contains("{upstream") => Err(format!("{e}: {text}")),
            _ => Ok(Self(text)),
        }
    }
}

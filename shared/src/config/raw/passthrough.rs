//! What is passed on without being understood, in three forms.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess};

use crate::limits::OnStoreLoss;

use super::spelled::{Spelled, spelled};

/// The upstream whose documented paths are opened, a table that lists what is, or several.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Passthrough {
    /// An upstream's name: the paths that `OpenAI` documents are opened there.
    Upstream(String),
    /// An upstream, and what is opened there.
    Table(PassthroughTable),
    /// Several of them; the first that lists a path takes it.
    List(Vec<PassthroughTable>),
}

/// An upstream, and what is opened there.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PassthroughTable {
    /// The upstream that gets these calls. What names a model and makes nothing that stays, such as
    /// `POST /v1/audio/speech`, goes by the model's route.
    #[schemars(required)]
    pub(in crate::config) upstream: Option<String>,
    /// The paths that are opened: `/v1/files`, `/v1/jobs/*` (one segment), `/v1/jobs/**` (all beneath); the `/v1/` may be
    /// left out. Default: all that `OpenAI` documents.
    pub(in crate::config) paths: Option<Vec<String>>,
    /// The methods that are opened there; `HEAD` comes with `GET`. Default: all.
    pub(in crate::config) methods: Option<Vec<PassthroughMethod>>,
    /// Models that a call may reach which names none, such as an upstream's default: only callers that may use them
    /// all send such calls, `["*"]` for those that may use every model. Default: nobody is asked for any, but for
    /// understood calls, which want `["*"]`.
    pub(in crate::config) models: Option<Vec<String>>,
    /// Whether it is remembered which tenant has made which object through the gateway: files, batches, responses, threads
    /// …; others are told that there is none, and so is everybody of what was made elsewhere. Up to 10,000 objects of each
    /// tenant, each for 30 days since it was named last. Default `false`.
    pub(in crate::config) owners: Option<bool>,
    /// With `owners = true`, what happens to calls that name an object while the store cannot be reached: `closed` refuses
    /// them, `open` lets them through. Default `closed`.
    pub(in crate::config) on_store_loss: Option<OnStoreLoss>,
}

/// A method that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::config) enum PassthroughMethod {
    /// Reads, and `HEAD`.
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl<'de> Spelled<'de> for Passthrough {
    const EXPECTED: &'static str =
        "an upstream's name, { upstream = \"NAME\", paths = [\"/v1/rerank\"] }, or a list of such tables";

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Ok(Self::Upstream(text.to_owned()))
    }

    fn from_table<A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        PassthroughTable::deserialize(MapAccessDeserializer::new(table)).map(Self::Table)
    }

    fn from_list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Self::List)
    }
}

spelled!(Passthrough);

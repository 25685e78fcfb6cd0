//! One request for an answer, as every endpoint sees it.

use crate::{
    fields::Fields,
    refusal::Refusal,
    script::{Reporting, Script},
    seed::Seed,
    usage::Usage,
};

const MOST_CHOICES: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Call<'b> {
    /// As the caller wrote it; answers repeat it.
    pub(crate) model: &'b str,
    pub(crate) script: &'b Script,
    pub(crate) fields: Fields<'b>,
    /// Made from the model and the whole body: the same request has the same ids.
    pub(crate) identity: Seed,
    /// Unix seconds.
    pub(crate) created: u64,
}

impl Call<'_> {
    /// How many answers a chat or text completion shall have.
    pub(crate) fn choices(&self) -> Result<usize, Refusal> {
        match self.fields.count("n")? {
            None => Ok(1),
            Some(count) if (1..=MOST_CHOICES).contains(&count) => Ok(count),
            Some(_) => Err(self.fields.bad("n", format!("it has to be from 1 to {MOST_CHOICES}"))),
        }
    }

    /// Whether a stream of a chat or text completion shall report its usage.
    pub(crate) fn includes_usage(&self) -> Result<bool, Refusal> {
        match self.fields.object("stream_options")? {
            Some(options) => options.flag("include_usage"),
            None => Ok(false),
        }
    }

    /// The usage, unless the script withholds it.
    pub(crate) fn reported(&self, usage: Usage) -> Option<Usage> {
        match self.script.usage {
            Reporting::Sent => Some(usage),
            Reporting::Withheld => None,
        }
    }
}

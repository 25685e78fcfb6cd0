//! A whole answer: whether it is one, and what it says of itself.

use super::chunk::MaybeChoices;
use super::progress::Progress;
use super::{Observer, read_usage};
use crate::dialect::endpoint::Operation;
use crate::wire::json;

impl Observer {
    /// Reads a whole JSON answer: its usage and the model. `false` when it is no answer of this operation
    /// (an error body with status 200, HTML, something else).
    pub(crate) fn see_whole(&mut self, body: &[u8]) -> bool {
        let key = match self.operation {
            Operation::Chat | Operation::Completions => "choices",
            Operation::Embeddings => "data",
            Operation::Responses => "output",
        };
        // As with events, one that is not quite text is still an answer.
        let text = json::text(body);
        let picked = json::pick(&text, [key, "model", "usage", "status", "error"]).ok();
        let Some([Some(answer), model, usage, status, error]) = picked else { return false };
        // A response may be told of before it is there, and of one that failed its own fields say so.
        let status = status.and_then(json::Value::read::<String>);
        let says_why = self.operation == Operation::Responses && status.as_deref() == Some("failed");
        if !says_why && error.is_some_and(|error| json::says_something(error.text())) {
            return false;
        }
        self.model = model.and_then(json::Value::read);
        match usage.and_then(read_usage) {
            Some(usage) => self.meter.report(usage),
            None => self.meter.count(answer.text().len()),
        }
        let is_answer = answer.text().starts_with('[');
        // As in a stream, an answer that was bounded has come to its end.
        let has_ended = |status: String| status == "completed" || status == "incomplete";
        self.is_whole = is_answer && status.is_none_or(has_ended);
        is_answer
    }

    /// The events that were seen were put together to a whole answer.
    pub(crate) fn note_gathered(&mut self) {
        self.is_whole = true;
    }

    /// Whether what [`Self::see_whole`] read may be given again: it is complete, and so is every choice in it.
    pub(crate) fn is_complete(&self, body: &[u8]) -> bool {
        self.is_whole
            && match self.operation {
                Operation::Chat | Operation::Completions => are_all_finished(body),
                Operation::Embeddings | Operation::Responses => true,
            }
    }
}

fn are_all_finished(body: &[u8]) -> bool {
    let choices = str::from_utf8(body).ok().and_then(|text| json::pick(text, ["choices"]).ok());
    let Some([Some(choices)]) = choices else { return false };
    let Ok(MaybeChoices(Some(choices))) = serde_json::from_str(choices.text()) else { return false };
    let mut progress = Progress::default();
    choices.iter().all(|(index, is_finished)| progress.note(index, is_finished).is_ok()) && progress.is_over()
}

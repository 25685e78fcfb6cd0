//! An answer as it is kept: one word that says what it is, and its bytes.

use bytes::Bytes;

use crate::cache::{Entry, Form};
use crate::endpoint::Operation;

/// `1`, operation, form, content type and model, a line each; the model may have lines of its own.
pub(super) fn meta(entry: &Entry) -> String {
    let form = match entry.form {
        Form::Whole => "whole",
        Form::Events => "events",
    };
    format!("1\n{}\n{form}\n{}\n{}", entry.operation.name(), entry.content_type, entry.model)
}

/// `None`: another version wrote it, or nobody should have.
pub(super) fn entry(meta: &[u8], body: Bytes) -> Option<Entry> {
    let mut lines = std::str::from_utf8(meta).ok()?.splitn(5, '\n');
    let mut line = || lines.next();
    if line()? != "1" {
        return None;
    }
    let operation = line()?;
    let known = [Operation::Chat, Operation::Completions, Operation::Embeddings, Operation::Responses];
    let operation = known.into_iter().find(|known| known.name() == operation)?;
    let form = match line()? {
        "whole" => Form::Whole,
        "events" => Form::Events,
        _ => return None,
    };
    let (content_type, model) = (line()?.to_owned(), line()?.to_owned());
    Some(Entry { operation, form, content_type, model, body })
}

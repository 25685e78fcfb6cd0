//! An answer as it is kept, in one string: blanks for what only the script knows (see answers.lua), the length
//! of what says what it is, that, and its bytes.

use bytes::Bytes;

use crate::cache::Entry;
use crate::dialect::endpoint::{Form, Operation};

/// Its name, 64 digits; three times, in eight bytes each.
const HEAD: usize = 64 + 3 * 8;

pub(super) fn write(entry: &Entry, to: &mut Vec<u8>) {
    let meta = meta(entry);
    // Nothing that says what it is is nearly as long, and what is cut short is not read.
    let length = u32::try_from(meta.len()).unwrap_or(u32::MAX);
    to.reserve_exact(HEAD + 4 + meta.len() + entry.body.len());
    to.resize(to.len() + HEAD, b' ');
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(meta.as_bytes());
    to.extend_from_slice(&entry.body);
}

/// `None`: another version wrote it, or nobody should have.
pub(super) fn read(kept: &Bytes) -> Option<Entry> {
    let (length, rest) = kept.get(HEAD..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (meta, body) = rest.split_at_checked(length)?;
    described(meta, kept.slice_ref(body))
}

/// `1`, operation, form, content type and model, a line each; the model may have lines of its own.
fn meta(entry: &Entry) -> String {
    let form = match entry.form {
        Form::Whole => "whole",
        Form::Events => "events",
    };
    format!("1\n{}\n{form}\n{}\n{}", entry.operation.name(), entry.content_type, entry.model)
}

fn described(meta: &[u8], body: Bytes) -> Option<Entry> {
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

//! One stored answer, given again in the other form: a whole answer as events, events as a whole answer.
//!
//! The cache keeps an answer as the upstream sent it, and a caller who asks in the same form gets those bytes. The
//! other form is made here, and is what the clients' SDKs would have read from the upstream itself. Values go over
//! as they are spelled, unknown ones too; nothing becomes a number or a tree on the way. Where this module is not
//! sure what an answer amounts to it makes none, and the call goes by the cache.

mod chat;
mod chunks;
mod completions;
mod object;
mod responses;
mod telling;

use std::borrow::Cow;

use bytes::Bytes;

use self::chat::Chat;
use self::completions::Completions;
use crate::dialect::endpoint::Operation;
use crate::dialect::openai::events::{Meaning, Observer, is_keep_alive};
use crate::dialect::openai::excerpt::Excerpt;
use crate::wire::json;
use crate::wire::sse::{self, Frame, Splitter};

/// The deepest nesting that is read.
const DEEPEST: u32 = 128;

/// Whether the client has asked for a last chunk with the usage (`stream_options.include_usage`). The Responses API
/// knows no such wish: its last event always says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageChunk {
    Wanted,
    Unwanted,
}

/// A whole answer as the events that a stream of it would have had, the terminator included. `None` when it cannot
/// be told so: there are no such streams, it is no complete answer of the operation, it holds what is not
/// understood (audio), or its events would be more than 16 times as long as it is, and 64 KiB.
pub fn to_events(operation: Operation, whole: &[u8], usage: UsageChunk) -> Option<Bytes> {
    let text = str::from_utf8(whole).ok().filter(|text| json::depth(text) <= DEEPEST)?;
    object::fields(text)?;
    // An event's data stands on one line.
    let text = json::compact(text);
    let told = match operation {
        Operation::Chat => chunks::to_events::<Chat>(&text, usage),
        Operation::Completions => chunks::to_events::<Completions>(&text, usage),
        Operation::Responses => responses::to_events(&text),
        Operation::Embeddings => None,
    };
    told.map(Bytes::from)
}

/// The events of a complete stream as the one answer they amount to. `None` when the stream is not complete, or
/// something in it is not understood well enough to be sure. The usage is left out if no event has said it.
pub fn to_whole(operation: Operation, events: &[u8]) -> Option<Bytes> {
    let whole = match operation {
        Operation::Chat => chunks::to_whole::<Chat>(events),
        Operation::Completions => chunks::to_whole::<Completions>(events),
        Operation::Responses => responses::to_whole(events),
        Operation::Embeddings => None,
    };
    whole.map(Bytes::from)
}

/// A complete stream as the client gets it who has not asked for usage: without the usage that only the gateway's
/// own request added. These are the bytes that he would have got live.
pub fn without_usage(operation: Operation, events: &Bytes) -> Bytes {
    let mut splitter = Splitter::new(usize::MAX);
    let Ok(block) = splitter.push(events.clone()) else { return events.clone() };
    let (mut observer, mut excerpt) = (Observer::new(operation, true), Excerpt::of(&block));
    for frame in sse::frames(&block) {
        let (meaning, passage) = observer.see(&frame);
        match meaning {
            Meaning::Preamble | Meaning::Content => excerpt.take(&frame, passage),
            // It was complete when it was kept.
            Meaning::Terminator | Meaning::EarlyTerminator => {
                excerpt.take(&frame, passage);
                return excerpt.finish();
            }
            // No stream that was complete holds one of these.
            Meaning::Failure | Meaning::Malformed => return excerpt.finish(),
        }
    }
    let (kept, rest) = (excerpt.finish(), splitter.take_rest());
    let (frame, _) = sse::frame(&rest);
    let is_terminator =
        !rest.is_empty() && matches!(observer.see(&frame).0, Meaning::Terminator | Meaning::EarlyTerminator);
    if is_terminator { [kept, sse::closed(rest)].concat().into() } else { kept }
}

/// The data of the events, one by one, but for those that only keep the connection; `None` for data that is not
/// read: no text, or nested too deep.
fn data(events: &[u8]) -> impl Iterator<Item = Option<Cow<'_, str>>> {
    // An event behind a byte order mark would be taken for a comment.
    let has_mark = events.starts_with("\u{feff}".as_bytes());
    let unreadable = has_mark.then_some(None);
    let told = sse::frames(events).filter(|frame| !is_keep_alive(frame));
    unreadable.into_iter().chain(told.filter_map(|Frame { data, .. }| data.map(text)))
}

fn text(data: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    let text = match data {
        Cow::Borrowed(bytes) => Cow::Borrowed(str::from_utf8(bytes).ok()?),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
    };
    (json::depth(&text) <= DEEPEST).then_some(text)
}

#[cfg(test)]
mod tests;

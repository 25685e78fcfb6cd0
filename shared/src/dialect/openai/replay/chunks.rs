//! Answers whose stream is chunks of choices and then `[DONE]`: chat and completions.

use std::collections::BTreeMap;

use crate::dialect::openai::replay::UsageChunk;
use crate::dialect::openai::replay::object::{Object, Piece, fields, is_nothing, is_string, items, value};
use crate::dialect::openai::replay::telling::Telling;
use crate::wire::json::{Fields, says_something};

/// What tells one such dialect from the other.
pub(super) trait Dialect {
    /// The `object` of a whole answer and of a chunk, as JSON.
    const WHOLE: &'static str;
    const CHUNK: &'static str;
    /// A choice whose pieces are gathered.
    type Gathering: Gathering;

    /// A whole choice as the choices of its chunks, in order.
    fn chunks(choice: &Fields<'_>) -> Option<Vec<String>>;
}

pub(super) trait Gathering: Default {
    /// Takes the choice of one chunk.
    fn take(&mut self, choice: &Fields<'_>) -> Option<()>;

    fn finish(self) -> Option<Object>;
}

/// The fields that every chunk has. Others stand in the first one, where what gathers chunks finds them.
const IN_EVERY_CHUNK: &[&str] = &["id", "object", "created", "model", "service_tier", "system_fingerprint"];

pub(super) fn to_events<D: Dialect>(whole: &str, wish: UsageChunk) -> Option<String> {
    let answer = fields(whole)?;
    if value(&answer, "error").is_some_and(says_something) {
        return None;
    }
    let usage = value(&answer, "usage").filter(|usage| wish == UsageChunk::Wanted && *usage != "null");
    let foot = if usage.is_some() { ",\"usage\":null}" } else { "}" };
    let mut first = Object::default();
    for (key, value) in answer.iter().filter(|(key, _)| !matches!(*key, "choices" | "usage" | "error")) {
        first.set(key, value)?;
    }
    first.set("object", D::CHUNK)?;
    let mut head = Object::default();
    for key in IN_EVERY_CHUNK {
        if let Some(value) = first.find(key) {
            head.set(key, value)?;
        }
    }
    let (first, head) = (first.to_text(), head.to_text());
    let (mut first, head) = (Some(first.strip_suffix('}')?), head.strip_suffix('}')?);

    let mut telling = Telling::of(whole.len());
    for choice in in_order(value(&answer, "choices")?)?.values() {
        for choice in D::chunks(choice)? {
            telling.data(&[first.take().unwrap_or(head), ",\"choices\":[", &choice, "]", foot])?;
        }
    }
    if first.is_some() {
        return None;
    }
    if let Some(usage) = usage {
        telling.data(&[head, ",\"choices\":[],\"usage\":", usage, "}"])?;
    }
    telling.data(&["[DONE]"])?;
    Some(telling.finish())
}

/// The choices by their index. What gathers chunks takes an index for a place, so there is none left out.
fn in_order(choices: &str) -> Option<BTreeMap<u64, Fields<'_>>> {
    let mut ordered = BTreeMap::new();
    for choice in items(choices)? {
        let choice = fields(choice)?;
        let twice = ordered.insert(choice.find("index")?.read::<u64>()?, choice);
        if twice.is_some() {
            return None;
        }
    }
    ordered.keys().copied().eq(0..ordered.len() as u64).then_some(ordered)
}

pub(super) fn to_whole<D: Dialect>(events: &[u8]) -> Option<String> {
    let (mut whole, mut choices) = (Object::default(), BTreeMap::<u64, D::Gathering>::new());
    for data in super::data(events) {
        let data = data?;
        if data.trim() == "[DONE]" {
            return finish::<D>(whole, choices);
        }
        let chunk = fields(&data)?;
        value(&chunk, "choices")?;
        for (key, value) in chunk.iter() {
            match key {
                "error" if says_something(value) => return None,
                "choices" => {
                    whole.place(key)?;
                    take_choices(&mut choices, value)?;
                }
                // Made to hide how long a chunk is.
                "obfuscation" | "error" => {}
                "object" => whole.set(key, D::WHOLE)?,
                _ => whole.take(key, Piece::Newest, value)?,
            }
        }
    }
    None
}

fn take_choices<G: Gathering>(gathered: &mut BTreeMap<u64, G>, choices: &str) -> Option<()> {
    if choices == "null" {
        return Some(());
    }
    for choice in items(choices)? {
        let choice = fields(choice)?;
        gathered.entry(choice.find("index")?.read()?).or_default().take(&choice)?;
    }
    Some(())
}

fn finish<D: Dialect>(mut whole: Object, choices: BTreeMap<u64, D::Gathering>) -> Option<String> {
    if choices.is_empty() {
        return None;
    }
    let mut texts = Vec::with_capacity(choices.len());
    for (index, choice) in choices {
        let mut choice = choice.finish()?;
        choice.set("index", index.to_string())?;
        choice.find("finish_reason").filter(|reason| is_reason(reason))?;
        texts.push(choice.to_text());
    }
    whole.set("object", D::WHOLE)?;
    whole.set("choices", format!("[{}]", texts.join(",")))?;
    if whole.find("usage") == Some("null") {
        whole.remove("usage");
    }
    Some(whole.to_text())
}

/// Whether a choice has come to its end; without a reason for it, it is not known to have.
pub(super) fn is_reason(finish: &str) -> bool {
    is_string(finish) && !is_nothing(finish)
}

/// Takes a piece of a field that is not known: what is short and said again is told anew, what is long must not
/// change, for it might be meant to grow.
pub(super) fn take_unknown(choice: &mut Object, key: &str, value: &str) -> Option<()> {
    let is_long = value.starts_with(['[', '{']) && !key.starts_with("content_filter");
    choice.take(key, if is_long { Piece::Unchanging } else { Piece::Newest }, value)
}

/// Takes a piece of `logprobs`: lists that grow, or null.
pub(super) fn take_logprobs(logprobs: &mut Option<Object>, value: &str) -> Option<()> {
    if value == "null" {
        return Some(());
    }
    let logprobs = logprobs.get_or_insert_default();
    for (key, value) in fields(value)?.iter() {
        if value != "null" && !value.starts_with('[') {
            return None;
        }
        logprobs.take(key, Piece::Appended, value)?;
    }
    Some(())
}

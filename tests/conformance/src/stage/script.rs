//! Answers of a case as the acts of an upstream.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Semaphore;
use weir_native_tests::{Act, Seen};

use crate::case::{Answer, Framing, Head, Mishap, Part};
use crate::words::Words;

type Gates = BTreeMap<String, Arc<Semaphore>>;

/// The names of all gates in `answers`.
pub(super) fn gates(answers: &[Answer]) -> impl Iterator<Item = &str> {
    let parts = answers.iter().flat_map(|answer| answer.first.iter().chain(&answer.parts));
    parts.filter_map(|part| match part {
        Part::Gate(name) => Some(name.as_str()),
        Part::Text(_) | Part::Wait(_) => None,
    })
}

/// Gives each request the next answer; the last one repeats.
pub(super) fn script(
    answers: &[Answer],
    gates: &Gates,
) -> impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static {
    let turns: Vec<Vec<Act>> =
        answers.iter().flat_map(|answer| std::iter::repeat_n(acts(answer, gates), answer.times)).collect();
    let turn = AtomicUsize::new(0);
    move |_| {
        let at = turn.fetch_add(1, Ordering::SeqCst).min(turns.len().saturating_sub(1));
        turns.get(at).cloned().unwrap_or_default()
    }
}

fn acts(answer: &Answer, gates: &Gates) -> Vec<Act> {
    let words = Words::default();
    let framing = answer.head.as_ref().map(|head| head.framing);
    let mut texts = texts(answer, &words);
    let length: usize = texts.iter().map(Vec::len).sum();
    let mut act = |part: &Part| match part {
        Part::Text(_) => {
            let text = texts.pop_front().unwrap_or_default();
            Act::Send(if framing == Some(Framing::Chunked) { chunk(&text) } else { text.into() })
        }
        Part::Wait(pause) => Act::Pause(*pause),
        // All gates of a case are made before its answers are.
        Part::Gate(name) => gates.get(name).cloned().map_or(Act::Close, Act::Gate),
    };
    let mut acts: Vec<Act> = answer.first.iter().map(&mut act).collect();
    if let Some(head) = &answer.head {
        acts.push(Act::Send(head_text(head, length as u64).into()));
    }
    acts.extend(answer.parts.iter().map(act));
    acts.extend(match (answer.ends, framing) {
        (Mishap::Whole, Some(Framing::Chunked)) => Some(Act::Send("0\r\n\r\n".into())),
        (Mishap::Whole, _) => None,
        (Mishap::Close, _) => Some(Act::Close),
        (Mishap::Reset, _) => Some(Act::Reset),
        (Mishap::Stall, _) => Some(Act::UntilGone),
    });
    acts
}

/// The texts of an answer as they are sent.
fn texts(answer: &Answer, words: &Words) -> VecDeque<Vec<u8>> {
    let texts: Vec<_> = answer.parts.iter().filter_map(|part| text_of(part, words)).collect();
    match answer.packed {
        Some(packing) => packing.pack(&texts).into(),
        None => texts.into(),
    }
}

fn text_of(part: &Part, words: &Words) -> Option<Vec<u8>> {
    match part {
        Part::Text(text) => Some(words.spell(text).into_bytes()),
        Part::Wait(_) | Part::Gate(_) => None,
    }
}

fn chunk(bytes: &[u8]) -> Bytes {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat().into()
}

fn head_text(head: &Head, length: u64) -> String {
    let mut text = format!("HTTP/1.1 {} Scripted\r\n", head.status);
    for (name, value) in &head.headers {
        // Writing to a String does not fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let has_body = !matches!(head.status, 100..=199 | 204 | 304);
    let says_length = head.headers.iter().any(|(name, _)| name == "content-length");
    match head.framing {
        Framing::Chunked => text.push_str("transfer-encoding: chunked\r\n"),
        Framing::Length(claimed) => {
            let _ = write!(text, "content-length: {}\r\n", claimed.unwrap_or(length));
        }
        Framing::Nothing if has_body && !says_length => text.push_str("content-length: 0\r\n"),
        Framing::Nothing => {}
    }
    text + "\r\n"
}

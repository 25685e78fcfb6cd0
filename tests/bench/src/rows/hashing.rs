//! The fingerprint of a long prompt, beside a hash of the same bytes that understands none of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use weir::cache::fingerprint;

use crate::cli::Failed;
use crate::figure::{Aim, Figure, Unit};
use crate::sample::float;

/// Bytes of the prompt.
const PROMPT: usize = 400_000;

/// What the cache leaves out.
const WITHOUT: &[&str] = &["model", "stream", "stream_options", "user"];

/// How long one of the two hashes in a round.
const SPAN: Duration = Duration::from_millis(100);

pub(super) fn measure(count: usize) -> Result<Vec<Figure>, Failed> {
    // A document to be summarised, and a long conversation.
    [("one message", 1), ("400 messages", 400)]
        .map(|(what, messages)| of(what, messages, count))
        .into_iter()
        .collect()
}

fn of(what: &str, messages: usize, count: usize) -> Result<Figure, Failed> {
    let body = body(messages);
    if fingerprint::of_object(&body, WITHOUT).is_none() {
        return Err(Failed("the prompt is no JSON object".into()));
    }
    let fingerprint = || {
        black_box(fingerprint::of_object(black_box(&body), WITHOUT));
    };
    let hash = || {
        black_box(Sha256::digest(black_box(body.as_bytes())));
    };
    let rounds: Vec<_> = (0..count.max(1))
        .map(|_| {
            (None, megabytes_per_second(body.len(), hash), megabytes_per_second(body.len(), fingerprint))
        })
        .collect();
    let what = format!("fingerprint of 400 kB, {what}");
    Ok(Figure::of_rounds(what, Unit::MegabytesPerSecond, Aim::Nothing, &rounds).beside("SHA-256"))
}

fn megabytes_per_second(bytes: usize, step: impl Fn()) -> f64 {
    let (started, mut steps) = (Instant::now(), 0_u64);
    loop {
        step();
        steps += 1;
        let took = started.elapsed();
        if took >= SPAN {
            return float(steps * bytes as u64) / 1e6 / took.as_secs_f64();
        }
    }
}

/// A chat whose messages are of [`PROMPT`] bytes together, with line ends and quotation marks in them as
/// there are in what people send.
fn body(messages: usize) -> String {
    const TEXT: &str =
        r#"The \"upload\" of line 7 fails after thirty seconds, says the log:\n    timeout.\n"#;
    let content: String = TEXT.chars().cycle().take(PROMPT / messages).collect();
    // Cut inside of an escape it would end in a backslash.
    let content = content.trim_end_matches('\\');
    let message = |number: usize| {
        let role = if number.is_multiple_of(2) { "user" } else { "assistant" };
        format!(r#"{{"role":"{role}","content":"{content}"}}"#)
    };
    let messages: Vec<String> = (0..messages).map(message).collect();
    let messages = messages.join(",");
    format!(r#"{{"model":"bench-json","temperature":0,"stream":true,"messages":[{messages}]}}"#)
}

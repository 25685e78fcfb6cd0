//! Answers that travel by themselves: what is long would keep everybody waiting whose reply comes behind it.
//!
//! In the reply to an [`Codec::open`] a long answer is only named. The shell asks for it ([`Codec::rest`]) over a
//! connection where nobody waits behind it, and puts it in its place ([`Codec::whole`]).

use bytes::Bytes;

use super::{Codec, Command, Garbled, Moment, Value, script};

/// Bytes of a command beyond which it travels by itself; answers.lua and hit.lua have the same for replies.
const MOST_TOGETHER: usize = 64 * 1024;

/// Stands for an answer of the cache, and for one to an idempotency key.
const MARKS: [(&[u8], &str); 2] = [(b"large:answer", ":answer:"), (b"large:repeat", ":repeat:")];

impl Command {
    /// Whether it, or its reply, is so long that nothing should wait behind it.
    pub fn travels_alone(&self) -> bool {
        self.script.name == script::FETCH.name
            || self.arguments().map(<[u8]>::len).sum::<usize>() > MOST_TOGETHER
    }
}

impl Codec {
    /// Asks for what the reply to an [`Self::open`] only names. `None` where all is there.
    pub fn rest(&self, opening: &Command, reply: &Value, moment: Moment) -> Option<Command> {
        let Value::Array(words) = reply else { return None };
        let kinds: Vec<&str> = words.iter().filter_map(mark).collect();
        if kinds.is_empty() {
            return None;
        }
        let mut command = self.command(script::FETCH, moment);
        command.length(kinds.len());
        for kind in kinds {
            let is_of_kind = |key: &&[u8]| key.windows(kind.len()).any(|part| part == kind.as_bytes());
            let key = opening.keys.iter().find(is_of_kind)?;
            command.keys.push(key);
            command.number((kind == MARKS[1].1).into());
        }
        Some(command)
    }

    /// The reply to an [`Self::open`], with what was replied to [`Self::rest`] in its place. An answer that is gone
    /// meanwhile is one that cannot be read.
    pub fn whole(&self, opening: Value, rest: &Command, reply: Value) -> Result<Value, Garbled> {
        let Value::Array(mut words) = opening else { return Err(Garbled) };
        let mut answers = rest.reader(reply)?;
        for word in &mut words {
            if mark(word).is_some() {
                *word = Value::Bytes(answers.bytes()?);
            }
        }
        answers.told(Value::Array(words)).map(|told| told.answer)
    }
}

/// What kind of key holds the answer that a word stands for.
fn mark(word: &Value) -> Option<&'static str> {
    let Value::Bytes(bytes) = word else { return None };
    let is_mark = |(mark, _): &(&[u8], &str)| Bytes::as_ref(bytes) == *mark;
    MARKS.into_iter().find(is_mark).map(|(_, kind)| kind)
}

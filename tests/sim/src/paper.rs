//! The bytes of an upstream's answer. Each answer says the number of its call, so none is like another.

use std::fmt::Write as _;

use bytes::Bytes;
use weir::dialect::endpoint::Form;

/// What stands in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paper {
    /// The number of the call.
    pub(crate) call: usize,
    pub(crate) form: Form,
    /// Tokens of the answer, and bytes of each.
    pub(crate) tokens: u64,
    pub(crate) width: usize,
    pub(crate) reports: Reports,
}

/// How an upstream tells what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reports {
    /// Not at all.
    Nothing,
    /// In a last chunk of a stream, if it was asked to.
    Last,
    /// The same, and `"usage":null` stands in every other chunk.
    LastAndNulls,
}

/// Who reads a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The gateway.
    Gateway,
    /// A client that has asked for usage.
    Curious,
    /// One that has not.
    Plain,
}

pub(crate) const DONE: &str = "data: [DONE]\n\n";

impl Paper {
    /// Of the prompt, as the upstream counts it.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        11 + self.call as u64 % 7
    }

    pub(crate) fn word(&self, at: u64) -> String {
        let mut word = format!("{:03} ", at % 1000);
        word.extend(std::iter::repeat_n('x', self.width.saturating_sub(word.len())));
        word
    }

    /// All that the model says.
    pub(crate) fn text(&self) -> String {
        (0..self.tokens).map(|at| self.word(at)).collect()
    }

    /// The events as `reader` is to see them, to the terminator.
    pub(crate) fn events(&self, reader: Reader) -> Vec<String> {
        let call = self.call;
        let nulls = match (self.reports, reader) {
            (Reports::LastAndNulls, Reader::Gateway | Reader::Curious) => ",\"usage\":null",
            (Reports::Nothing | Reports::Last | Reports::LastAndNulls, _) => "",
        };
        let chunk = |choice: &str| {
            format!("data: {{\"id\":\"call-{call}\",\"model\":\"m-1\",\"choices\":[{choice}]{nulls}}}\n\n")
        };
        let mut events: Vec<String> = (0..self.tokens)
            .map(|at| {
                let word = self.word(at);
                chunk(&format!("{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}"))
            })
            .collect();
        events.push(chunk("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}"));
        if self.reports != Reports::Nothing && reader != Reader::Plain {
            let usage = self.usage();
            events.push(format!(
                "data: {{\"id\":\"call-{call}\",\"model\":\"m-1\",\"choices\":[],\"usage\":{usage}}}\n\n"
            ));
        }
        events.push(DONE.into());
        events
    }

    /// The answer as one body.
    pub(crate) fn whole(&self) -> Bytes {
        let (call, text) = (self.call, self.text());
        let mut body = format!(
            "{{\"id\":\"call-{call}\", \"model\":\"m-1\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\
             \"assistant\",\"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}]"
        );
        if self.reports != Reports::Nothing {
            let _ = write!(body, ",\"usage\":{}", self.usage());
        }
        body.push('}');
        body.into()
    }

    fn usage(&self) -> String {
        let (prompt, tokens) = (self.prompt_tokens(), self.tokens);
        let total = prompt + tokens;
        format!("{{\"prompt_tokens\":{prompt},\"completion_tokens\":{tokens},\"total_tokens\":{total}}}")
    }

    /// The call that bytes of an answer come from, if they are of one.
    pub(crate) fn call_of(body: &[u8]) -> Option<usize> {
        let head = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let (_, behind) = head.split_once("call-")?;
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        behind[..digits].parse().ok()
    }
}

//! What is asked: the same bytes of whoever is measured.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The key that the load shows; Weir is configured with its hash.
pub(crate) const KEY: &str = "sk-weir-bench";

/// A prompt of everyday length.
const PROMPT: &str = "Summarise the following support ticket in two sentences for the engineer on duty, and name \
     the component that is most likely at fault: since this morning about one in twenty uploads from our \
     office fails after thirty seconds with a timeout, while downloads from the same machines are quick.";

/// One kind of call. It travels to the upstream as the name of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A whole JSON answer.
    Json,
    /// A stream of so many chunks with content.
    Stream(usize),
    /// A stream that says its first word and then nothing more.
    Hold,
    /// Whether the gateway is there: what it costs to be asked anything at all.
    Health,
}

impl Ask {
    /// The request, head and body.
    pub(crate) fn request(self, target: SocketAddr) -> Vec<u8> {
        if self == Self::Health {
            return format!("GET /health HTTP/1.1\r\nhost: {target}\r\n\r\n").into_bytes();
        }
        let stream = if self == Self::Json { "" } else { r#""stream":true,"# };
        let body = format!(
            r#"{{"model":"{self}",{stream}"temperature":0.2,"messages":[{{"role":"system","content":"You are brief."}},{{"role":"user","content":"{PROMPT}"}}]}}"#
        );
        let length = body.len();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {target}\r\nuser-agent: OpenAI/Python 2.0.0\r\n\
             accept: application/json\r\ncontent-type: application/json\r\nauthorization: Bearer {KEY}\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Reads what a request's body asks for.
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let from = memchr::memmem::find(body, b"\"bench-")? + 1;
        let length = memchr::memchr(b'"', &body[from..])?;
        str::from_utf8(&body[from..from + length]).ok()?.parse().ok()
    }
}

/// The model's name.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json => f.write_str("bench-json"),
            Self::Stream(chunks) => write!(f, "bench-stream-{chunks}"),
            Self::Hold => f.write_str("bench-hold"),
            Self::Health => f.write_str("bench-health"),
        }
    }
}

impl FromStr for Ask {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "bench-json" => Ok(Self::Json),
            "bench-hold" => Ok(Self::Hold),
            "bench-health" => Ok(Self::Health),
            _ => match text.strip_prefix("bench-stream-").map(str::parse) {
                Some(Ok(chunks)) => Ok(Self::Stream(chunks)),
                Some(Err(_)) | None => Err("no such model here"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_what_is_read() {
        let target = SocketAddr::from(([127, 0, 0, 1], 1));
        for ask in [Ask::Json, Ask::Stream(20), Ask::Hold] {
            assert_eq!(Ask::of(&ask.request(target)), Some(ask));
        }
        assert_eq!(Ask::of(br#"{"model":"other"}"#), None);
    }
}

//! What upstreams do, attempt by attempt, and what they were sent.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use weir::routing::upstream::dispatch::SendFault;
use weir::time::Instant;

use crate::flow::{Beat, End, Progress};

/// What becomes of one attempt.
#[derive(Clone, Debug)]
pub enum Act {
    /// No connection comes about; the shell gives up after the upstream's `connect`.
    NoConnection,
    Fault(SendFault),
    /// Connected, and then nothing.
    Silence,
    /// It waits so long for a connection with room.
    Queued(Duration, Answer),
    Answer(Answer),
}

/// A head and what follows it.
#[derive(Clone, Debug)]
pub struct Answer {
    after: Duration,
    status: u16,
    headers: Vec<(String, String)>,
    beats: Vec<Beat>,
    end: End,
}

/// A request as an upstream got it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub upstream: String,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether it asked for a connection of its own.
    pub is_fresh: bool,
    pub at: Instant,
    /// How far its answer was read.
    pub progress: Rc<Progress>,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let beats = vec![Beat::Bytes(body.into())];
        Self { after: Duration::ZERO, status, headers, beats, end: End::Clean }
    }

    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/json", body)
    }

    pub fn events(body: impl Into<Bytes>) -> Self {
        Self::new(200, "text/event-stream", body)
    }

    /// An error in the dialect.
    pub fn error(status: u16) -> Self {
        let body = r#"{"error":{"message":"no","type":"some_error","param":null,"code":"some_code"}}"#;
        Self::new(status, "application/json", body)
    }

    /// How long the head takes.
    #[must_use]
    pub fn after(mut self, span: Duration) -> Self {
        self.after = span;
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn beats(mut self, beats: impl IntoIterator<Item = Beat>) -> Self {
        self.beats = beats.into_iter().collect();
        self
    }

    #[must_use]
    pub fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    pub(crate) fn wait(&self) -> Duration {
        self.after
    }

    /// Headers that cannot stand are left out.
    pub(crate) fn into_parts(self) -> (http::Response<()>, Vec<Beat>, End) {
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) =
                (name.parse::<http::HeaderName>(), http::HeaderValue::try_from(value))
            {
                head.headers_mut().append(name, value);
            }
        }
        (head, self.beats, self.end)
    }
}

impl From<Answer> for Act {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

//! An answer that is read as it comes.

use bytes::BytesMut;
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// A streamed answer. Dropped, it is a client that leaves.
#[derive(Debug)]
pub struct Flow {
    pub status: u16,
    pub headers: HeaderMap,
    /// Whether the transport broke off, rather than ended.
    pub is_broken: bool,
    body: Incoming,
    held: BytesMut,
}

impl Flow {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Self { status, headers, is_broken: false, body, held: BytesMut::new() }
    }

    /// The data of the next event; `None` at the end.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.held.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.held.split_to(end + 2);
                let text = str::from_utf8(&event).expect("events are text");
                let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
                return Some(data.collect::<Vec<_>>().join("\n"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.held.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(_)) => {
                    self.is_broken = true;
                    return None;
                }
                None => {
                    assert!(self.held.is_empty(), "half an event: {:?}", self.held);
                    return None;
                }
            }
        }
    }

    /// The data of all events that are still to come.
    pub async fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await {
            events.push(event);
        }
        events
    }
}

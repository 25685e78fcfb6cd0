//! An upstream's answer on its way to the one client that asked for it.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header, response};

use super::attempt::answer::Answer;
use super::websocket;
use crate::ledger::record::Ending;
use crate::pipeline::accounting::Trail;
use crate::pipeline::reply::body::Body;
use crate::platform::Platform;

pub(super) fn deliver<P: Platform>(
    answer: Answer<P>,
    method: &Method,
    keep_alive: Option<Duration>,
    mut trail: Trail<P>,
) -> Response<Body<P>> {
    let (mut head, body) = match answer {
        Answer::Whole { head, bytes, untold, mut course } => {
            trail.note_usage(&mut course);
            trail.sent_first_byte();
            trail.keep_whole(&mut course, &head, &bytes, untold.as_ref());
            drop(course);
            trail.ended(Ending::Complete, head.status.as_u16());
            (head, Body::whole(bytes))
        }
        Answer::Flowing { head, held, course } => {
            trail.answers(head.status);
            let owed = owed(&head, method);
            (head, Body::flowing(held, owed, keep_alive, *course, trail))
        }
        Answer::Switched { head, open } => {
            trail.answers(head.status);
            trail.sent_first_byte();
            websocket::open(trail, open);
            (head, Body::whole(Bytes::new()))
        }
    };
    head.extensions.clear();
    Response::from_parts(head, body)
}

/// Bytes of an answer, where its head tells (RFC 9110, 6.4.1 and 8.6).
pub(super) fn owed(head: &response::Parts, method: &Method) -> Option<u64> {
    let has_none =
        method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_none {
        return Some(0);
    }
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

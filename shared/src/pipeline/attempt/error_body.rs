//! The body of an upstream's error: what can be had of it in time, decoded and within its bound. It explains; a
//! body that cannot be read leaves the status to speak for itself.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};

use crate::ledger::record::Ending;
use crate::pipeline::answer_stream::{Course, Step};
use crate::platform::Platform;
use crate::refusal::{LARGEST_ERROR, UpstreamError};
use crate::wire::headers;

/// The beginning of an error's body, which mostly is all of it.
#[derive(Debug, Default)]
pub(crate) struct ErrorBody {
    pub(crate) bytes: Bytes,
    /// There is more than was read.
    pub(crate) is_cut: bool,
}

impl ErrorBody {
    pub(crate) async fn read<P: Platform>(course: &mut Course<P>) -> Self {
        let mut body = BytesMut::new();
        let is_cut = loop {
            let bytes = match poll_fn(|cx| course.poll_step(cx)).await {
                Step::Bytes { bytes, .. } => bytes,
                Step::End { ending, .. } => {
                    break ending != Ending::Complete;
                }
            };
            let room = LARGEST_ERROR - body.len();
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if bytes.len() > room {
                break true;
            }
        };
        Self { bytes: body.freeze(), is_cut }
    }

    /// What it says. A coding that is left is one that nobody here can read.
    pub(crate) fn error(&self, headers: &HeaderMap) -> UpstreamError {
        let is_coded = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
        let bytes: &[u8] = if is_coded { &[] } else { &self.bytes };
        UpstreamError::read(headers::media_type(headers).as_deref(), bytes, self.is_cut)
    }
}

//! Answers that are here already.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::cache::in_flight::End;
use crate::cache::{Entry, Freshness};
use crate::dialect::call::Call;
use crate::dialect::endpoint::Form;
use crate::dialect::openai::replay::{self, UsageChunk};
use crate::ledger::cache_status::Status;
use crate::ledger::record::Ending;
use crate::pipeline::exchange::Journey;
use crate::pipeline::reply::body::Body;
use crate::platform::Platform;
use crate::store::protocol::{Opened, Recalled, Repeated};

/// What was found, in the form that the client wants.
pub(crate) struct Found {
    pub(crate) terms: Terms,
    pub(crate) status: Status,
    entry: Arc<Entry>,
    body: Bytes,
    content_type: HeaderValue,
    age: Duration,
    is_repeated: Repeats,
}

/// How it may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    Given,
    /// And a new one is to be fetched.
    Replace,
    /// Only where no upstream answers.
    IfError,
}

/// Whether it is the answer to an earlier request with the same `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeats {
    Yes,
    No,
}

impl Found {
    /// The answer that the store has for a call, if it can be told in the form that is wanted.
    pub(crate) fn look(opened: &Opened, call: &Call) -> Option<Self> {
        let (entry, age, terms, status, is_repeated) = match (&opened.repeated, &opened.recalled) {
            (Some(Repeated::Answered { entry, age }), _) => {
                (entry, *age, Terms::Given, Status::Hit, Repeats::Yes)
            }
            (_, Some(recalled)) => {
                let Recalled { entry, age, freshness, refresh, is_stale } = recalled;
                let terms = match freshness {
                    Freshness::Revalidate if *refresh => Terms::Replace,
                    Freshness::Fresh | Freshness::Revalidate => Terms::Given,
                    Freshness::IfError => Terms::IfError,
                };
                let status = if *is_stale { Status::Stale } else { Status::Hit };
                (entry, *age, terms, status, Repeats::No)
            }
            (_, None) => return None,
        };
        let (body, content_type) = told(entry, call)?;
        Some(Self { terms, status, entry: Arc::clone(entry), body, content_type, age, is_repeated })
    }

    /// It was not kept yet when it was asked for: a call elsewhere has brought it.
    pub(crate) fn was_awaited(&mut self) {
        if self.terms == Terms::Given && self.is_repeated == Repeats::No {
            self.status = Status::Coalesced;
        }
    }

    /// For the books of the call that is answered with it.
    pub(crate) fn end(&self) -> End {
        End { ending: Ending::Complete, notice: None, entry: Some(Arc::clone(&self.entry)) }
    }
}

impl<P: Platform> Journey<'_, P> {
    /// Answers with what was found.
    pub(crate) fn give(&mut self, found: Found) -> Response<Body<P>> {
        let Found { status, body, content_type, age, is_repeated, .. } = found;
        self.cache = Some(status);
        if let Some(explanation) = &mut self.explanation {
            explanation.kept(age);
        }
        let mut response = Response::new(Body::whole(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::AGE, age.as_secs().into());
        if is_repeated == Repeats::Yes {
            headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

/// An entry in the form that the call wants.
fn told(entry: &Entry, call: &Call) -> Option<(Bytes, HeaderValue)> {
    let Entry { operation, form, body, content_type, .. } = entry;
    let usage = if call.wants_usage { UsageChunk::Wanted } else { UsageChunk::Unwanted };
    let body = match (form, call.form()) {
        (Form::Whole, Form::Whole) => body.clone(),
        (Form::Whole, Form::Events) => replay::to_events(*operation, body, usage)?,
        (Form::Events, Form::Whole) => replay::to_whole(*operation, body)?,
        (Form::Events, Form::Events) if call.wants_usage => body.clone(),
        (Form::Events, Form::Events) => replay::without_usage(*operation, body),
    };
    let kind = match (form, call.form()) {
        (_, Form::Events) => HeaderValue::from_static("text/event-stream; charset=utf-8"),
        (Form::Whole, Form::Whole) => HeaderValue::try_from(content_type.as_str()).ok()?,
        (Form::Events, Form::Whole) => HeaderValue::from_static("application/json"),
    };
    Some((body, kind))
}

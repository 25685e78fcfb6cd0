//! What goes upstream with a request, and whether it can go twice.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method};

use crate::cache::fingerprint::Fingerprint;
use crate::dialect::call::{Call, UsageRequest};
use crate::dialect::endpoint::{Operation, ReportedUsage};
use crate::dialect::urlencoded;
use crate::limits::OnStoreLoss;
use crate::wire::headers::AllowedHeaders;
use crate::wire::upload::{Passing, Payload, Progress};

/// What goes upstream, whichever candidate it goes to.
pub(super) enum Cargo<U> {
    /// An understood call.
    Call { operation: Operation, call: Call },
    /// A JSON body that names a model.
    Named(Call),
    /// A form in parts that names a model, or is to.
    Form { body: Bytes, model: Place },
    /// An urlencoded form that names a model, or is to.
    Pairs { body: Bytes, model: Option<Range<usize>> },
    /// Bytes that are here as a whole.
    Whole(Bytes),
    /// Bytes that are passed on as they come, once.
    Stream(Option<U>, Arc<Progress>),
}

/// Where in a form its model stands.
pub(super) enum Place {
    Value(Range<usize>),
    /// Nowhere: the path names it. A part between boundaries like this one is put in for it.
    Missing {
        boundary: String,
    },
}

impl<U> Cargo<U> {
    pub(super) fn operation(&self) -> Option<Operation> {
        match self {
            Self::Call { operation, .. } => Some(*operation),
            Self::Named(_) | Self::Form { .. } | Self::Pairs { .. } | Self::Whole(_) | Self::Stream(..) => {
                None
            }
        }
    }

    /// The body as it came, if it is here.
    pub(super) fn body(&self) -> Option<Bytes> {
        match self {
            Self::Call { call, .. } | Self::Named(call) => Some(call.body()),
            Self::Form { body, .. } | Self::Pairs { body, .. } | Self::Whole(body) => Some(body.clone()),
            Self::Stream(..) => None,
        }
    }

    /// The body for a candidate. `None` when it was sent before and cannot be sent again.
    pub(super) fn payload(&mut self, model: Option<&str>, usage: UsageRequest) -> Option<Payload<U>> {
        Some(match self {
            Self::Call { call, .. } | Self::Named(call) => {
                Payload::Whole(call.body_for(model.unwrap_or(&call.model), usage))
            }
            Self::Form { body, model: place } => {
                Payload::Whole(model.map_or_else(|| body.clone(), |model| place.fill(body, model)))
            }
            Self::Pairs { body, model: span } => Payload::Whole(match (model, span) {
                (Some(model), Some(span)) => {
                    // It was read as UTF-8.
                    let text = str::from_utf8(body).unwrap_or_default();
                    urlencoded::renamed(text, span, model).into()
                }
                (Some(model), None) => {
                    let comma = if body.is_empty() { "" } else { "&" };
                    let pair = format!("model={}{comma}", urlencoded::encoded(model));
                    [pair.as_bytes(), body].concat().into()
                }
                (None, _) => body.clone(),
            }),
            Self::Whole(body) if body.is_empty() => Payload::Empty,
            Self::Whole(body) => Payload::Whole(body.clone()),
            Self::Stream(upload, progress) => Payload::Stream(Passing::new(upload.take()?, progress)),
        })
    }
}

impl Place {
    fn fill(&self, body: &Bytes, model: &str) -> Bytes {
        match self {
            Self::Value(span) if body[span.clone()] == *model.as_bytes() => body.clone(),
            Self::Value(span) => [&body[..span.start], model.as_bytes(), &body[span.end..]].concat().into(),
            Self::Missing { boundary } => {
                let head = "content-disposition: form-data; name=\"model\"";
                let part = format!("--{boundary}\r\n{head}\r\n\r\n{model}\r\n");
                // A form begins with its boundary, or with a line break before that.
                let rest = body.strip_prefix(b"\r\n").unwrap_or(body);
                [part.as_bytes(), rest].concat().into()
            }
        }
    }
}

/// A client's request as it is sent on.
pub(super) struct Sent<U> {
    pub(super) method: Method,
    pub(super) suffix: String,
    pub(super) query: Option<String>,
    /// Where in the query the model's name stands.
    pub(super) queried: Option<Range<usize>>,
    /// Whose usage the answer reports.
    pub(super) usage: ReportedUsage,
    /// Written by the gateway.
    pub(super) headers: HeaderMap,
    /// Of the client's, those that the upstream it goes to may have.
    pub(super) allowed: AllowedHeaders,
    pub(super) cargo: Cargo<U>,
    /// It asks for a websocket.
    pub(super) handshake: Option<Handshake>,
    /// Whose what it makes is, where that is remembered.
    pub(super) owner: Option<Owner>,
}

/// What is asked for with a websocket.
pub(super) struct Handshake {
    /// What the shell knows the client's connection by.
    pub(super) client: Extensions,
    /// As the client names it; empty where it names none.
    pub(super) model: String,
}

/// Whose what a call makes is from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) tenant: Fingerprint,
    pub(super) makes: Makes,
    pub(super) on_store_loss: OnStoreLoss,
}

/// What of an answer tells of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Makes {
    /// Nothing.
    Nothing,
    /// An object that was made.
    Itself,
    /// What was made beside the object that was named, such as the files of a batch.
    Others,
}

impl<U> Sent<U> {
    /// The query for a candidate that calls the model `model`.
    pub(super) fn query_for(&self, model: Option<&str>) -> Option<Cow<'_, str>> {
        let query = self.query.as_deref()?;
        Some(match (model, &self.queried) {
            (Some(model), Some(span)) => urlencoded::renamed(query, span, model).into(),
            (None, _) | (_, None) => query.into(),
        })
    }

    /// What is not understood may have made something upstream: it is sent twice only where that is harmless, or
    /// where it was never sent.
    pub(super) fn may_be_sent_again(&self, is_sent: bool) -> bool {
        let is_harmless = match self.cargo {
            Cargo::Call { .. } => true,
            Cargo::Named(_) | Cargo::Form { .. } | Cargo::Pairs { .. } | Cargo::Whole(_) => {
                self.method.is_idempotent()
            }
            Cargo::Stream(..) => return false,
        };
        is_harmless || !is_sent
    }
}

//! What goes upstream with a request, and whether it can go twice.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, header};

use super::Journey;
use super::lookup::{self, IDEMPOTENCY_KEY, Request};
use crate::call::Call;
use crate::caller::Caller;
use crate::endpoint::{Address, Operation};
use crate::platform::{Passing, Payload, Platform, Progress};
use crate::refusal::Refusal;
use crate::{headers, intake, multipart};

/// What goes upstream, whichever candidate it goes to.
pub(super) enum Cargo<U> {
    /// An understood call.
    Call { operation: Operation, call: Call },
    /// A JSON body that names a model.
    Named(Call),
    /// A form that names a model.
    Form { body: Bytes, model: std::ops::Range<usize> },
    /// Bytes that are here as a whole.
    Whole(Bytes),
    /// Bytes that are passed on as they come, once.
    Stream(Option<U>, Arc<Progress>),
}

impl<U> Cargo<U> {
    pub(super) fn operation(&self) -> Option<Operation> {
        match self {
            Self::Call { operation, .. } => Some(*operation),
            Self::Named(_) | Self::Form { .. } | Self::Whole(_) | Self::Stream(..) => None,
        }
    }

    /// The body for a candidate. `None` when it was sent before and cannot be sent again.
    pub(super) fn payload(&mut self, model: Option<&str>) -> Option<Payload<U>> {
        Some(match self {
            Self::Call { call, .. } | Self::Named(call) => {
                Payload::Whole(call.body_for(model.unwrap_or(&call.model)))
            }
            Self::Form { body, model: span } => Payload::Whole(match model {
                Some(model) if body[span.clone()] != *model.as_bytes() => {
                    [&body[..span.start], model.as_bytes(), &body[span.end..]].concat().into()
                }
                _ => body.clone(),
            }),
            Self::Whole(body) if body.is_empty() => Payload::Empty,
            Self::Whole(body) => Payload::Whole(body.clone()),
            Self::Stream(upload, progress) => Payload::Stream(Passing::new(upload.take()?, progress)),
        })
    }
}

/// A client's request as it is sent on.
pub(super) struct Sent<U> {
    pub(super) method: Method,
    pub(super) suffix: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) cargo: Cargo<U>,
}

impl<U> Sent<U> {
    /// What is not understood may have made something upstream: it is sent twice only where that is harmless, or
    /// where it was never sent.
    pub(super) fn may_be_sent_again(&self, is_sent: bool) -> bool {
        let is_harmless = match self.cargo {
            Cargo::Call { .. } => true,
            Cargo::Named(_) | Cargo::Form { .. } | Cargo::Whole(_) => self.method.is_idempotent(),
            Cargo::Stream(..) => return false,
        };
        is_harmless || !is_sent
    }
}

/// A client's request as it came, read as far as it is understood.
pub(super) struct Asked<'a, U> {
    pub(super) head: &'a Parts,
    pub(super) address: &'a Address,
    pub(super) cargo: Cargo<U>,
}

impl<'a, U> Asked<'a, U> {
    /// What makes two of them the same, apart from their bodies.
    pub(super) fn request(&self, operation: Operation) -> Request<'a> {
        let (suffix, query) = (self.address.suffix.as_str(), self.head.uri.query());
        Request { operation, suffix, query, headers: &self.head.headers }
    }

    /// As it goes upstream for `caller`.
    pub(super) fn sent(self, caller: &Caller) -> Sent<U> {
        let Self { head, address, cargo } = self;
        let mut headers = headers::toward_upstream(&head.headers);
        if let Cargo::Stream(..) = cargo {
            // What is not read is not decoded, and is as long as it was.
            for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
                if let Some(value) = head.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
        }
        // Of a call that is understood the gateway takes care itself.
        let key = head.headers.get(IDEMPOTENCY_KEY).filter(|_| cargo.operation().is_none());
        if let Some(key) = key {
            headers.insert(IDEMPOTENCY_KEY, lookup::upstream_key(caller, key));
        }
        let query = head.uri.query().map(str::to_owned);
        Sent { method: head.method.clone(), suffix: address.suffix.clone(), query, headers, cargo }
    }
}

impl<P: Platform> Journey<'_, P> {
    /// Of a call that is passed through: the model it names, if it names one, and what goes upstream.
    pub(super) async fn read_passthrough(
        &self,
        address: &Address,
        head: &Parts,
        upload: P::Upload,
    ) -> Result<(Option<String>, Cargo<P::Upload>), Refusal> {
        let deployment = address.deployment.as_deref();
        let server = &self.config.server;
        if !has_body(head) {
            return Ok((deployment.map(str::to_owned), Cargo::Whole(Bytes::new())));
        }
        let names_model = names_model_in_form(&address.suffix);
        let boundary = if names_model { multipart::boundary(&head.headers)? } else { None };
        if let Some(boundary) = boundary {
            let body = intake::collect(self.platform, server, &head.headers, upload).await?;
            let span = multipart::model(&body, boundary)?;
            let Some(span) = span else { return Ok((deployment.map(str::to_owned), Cargo::Whole(body))) };
            let Ok(named) = str::from_utf8(&body[span.clone()]) else {
                let problem = "it must be text".into();
                return Err(Refusal::InvalidParameter { param: "model".into(), problem });
            };
            crate::call::check_model(named)?;
            return Ok((Some(deployment.unwrap_or(named).to_owned()), Cargo::Form { body, model: span }));
        }
        let media_type = headers::media_type(&head.headers);
        if media_type.as_deref() == Some("application/json") {
            let body = intake::collect(self.platform, server, &head.headers, upload).await?;
            if body.is_empty() {
                return Ok((deployment.map(str::to_owned), Cargo::Whole(body)));
            }
            return Ok(match Call::peek(deployment, body.clone(), self.bounds())? {
                Some(call) => (Some(call.model.clone()), Cargo::Named(call)),
                None => (None, Cargo::Whole(body)),
            });
        }
        // A body may name a model in a form that is not read here, and upstreams are known to read it: a caller
        // would get by what it may not.
        match media_type.as_deref() {
            None | Some("application/x-www-form-urlencoded") => Err(unreadable()),
            Some(_) if names_model => Err(unreadable()),
            Some(_) => Ok((deployment.map(str::to_owned), Cargo::Stream(Some(upload), Arc::default()))),
        }
    }
}

fn unreadable() -> Refusal {
    let problem = "Send JSON or multipart/form-data, with a Content-Type that says so".into();
    Refusal::UnsupportedMedia { problem }
}

fn has_body(head: &Parts) -> bool {
    head.headers.contains_key(header::TRANSFER_ENCODING)
        || head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
        // HTTP/2 needs neither header.
        || (head.version == http::Version::HTTP_2 && head.headers.contains_key(header::CONTENT_TYPE))
}

/// Forms of these paths name a model; others are uploads, and large.
fn names_model_in_form(suffix: &str) -> bool {
    ["/audio/", "/images/", "/videos"].iter().any(|prefix| suffix.starts_with(prefix))
}

//! A client's request, read as far as it is understood.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use http::request::Parts;

use super::cache::lookup::{self, IDEMPOTENCY_KEY, Request};
use super::exchange::Journey;
use super::heavy;
use super::sent::{Cargo, Handshake, Owner, Place, Sent};
use crate::dialect::call::{self, Bounds, Call};
use crate::dialect::endpoint::{Address, Bodies, Endpoint, Operation, ReportedUsage};
use crate::dialect::model_pattern::Pattern;
use crate::dialect::{multipart, urlencoded};
use crate::identity::caller::Caller;
use crate::pipeline::read;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::wire::headers::{self, AllowedHeaders, Written};
use crate::wire::websocket;

/// A client's request as it came, read as far as it is understood.
pub(super) struct Asked<'a, U> {
    pub(super) head: &'a Parts,
    pub(super) address: &'a Address,
    pub(super) cargo: Cargo<U>,
    /// Whose what it makes is, where that is remembered.
    pub(super) owner: Option<Owner>,
}

impl<'a, U> Asked<'a, U> {
    /// What makes two of them the same, apart from their bodies.
    pub(super) fn request<'r>(&self, operation: Operation, allowed: &'r AllowedHeaders) -> Request<'r>
    where
        'a: 'r,
    {
        let (suffix, query) = (self.address.suffix.as_str(), self.head.uri.query());
        let deployment = self.address.deployment.as_deref();
        Request { operation, deployment, suffix, query, headers: &self.head.headers, allowed }
    }

    /// As it goes upstream for `caller`, with what of the client's headers is `allowed`.
    pub(super) fn sent(self, caller: &Caller, allowed: AllowedHeaders) -> Sent<U> {
        let Self { head, address, cargo, owner } = self;
        let written = if cargo.operation().is_some() { Written::Anew } else { Written::AsSent };
        let mut headers = headers::own(&head.headers, written);
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
        // One that cannot be read was refused.
        let (named, queried) = queried(head).ok().flatten().map(|named| (named.model, named.span)).unzip();
        let usage = match &address.endpoint {
            Endpoint::Passthrough(kind) => kind.usage,
            Endpoint::Call(_)
            | Endpoint::Models
            | Endpoint::Model(_)
            | Endpoint::WrongMethod { .. }
            | Endpoint::Unknown => ReportedUsage::OfOthers,
        };
        let (method, suffix) = (head.method.clone(), address.suffix.clone());
        let handshake = websocket::is_relayed(head, &address.suffix).then(|| {
            headers::tell_handshake(&head.headers, &mut headers);
            Handshake { client: head.extensions.clone(), model: named.unwrap_or_default() }
        });
        Sent { method, suffix, query, queried, usage, headers, allowed, cargo, handshake, owner }
    }
}

impl<P: Platform> Journey<'_, P> {
    /// Within what a body is read.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { max_depth: self.config.server.max_depth, max_n: self.config.server.max_n }
    }

    /// Of a call that is passed through: the model it names, if it names one, and what goes upstream.
    pub(super) async fn read_passthrough(
        &self,
        bodies: Bodies,
        address: &Address,
        head: &Parts,
        caller: &Caller,
        upload: P::Upload,
    ) -> Result<(Option<String>, Cargo<P::Upload>), Refusal> {
        let queried = queried(head)?.map(|named| named.model);
        // A model that a path ends or changes is one that its caller may use.
        if !may_call_any(caller) {
            self.check_nested(Some(address.passed.model().into_iter().collect()), caller)?;
        }
        let (model, cargo) = self.read_body(bodies, address, head, caller, upload).await?;
        match (model, queried) {
            (Some(model), Some(queried)) if model != queried => Err(names_two()),
            (model, queried) => Ok((model.or(queried), cargo)),
        }
    }

    async fn read_body(
        &self,
        bodies: Bodies,
        address: &Address,
        head: &Parts,
        caller: &Caller,
        upload: P::Upload,
    ) -> Result<(Option<String>, Cargo<P::Upload>), Refusal> {
        let deployment = address.deployment.as_deref();
        if !has_body(head) {
            return Ok((deployment.map(str::to_owned), Cargo::Whole(Bytes::new())));
        }
        let media_type = headers::media_type(&head.headers);
        let media_type = media_type.as_deref().unwrap_or_default();
        let readable = Readable::of(media_type);
        match (bodies, readable) {
            (Bodies::Json, _) if media_type != "application/json" => return Err(not_json()),
            (Bodies::Readable | Bodies::Files, None) if media_type.is_empty() => return Err(unreadable()),
            (Bodies::Files, None | Some(Readable::Form)) => {
                return Ok((deployment.map(str::to_owned), Cargo::Stream(Some(upload), Arc::default())));
            }
            (Bodies::Json | Bodies::Readable | Bodies::Files, _) => {}
        }
        let boundary = match readable {
            Some(Readable::Form) => multipart::boundary(&head.headers)?.map(str::to_owned),
            Some(Readable::Json | Readable::Pairs) | None => None,
        };
        let holder = self.holder(caller);
        let body = read::collect(self.platform, &self.config.server, &holder, &head.headers, upload).await?;
        match (readable, boundary) {
            (Some(Readable::Form), Some(boundary)) => {
                self.read_form(body, boundary, deployment, caller).await
            }
            // A multipart body of another kind has no boundary that is read.
            (Some(Readable::Form), None) => Err(unreadable()),
            (Some(Readable::Pairs), _) if !urlencoded::is_plain(&head.headers) => Err(unreadable()),
            (Some(Readable::Pairs), _) => read_pairs(body, deployment),
            (Some(Readable::Json), _) => self.read_json(body, deployment, caller).await,
            (None, _) => match guess(&body) {
                Guess::Json => {
                    self.read_json(body, deployment, caller).await.map_err(|refusal| match refusal {
                        Refusal::InvalidJson { .. } => unreadable(),
                        refusal => refusal,
                    })
                }
                Guess::Unclear => Err(unreadable()),
                Guess::Other => Ok((deployment.map(str::to_owned), Cargo::Whole(body))),
            },
        }
    }

    async fn read_json(
        &self,
        body: Bytes,
        deployment: Option<&str>,
        caller: &Caller,
    ) -> Result<(Option<String>, Cargo<P::Upload>), Refusal> {
        if body.is_empty() {
            return Ok((deployment.map(str::to_owned), Cargo::Whole(body)));
        }
        let (bounds, is_bound, bytes) = (self.bounds(), !may_call_any(caller), body.clone());
        let deployment = deployment.map(str::to_owned);
        let read = move || {
            let call = Call::peek(deployment.as_deref(), bytes.clone(), bounds)?;
            let models = if is_bound { call::nested_models(call::utf8(&bytes)?) } else { Some(Vec::new()) };
            Ok::<_, Refusal>((call, models))
        };
        let (call, models) = heavy::computed(self.platform, body.len(), read).await?;
        self.check_nested(models, caller)?;
        Ok(match call {
            Some(call) => (Some(call.model.clone()), Cargo::Named(call)),
            None => (None, Cargo::Whole(body)),
        })
    }

    async fn read_form(
        &self,
        body: Bytes,
        boundary: String,
        deployment: Option<&str>,
        caller: &Caller,
    ) -> Result<(Option<String>, Cargo<P::Upload>), Refusal> {
        let (is_bound, bytes, between) = (!may_call_any(caller), body.clone(), boundary.clone());
        let read = move || {
            let span = multipart::model(&bytes, &between)?;
            let of_part = |object| call::models_of_part(str::from_utf8(object).ok()?);
            let objects = if is_bound { multipart::objects(&bytes, &between) } else { Vec::new() };
            let models: Vec<_> = objects.into_iter().map(of_part).collect();
            Ok::<_, Refusal>((span, models))
        };
        let (span, models) = heavy::computed(self.platform, body.len(), read).await?;
        for models in models {
            self.check_nested(models, caller)?;
        }
        let named = match &span {
            None => None,
            Some(span) => {
                let named = str::from_utf8(&body[span.clone()]).map_err(|_| {
                    let problem = "it must be text".into();
                    Refusal::InvalidParameter { param: "model".into(), problem }
                })?;
                call::check_model(named)?;
                Some(named)
            }
        };
        let model = deployment.or(named).map(str::to_owned);
        let place = span.map_or(Place::Missing { boundary }, Place::Value);
        Ok(match model {
            Some(model) => (Some(model), Cargo::Form { body, model: place }),
            None => (None, Cargo::Whole(body)),
        })
    }

    /// Holds models that are named further inside to the caller's own; `None` are too many of them.
    pub(super) fn check_nested(&self, models: Option<Vec<String>>, caller: &Caller) -> Result<(), Refusal> {
        let models = models.ok_or(Refusal::Ambiguous { problem: "it names too many models" })?;
        let aliases = &self.config.aliases;
        let forbidden = models.into_iter().find(|asked| {
            let resolved = aliases.get(asked).map_or(asked.as_str(), String::as_str);
            !caller.may_call(asked, resolved)
        });
        forbidden.map_or(Ok(()), |model| Err(Refusal::ModelNotFound { model }))
    }
}

/// Whether nothing that a body names could be another's.
pub(super) fn may_call_any(caller: &Caller) -> bool {
    caller.may_call_all_of(&Pattern::new("*"))
}

fn read_pairs<U>(body: Bytes, deployment: Option<&str>) -> Result<(Option<String>, Cargo<U>), Refusal> {
    let named = urlencoded::model(call::utf8(&body)?, urlencoded::Names::OfForm)?;
    let (named, span) = named.map(|named| (named.model, named.span)).unzip();
    let model = deployment.map(str::to_owned).or(named);
    Ok(match model {
        Some(model) => (Some(model), Cargo::Pairs { body, model: span }),
        None => (None, Cargo::Whole(body)),
    })
}

/// Bodies that may name a model in a form that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readable {
    Json,
    /// In parts.
    Form,
    /// Urlencoded.
    Pairs,
}

impl Readable {
    fn of(media_type: &str) -> Option<Self> {
        // Some look for the word alone.
        if media_type.contains("form-urlencoded") {
            Some(Self::Pairs)
        } else if media_type.contains("multipart/") {
            Some(Self::Form)
        } else if media_type.ends_with("json") {
            Some(Self::Json)
        } else {
            None
        }
    }
}

/// What a body may be whose media type says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guess {
    Json,
    /// To some readers it is JSON: those that look for a byte order mark, or for UTF-16.
    Unclear,
    Other,
}

/// Many an upstream reads JSON whatever the media type says.
fn guess(body: &[u8]) -> Guess {
    let begins_json = |byte: Option<&u8>| matches!(byte, Some(b'{' | b'['));
    if begins_json(body.trim_ascii_start().first()) && !body.contains(&0) {
        return Guess::Json;
    }
    let mut signs = body.iter().filter(|byte| {
        !byte.is_ascii_whitespace() && !matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff | 0x0b)
    });
    if begins_json(signs.next()) { Guess::Unclear } else { Guess::Other }
}

/// The model that the query names.
pub(super) fn queried(head: &Parts) -> Result<Option<urlencoded::Named>, Refusal> {
    head.uri.query().map_or(Ok(None), |query| urlencoded::model(query, urlencoded::Names::OfQuery))
}

pub(super) fn names_two() -> Refusal {
    Refusal::Ambiguous { problem: "its query names another model than the rest of it" }
}

pub(super) fn not_json() -> Refusal {
    let problem = "Send JSON, with the header 'Content-Type: application/json'".into();
    Refusal::UnsupportedMedia { problem }
}

fn unreadable() -> Refusal {
    let problem = "Send JSON or a form, with a Content-Type that says so".into();
    Refusal::UnsupportedMedia { problem }
}

fn has_body(head: &Parts) -> bool {
    head.headers.contains_key(header::TRANSFER_ENCODING)
        || head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
        // HTTP/2 needs neither header.
        || (head.version == http::Version::HTTP_2 && head.headers.contains_key(header::CONTENT_TYPE))
}

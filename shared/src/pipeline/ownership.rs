//! Whose the objects are that a call names, and those that its answer says were made.
//!
//! Where owners are remembered, a call that names an object of another tenant is told what it is told of one that nobody
//! has.

use bytes::Bytes;
use http::Method;
use http::request::Parts;

use super::access::Access;
use super::exchange::Journey;
use super::heavy;
use super::sent::{Cargo, Makes, Owner};
use crate::cache::fingerprint::{self, Fingerprint};
use crate::dialect::call::{self, Call, NamedObjects};
use crate::dialect::endpoint::{Address, Operation};
use crate::dialect::multipart;
use crate::identity::caller::Caller;
use crate::limits::OnStoreLoss;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::store::protocol::{Ownership, StoreLost};
use crate::wire::headers;

impl<P: Platform> Journey<'_, P> {
    /// Holds what passes through to its caller's own objects; `named` are those of [`Named`].
    pub(super) async fn own_passed(
        &self,
        access: &Access<'_>,
        (head, address): (&Parts, &Address),
        named: Vec<String>,
        caller: &Caller,
    ) -> Result<Option<Owner>, Refusal> {
        let Some(on_store_loss) = access.rule.owners else { return Ok(None) };
        let reached = access.reached;
        self.hold_to_own(&named, caller, on_store_loss).await?;
        let is_read = head.method == Method::GET || head.method == Method::POST;
        let makes = if address.passed.makes_object(&head.method, reached) {
            Makes::Itself
        } else if is_read && reached.id.is_some() && !address.passed.is_content() {
            Makes::Others
        } else {
            Makes::Nothing
        };
        Ok(Some(Owner { tenant: fingerprint::of_tenant(&caller.tenant), makes, on_store_loss }))
    }

    /// The same of a call that is understood.
    pub(super) async fn own_called(
        &self,
        operation: Operation,
        call: &Call,
        caller: &Caller,
    ) -> Result<Option<Owner>, Refusal> {
        let Some(on_store_loss) = self.config.passthrough.owners() else { return Ok(None) };
        let named = heavy::of_call(self.platform, call, |call| call::named_objects(call.text())).await;
        let NamedObjects { ids, stores, sounds } = named.ok_or(TOO_MANY)?;
        self.hold_to_own(&ids, caller, on_store_loss).await?;
        let stores = match operation {
            Operation::Responses => stores.unwrap_or(true),
            Operation::Chat => stores.unwrap_or(false) || sounds,
            Operation::Completions | Operation::Embeddings => false,
        };
        let makes = if stores { Makes::Itself } else { Makes::Nothing };
        Ok(Some(Owner { tenant: fingerprint::of_tenant(&caller.tenant), makes, on_store_loss }))
    }

    async fn hold_to_own(
        &self,
        ids: &[String],
        caller: &Caller,
        on_store_loss: OnStoreLoss,
    ) -> Result<(), Refusal> {
        if ids.is_empty() {
            return Ok(());
        }
        let named: Vec<Fingerprint> = ids.iter().map(|id| fingerprint::of_provider_object(id)).collect();
        let tenant = fingerprint::of_tenant(&caller.tenant);
        match self.platform.own(Ownership { tenant, named: &named, made: &[] }).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::NoSuchObject { id: only(ids) }),
            Err(StoreLost) => match on_store_loss {
                OnStoreLoss::Open => Ok(()),
                OnStoreLoss::Closed | OnStoreLoss::Local => Err(Refusal::OwnersUnknown),
            },
        }
    }
}

/// The objects that a call names which passes through: in its path, its query and its body.
#[derive(Default)]
pub(super) struct Named {
    ids: Vec<String>,
    /// What is to be read yet.
    body: Option<(Reading, Bytes)>,
}

impl Named {
    /// None where owners are not remembered.
    pub(super) fn by<U>(
        access: &Access<'_>,
        (head, address): (&Parts, &Address),
        cargo: &Cargo<U>,
    ) -> Result<Self, Refusal> {
        if access.rule.owners.is_none() {
            return Ok(Self::default());
        }
        let mut ids: Vec<String> =
            address.passed.ids(access.reached).into_iter().map(str::to_owned).collect();
        ids.extend(of_pairs(head.uri.query().unwrap_or_default().as_bytes()));
        Ok(Self { ids, body: Reading::of(cargo, head)?.zip(cargo.body()) })
    }

    /// All of them.
    pub(super) async fn read<P: Platform>(self, platform: &P) -> Result<Vec<String>, Refusal> {
        let mut ids = self.ids;
        if let Some((reading, body)) = self.body {
            ids.extend(heavy::computed(platform, body.len(), move || reading.ids(&body)).await?);
        }
        Ok(ids)
    }
}

const TOO_MANY: Refusal = Refusal::Ambiguous { problem: "it names too many objects" };

/// The object that a refusal names.
fn only(ids: &[String]) -> Option<String> {
    match ids {
        [id] => Some(id.chars().filter(|sign| !sign.is_control()).take(128).collect()),
        _ => None,
    }
}

/// How a body names objects.
enum Reading {
    Json,
    /// In parts between this boundary.
    Form(String),
    Pairs,
}

impl Reading {
    /// `None` where nothing of it is read.
    fn of<U>(cargo: &Cargo<U>, head: &Parts) -> Result<Option<Self>, Refusal> {
        let form = || Ok(multipart::boundary(&head.headers)?.map(|boundary| Self::Form(boundary.to_owned())));
        match cargo {
            Cargo::Call { .. } | Cargo::Named(_) => Ok(Some(Self::Json)),
            Cargo::Form { .. } => form(),
            Cargo::Pairs { .. } => Ok(Some(Self::Pairs)),
            Cargo::Whole(_) => {
                let kind = headers::media_type(&head.headers).unwrap_or_default();
                if kind.contains("multipart/") {
                    form()
                } else if kind.contains("form-urlencoded") {
                    Ok(Some(Self::Pairs))
                } else {
                    Ok(Some(Self::Json))
                }
            }
            // Files.
            Cargo::Stream(..) => Ok(None),
        }
    }

    fn ids(&self, body: &[u8]) -> Result<Vec<String>, Refusal> {
        match self {
            Self::Json => match str::from_utf8(body) {
                Ok(text) => call::named_objects(text).map(|named| named.ids).ok_or(TOO_MANY),
                Err(_) => Ok(Vec::new()),
            },
            Self::Form(boundary) => of_form(body, boundary),
            Self::Pairs => Ok(of_pairs(body).collect()),
        }
    }
}

fn of_form(body: &[u8], boundary: &str) -> Result<Vec<String>, Refusal> {
    let mut ids = Vec::new();
    for (name, value) in multipart::fields(body, boundary) {
        if call::is_object_field(&name) {
            ids.push(String::from_utf8_lossy(value).trim().to_owned());
        }
        if value.trim_ascii().starts_with(b"{") || value.trim_ascii().starts_with(b"[") {
            let text = String::from_utf8_lossy(value);
            ids.extend(call::named_objects(&text).ok_or(TOO_MANY)?.ids);
        }
    }
    Ok(ids)
}

fn of_pairs(text: &[u8]) -> impl Iterator<Item = String> {
    let pairs = form_urlencoded::parse(text);
    pairs
        .filter(|(name, value)| call::is_object_field(name) && !value.is_empty())
        .map(|(_, id)| id.into_owned())
}

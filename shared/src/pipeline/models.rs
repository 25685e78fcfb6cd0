//! `GET /v1/models`: the names a caller may use, and no others.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::config::Config;
use crate::identity::caller::Caller;
use crate::refusal::Refusal;
use crate::routing::plan;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

/// Aliases, exact routes and what globs advertise, by name.
pub(crate) fn all(config: &Config, caller: &Caller) -> Bytes {
    let exact =
        config.routes.iter().filter(|route| route.pattern.is_exact()).map(|route| route.pattern.as_str());
    let advertised = config.routes.iter().flat_map(|route| &route.advertise).map(String::as_str);
    let aliases = config.aliases.keys().map(String::as_str);
    let items: BTreeMap<&str, Item<'_>> = exact
        .chain(advertised)
        .chain(aliases)
        .filter_map(|name| Some((name, item(config, caller, name)?)))
        .collect();
    to_json(&List { object: "list", data: items.into_values().collect() })
}

/// Any name that a route takes, listed or not.
pub(crate) fn one(config: &Config, caller: &Caller, name: &str) -> Result<Bytes, Refusal> {
    item(config, caller, name)
        .map(|item| to_json(&item))
        .ok_or_else(|| Refusal::ModelNotFound { model: name.to_owned() })
}

fn item<'a>(config: &'a Config, caller: &Caller, name: &'a str) -> Option<Item<'a>> {
    let resolved = plan::resolve(config.table(), caller, name)?;
    let owner = config.routes[resolved.route].to.first()?.upstream;
    // When a model was made is its maker's affair; clients want an integer.
    Some(Item { id: name, object: "model", created: 0, owned_by: &config.upstream(owner).name })
}

fn to_json(value: &impl Serialize) -> Bytes {
    // Strings and integers alone cannot fail to serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}

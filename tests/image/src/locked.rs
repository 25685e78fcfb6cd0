//! The manifest as Spin resolves it, which is what a host reads: `/spin.json` in the pod.
//!
//! Source: Spin's `crates/locked-app/src/locked.rs` and `crates/loader/src/local.rs`. Fields are written in
//! the order of the structs, tables in the order of their names.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::Manifest;

/// An application whose component is named by its digest.
#[derive(Debug, Serialize)]
pub struct Locked<'a> {
    /// 0 is what Spin writes where nothing of a host is required, and every host reads.
    spin_lock_version: u32,
    metadata: Metadata<'a>,
    variables: BTreeMap<&'a str, Variable<'a>>,
    triggers: Vec<Trigger<'a>>,
    components: Vec<Component<'a>>,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    name: &'a str,
    trigger: Kind,
    /// Settings of all triggers of a kind, of which there are none.
    triggers: Nothing,
    version: &'a str,
}

#[derive(Debug, Serialize)]
struct Nothing {}

#[derive(Debug, Serialize)]
struct Kind {
    #[serde(rename = "type")]
    name: &'static str,
}

#[derive(Debug, Serialize)]
struct Variable<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
}

#[expect(clippy::struct_field_names, reason = "they are Spin's names")]
#[derive(Debug, Serialize)]
struct Trigger<'a> {
    id: String,
    trigger_type: &'static str,
    trigger_config: Http<'a>,
}

#[derive(Debug, Serialize)]
struct Http<'a> {
    component: &'a str,
    route: &'a str,
}

#[derive(Debug, Serialize)]
struct Component<'a> {
    id: &'a str,
    metadata: Allowed<'a>,
    source: Source<'a>,
    config: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Allowed<'a> {
    allowed_outbound_hosts: &'a [String],
}

#[derive(Debug, Serialize)]
struct Source<'a> {
    content_type: &'static str,
    digest: &'a str,
}

/// The application of `manifest` with the component of that digest, `sha256:…`.
pub fn lock<'a>(manifest: &'a Manifest, digest: &'a str) -> Locked<'a> {
    let application = &manifest.application;
    let variables = manifest.variables.iter().map(|(name, variable)| {
        let (description, default) = (variable.description.as_deref(), variable.default.as_deref());
        (name.as_str(), Variable { description, default, secret: variable.secret })
    });
    let triggers = manifest.trigger.http.iter().map(|trigger| Trigger {
        id: format!("trigger-{}", trigger.component),
        trigger_type: "http",
        trigger_config: Http { component: &trigger.component, route: &trigger.route },
    });
    let components = manifest.component.iter().map(|(id, component)| Component {
        id,
        metadata: Allowed { allowed_outbound_hosts: &component.allowed_outbound_hosts },
        source: Source { content_type: "application/wasm", digest },
        config: &component.variables,
    });
    Locked {
        spin_lock_version: 0,
        metadata: Metadata {
            description: application.description.as_deref(),
            name: &application.name,
            trigger: Kind { name: "http" },
            triggers: Nothing {},
            version: &application.version,
        },
        variables: variables.collect(),
        triggers: triggers.collect(),
        components: components.collect(),
    }
}

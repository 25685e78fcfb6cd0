//! What `spin.toml` says, as far as an image can carry it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A Spin manifest, version 2. A field that is not here is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "spin_manifest_version")]
    pub(crate) version: u32,
    pub(crate) application: Application,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) trigger: Triggers,
    pub(crate) component: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    pub(crate) default: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) secret: bool,
    pub(crate) description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Triggers {
    pub(crate) http: Vec<HttpTrigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpTrigger {
    pub(crate) route: String,
    pub(crate) component: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Component {
    /// Where the component lies, from the manifest; it is handed in beside the manifest.
    #[serde(rename = "source")]
    pub(crate) _source: String,
    #[serde(default)]
    pub(crate) allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    /// How it is made, which no host needs to know.
    #[serde(default, rename = "build")]
    pub(crate) _build: Option<IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest; in words, why it cannot be an image.
    pub fn read(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if manifest.version != 2 {
            return Err(format!("a manifest of version {}, where 2 is known", manifest.version));
        }
        if manifest.component.len() != 1 {
            return Err(format!("{} components, where one is known", manifest.component.len()));
        }
        let undecided = |it: &&Variable| it.required == it.default.is_some();
        if let Some(variable) = manifest.variables.iter().find(|(_, it)| undecided(it)) {
            return Err(format!(
                "the variable {} is neither required nor has it a default, or both",
                variable.0
            ));
        }
        let nobodys = manifest.trigger.http.iter().find(|it| !manifest.component.contains_key(&it.component));
        if let Some(trigger) = nobodys {
            return Err(format!("{} leads to {}, which is no component", trigger.route, trigger.component));
        }
        Ok(manifest)
    }
}

//! `spin.toml`: what a deployment says of its component. Only what this host heeds is read; the rest is Spin's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::allowed::AllowedHosts;
use super::variables::Variables;
use crate::cli::Failed;

const NAME: &str = "spin.toml";

/// One component's part of it.
#[derive(Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    variables: BTreeMap<String, Variable>,
    component: Component,
}

/// A variable of the application.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Variable {
    pub(super) default: Option<String>,
    required: bool,
}

#[derive(Debug, Deserialize)]
struct Document {
    spin_manifest_version: toml::Value,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    #[serde(default)]
    component: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
struct Component {
    source: Source,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<Mount>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Source {
    Path(PathBuf),
    /// Of a registry or a URL.
    Elsewhere(serde::de::IgnoredAny),
}

/// Files that the component may read.
#[derive(Debug, Deserialize, Clone)]
#[serde(untagged)]
pub(super) enum Mount {
    /// At the same path below `/`.
    Pattern(String),
    Folder {
        source: PathBuf,
        destination: String,
    },
}

impl Manifest {
    /// The one that is named, or the nearest beside `wasm` or above it.
    pub(super) fn find(wasm: &Path, named: Option<&Path>) -> Result<Self, Failed> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => nearest(wasm)?,
        };
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|e| Failed::because(&path.display().to_string(), e))?;
        Self::parse(&path, &text, wasm)
    }

    /// The part of the component whose source has the name of `wasm`; where there is one only, that one's.
    pub(super) fn parse(path: &Path, text: &str, wasm: &Path) -> Result<Self, Failed> {
        let failed = |why: String| Failed(format!("{}: {why}", path.display()));
        let document: Document = toml::from_str(text).map_err(|e| failed(e.to_string()))?;
        let is_second = match &document.spin_manifest_version {
            toml::Value::Integer(version) => *version == 2,
            toml::Value::String(version) => version == "2",
            _ => false,
        };
        if !is_second {
            return Err(failed("spin_manifest_version: only 2 is known".to_owned()));
        }
        let (mut named, mut others) = (Vec::new(), Vec::new());
        for component in document.component.into_values() {
            let is_named = match &component.source {
                Source::Path(source) => source.file_name() == wasm.file_name(),
                Source::Elsewhere(_) => false,
            };
            if is_named { named.push(component) } else { others.push(component) }
        }
        let candidates = if named.is_empty() { others } else { named };
        let count = candidates.len();
        let mut candidates = candidates.into_iter();
        match (candidates.next(), candidates.next()) {
            (Some(component), None) => {
                Ok(Self { path: path.to_owned(), variables: document.variables, component })
            }
            (None, _) => Err(failed("no component".to_owned())),
            (Some(_), Some(_)) => {
                let wasm = wasm.display();
                Err(failed(format!(
                    "which of its {count} components is {wasm}? `source` has to end in its name"
                )))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    pub(super) fn required_variables(&self) -> impl Iterator<Item = &String> {
        self.variables.iter().filter(|(_, variable)| variable.required).map(|(name, _)| name)
    }

    /// Name → template.
    pub(super) fn component_variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.component.variables.iter()
    }

    pub(super) fn environment(&self) -> impl Iterator<Item = (&String, &String)> {
        self.component.environment.iter()
    }

    pub(super) fn key_value_stores(&self) -> &[String] {
        &self.component.key_value_stores
    }

    pub(super) fn files(&self) -> &[Mount] {
        &self.component.files
    }

    /// The folder that its paths start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// With variables in their places. An entry whose variable is empty allows nothing.
    pub(super) fn allowed_hosts(&self, variables: &Variables) -> Result<AllowedHosts, Failed> {
        let mut allowed = AllowedHosts::default();
        for template in &self.component.allowed_outbound_hosts {
            let failed = |why: String| {
                Failed(format!("{}: allowed_outbound_hosts: `{template}`: {why}", self.path.display()))
            };
            let entry = variables.render(self, template).map_err(|why| failed(why.to_string()))?;
            if entry.is_empty() {
                continue;
            }
            allowed.add(&entry).map_err(|why| failed(why.to_string()))?;
        }
        Ok(allowed)
    }
}

fn nearest(wasm: &Path) -> Result<PathBuf, Failed> {
    let absolute = std::path::absolute(wasm).map_err(|e| Failed::because(&wasm.display().to_string(), e))?;
    let found = absolute.ancestors().skip(1).map(|folder| folder.join(NAME)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Failed(format!("no {NAME} beside {} or above it; --manifest names one", wasm.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "two"
        [component.one]
        source = "target/one.wasm"
        allowed_outbound_hosts = ["https://one.example"]
        tool = { is = "tolerated" }
        [component.two]
        source = { url = "https://example.com/two.wasm", digest = "sha256:00" }
    "#;

    fn parse(text: &str, wasm: &str) -> Result<Manifest, String> {
        Manifest::parse("spin.toml".as_ref(), text, wasm.as_ref()).map_err(|Failed(why)| why)
    }

    #[test]
    fn the_component_is_the_one_with_the_files_name() {
        let manifest = parse(TWO, "/elsewhere/one.wasm").unwrap();
        assert_eq!(manifest.component.allowed_outbound_hosts, ["https://one.example"]);
    }

    #[test]
    fn what_it_cannot_mean_is_told() {
        for (text, wasm, why) in [
            (TWO, "three.wasm", "which of its 2 components is three.wasm?"),
            ("spin_manifest_version = 2", "a.wasm", "no component"),
            ("spin_manifest_version = 1", "a.wasm", "only 2 is known"),
            ("", "a.wasm", "spin_manifest_version"),
        ] {
            let told = parse(text, wasm).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}

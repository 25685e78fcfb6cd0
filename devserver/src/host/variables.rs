//! Spin's variables: what a deployment tells its component.
//!
//! A variable of the application has the value of, in this order: a flag of this command, `SPIN_VARIABLE_NAME` as
//! on Spin, `NAME` in the environment, its default in `spin.toml`. The component sees those that its own table
//! names, by the names it gives them there.
//!
//! One that the component's table does not name is undefined on Spin. Here it is looked for all the same, so that
//! a configuration that says `{ env = "OPENAI_API_KEY" }` works before `spin.toml` knows of it; the log says that
//! Spin would not give it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::bindings::fermyon::spin::variables::{Error, Host};
use super::guest::Guest;
use super::manifest::Manifest;
use super::template::{self, Unrendered};
use crate::cli::Failed;

/// Most names that are told of in the log, each once.
const TOLD: usize = 64;

/// Values that a flag of this command gives.
pub(super) type Given = Vec<(&'static str, String)>;

/// All values, settled at start but for names that nobody declared.
pub(super) struct Variables {
    /// Of the component's own table, by its names.
    declared: BTreeMap<String, String>,
    given: BTreeMap<&'static str, String>,
    environment: Environment,
    /// Undeclared names that the log has told of.
    told: Mutex<BTreeSet<String>>,
}

/// Where a name of the environment is looked up.
pub(super) type Environment = fn(&str) -> Option<String>;

/// This process's.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl fmt::Debug for Variables {
    /// Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").field("declared", &self.declared.keys()).finish_non_exhaustive()
    }
}

impl Variables {
    /// Fails with every variable that must have a value and has none.
    pub(super) fn new(manifest: &Manifest, given: Given, environment: Environment) -> Result<Self, Failed> {
        let mut variables = Self::empty(given, environment);
        let mut faults = Vec::new();
        for (name, template) in manifest.component_variables() {
            match variables.render(manifest, template) {
                Ok(value) => drop(variables.declared.insert(name.clone(), value)),
                Err(why) => faults.push(format!("component variable `{name}`: {why}")),
            }
        }
        for name in manifest.required_variables() {
            if variables.outside(name).is_none() {
                let upper = name.to_ascii_uppercase();
                faults
                    .push(format!("variable `{name}` is required: SPIN_VARIABLE_{upper} or {upper} sets it"));
            }
        }
        if faults.is_empty() {
            Ok(variables)
        } else {
            Err(Failed(format!("{}: {}", manifest.path().display(), faults.join("\n"))))
        }
    }

    /// Leaves out what has no value, to look into what there is.
    pub(super) fn lenient(manifest: &Manifest, given: Given, environment: Environment) -> Self {
        let mut variables = Self::empty(given, environment);
        for (name, template) in manifest.component_variables() {
            if let Ok(value) = variables.render(manifest, template) {
                variables.declared.insert(name.clone(), value);
            }
        }
        variables
    }

    fn empty(given: Given, environment: Environment) -> Self {
        let given = given.into_iter().collect();
        Self { declared: BTreeMap::new(), given, environment, told: Mutex::default() }
    }

    /// A template of `spin.toml`, which names variables of the application.
    pub(super) fn render(&self, manifest: &Manifest, template: &str) -> Result<String, Unrendered> {
        template::render(template, |name| {
            let declared = manifest.variable(name)?;
            self.outside(name).or_else(|| declared.default.clone())
        })
    }

    /// What this machine says, whatever `spin.toml` does.
    pub(super) fn outside(&self, name: &str) -> Option<String> {
        let upper = name.to_ascii_uppercase();
        let variable = || (self.environment)(&format!("SPIN_VARIABLE_{upper}"));
        self.given.get(name).cloned().or_else(variable).or_else(|| (self.environment)(&upper))
    }

    /// As the component is given it.
    pub(super) fn find(&self, name: &str) -> Option<String> {
        self.declared.get(name).cloned().or_else(|| self.outside(name))
    }

    fn is_news(&self, name: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD && told.insert(name.to_owned())
    }
}

/// Spin's rule for names: words of a-z and 0-9 that begin with a letter, joined by single underscores.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('_').all(|w| !w.is_empty() && is_word(w))
}

impl Host for Guest {
    async fn get(&mut self, name: String) -> Result<String, Error> {
        if !is_name(&name) {
            return Err(Error::InvalidName(name));
        }
        let variables = &self.settings().variables;
        let value = variables.find(&name);
        if value.is_some() && !variables.declared.contains_key(&name) && variables.is_news(&name) {
            tracing::warn!(
                "spin.toml gives the component no variable `{name}`: on Spin it would be undefined"
            );
        }
        value.ok_or(Error::Undefined(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [variables]
        plain = { default = "of the manifest" }
        own = { default = "of the manifest" }
        spin = { default = "of the manifest" }
        flag = { default = "of the manifest" }
        must = { required = true }
        [[trigger.http]]
        route = "/..."
        component = "it"
        [component.it]
        source = "it.wasm"
        [component.it.variables]
        plain = "{{ plain }}"
        own = "{{ own }}"
        spin = "{{ spin }}"
        flag = "{{ flag }}"
        both = "{{ plain }}, {{ must }}"
    "#;

    fn surroundings(name: &str) -> Option<String> {
        let value = match name {
            "OWN" | "SPIN" | "FLAG" | "MUST" | "UNDECLARED" => "of the environment",
            "SPIN_VARIABLE_SPIN" | "SPIN_VARIABLE_FLAG" => "of Spin",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn manifest() -> Manifest {
        Manifest::parse("spin.toml".as_ref(), MANIFEST, "it.wasm".as_ref()).unwrap()
    }

    #[test]
    fn the_nearest_source_of_a_value_wins() {
        let given = vec![("flag", "of the flag".to_owned())];
        let variables = Variables::new(&manifest(), given, surroundings).unwrap();
        for (name, value) in [
            ("plain", Some("of the manifest")),
            ("own", Some("of the environment")),
            ("spin", Some("of Spin")),
            ("flag", Some("of the flag")),
            ("both", Some("of the manifest, of the environment")),
            ("undeclared", Some("of the environment")),
            ("unknown", None),
        ] {
            assert_eq!(variables.find(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn a_required_variable_without_a_value_is_told_of() {
        let Failed(why) = Variables::new(&manifest(), Vec::new(), |_| None).unwrap_err();
        assert!(why.contains("variable `must` is required: SPIN_VARIABLE_MUST or MUST sets it"), "{why}");
    }

    #[test]
    fn names_follow_spins_rule() {
        for (name, is_good) in [
            ("a", true),
            ("a1_b2", true),
            ("", false),
            ("1a", false),
            ("A", false),
            ("a__b", false),
            ("a_", false),
            ("_a", false),
            ("a-b", false),
        ] {
            assert_eq!(is_name(name), is_good, "{name}");
        }
    }
}

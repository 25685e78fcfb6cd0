//! What the component can be told, by its manifest.

use std::collections::BTreeSet;

/// The part of `edge/spin/spin.toml` that pods depend on.
#[derive(Clone, Debug)]
pub struct Component {
    /// Every variable it has.
    pub variables: BTreeSet<String>,
    /// Those that say where an upstream is.
    pub hosts: BTreeSet<String>,
}

impl Component {
    /// Reads a Spin manifest; in words, why it is none.
    pub fn read(manifest: &str) -> Result<Self, String> {
        let manifest: toml::Table = manifest.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let variables = manifest.get("variables").and_then(toml::Value::as_table);
        let variables: BTreeSet<String> =
            variables.into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let hosts = variables.iter().filter(|name| name.ends_with("_host") && *name != "redis_host");
        Ok(Self { hosts: hosts.cloned().collect(), variables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_hosts_are_read() {
        let manifest = "[variables]\nconfig = {}\nredis_host = {}\nupstream_host = { default = \"x\" }\n";
        let component = Component::read(manifest).unwrap();
        assert_eq!(component.variables.len(), 3);
        assert_eq!(component.hosts, BTreeSet::from(["upstream_host".to_owned()]));
    }
}

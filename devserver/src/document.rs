//! The configuration's document and what it refers to, read from this machine.

use std::path::Path;

use weir::Config;
use weir::config::{Document, Faults, Format, Loaded, Prepared, Surroundings};
use weir::routing::upstream::connection::Dialer;

use crate::client::NativeDialer;

/// What the gateway serves when it is given no file.
const BUILT_IN: &str = include_str!("../default.toml");

/// Environment variables and files of this process.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) simulated: http::Uri,
}

impl Surroundings for Machine {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }

    fn simulated(&self) -> Option<http::Uri> {
        Some(self.simulated.clone())
    }

    fn dialer(&self) -> Option<&dyn Dialer> {
        Some(&NativeDialer)
    }
}

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum Unloadable {
    Unreadable(String),
    Faulty(Faults),
}

impl std::fmt::Display for Unloadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::Faulty(faults) => faults.fmt(f),
        }
    }
}

/// Reads and checks a file, or what is built in.
pub(crate) fn load(file: Option<&Path>, machine: &impl Surroundings) -> Result<Loaded, Unloadable> {
    let Some(path) = file else {
        let built_in = Document { name: "built-in", text: BUILT_IN, format: Format::Toml };
        return Config::load(&built_in, machine).map_err(Unloadable::Faulty);
    };
    let text = read(path)?;
    let document = Document { name: &path.display().to_string(), text: &text, format: format(path, &text) };
    Config::load(&document, machine).map_err(Unloadable::Faulty)
}

/// Checks a file for a place that is not this machine.
pub(crate) fn prepare(path: &Path) -> Result<Prepared, Unloadable> {
    let text = read(path)?;
    let document = Document { name: &path.display().to_string(), text: &text, format: format(path, &text) };
    Config::prepare(&document).map_err(Unloadable::Faulty)
}

fn read(path: &Path) -> Result<String, Unloadable> {
    std::fs::read_to_string(path).map_err(|e| Unloadable::Unreadable(format!("{}: {e}", path.display())))
}

/// By the file's ending, unless it was prepared.
fn format(path: &Path, text: &str) -> Format {
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    match Format::of(text) {
        Format::Prepared => Format::Prepared,
        Format::Toml | Format::Json if is_json => Format::Json,
        Format::Toml | Format::Json => Format::Toml,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_good() {
        let machine = Machine { simulated: http::Uri::from_static("http://127.0.0.1:1/v1") };
        let loaded = load(None, &machine).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

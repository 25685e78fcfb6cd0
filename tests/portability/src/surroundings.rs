//! Configurations for tests, by the one door there is: [`Config::load`].

use std::collections::BTreeMap;
use std::sync::Arc;

use weir::Config;
use weir::config::{Document, Format, Surroundings};

/// Surroundings in which nothing is found but what is put there.
#[derive(Clone, Debug, Default)]
pub struct Here {
    pub env: BTreeMap<String, String>,
}

impl Surroundings for Here {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("no such file".into())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}

/// The configuration that `toml` says. `KEY_A`, `KEY_B` … hold `sk-canary-a`, `sk-canary-b` …
#[expect(clippy::panic, reason = "a test's own configuration is wrong")]
pub fn config(toml: &str) -> Arc<Config> {
    let key = |letter: char| (format!("KEY_{}", letter.to_ascii_uppercase()), format!("sk-canary-{letter}"));
    let here = Here { env: ('a'..='e').map(key).collect() };
    // What operators see is seen here, unless the document says who sees it.
    let says = toml.lines().any(|line| line.trim_start().starts_with("public"));
    let public = if says { "" } else { "public = [\"explain\", \"metrics\", \"ready\"]\n" };
    let text = &format!("{public}{toml}");
    match Config::load(&Document { name: "test", text, format: Format::Toml }, &here) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(faults) => panic!("{faults}"),
    }
}

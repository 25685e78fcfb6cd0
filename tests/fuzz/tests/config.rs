//! A configuration: it holds and means something, or every fault is told and no secret with it.
#![cfg(test)]

use weir::Config;
use weir::config::{Document, Faults, Format, Loaded, Surroundings};
use weir::identity::access::Auth;
use weir_fuzz::CANARY;

/// Everything that is asked for is there, and must never be seen.
#[derive(Debug)]
struct Everything;

impl Surroundings for Everything {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "MISSING" => None,
            "HOLYSHEEP_BASE_URL" => Some("https://relay.example/v1".into()),
            "CONTROL" => Some(format!("{CANARY}\r\nx-injected: 1")),
            _ => Some(CANARY.into()),
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path.contains("missing") { Err("no such file".into()) } else { Ok(format!("{CANARY}\n")) }
    }

    fn simulated(&self) -> Option<http::Uri> {
        Some(http::Uri::from_static("http://127.0.0.1:9/v1"))
    }
}

#[test]
fn config() {
    bolero::check!().for_each(holds);
}

#[test]
fn config_damaged() {
    weir_fuzz::mutants("config", 60).for_each(|bytes| holds(&bytes));
}

fn holds(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let in_toml = load(text, Format::Toml);
    let in_json = load(text, Format::Json);
    for outcome in [&in_toml, &in_json] {
        match outcome {
            Ok(loaded) => is_sound(loaded),
            Err(faults) => are_told(faults, text),
        }
    }
    if let Ok(loaded) = &in_toml {
        means_the_same_in_json(loaded, text);
    }
}

fn load(text: &str, format: Format) -> Result<Loaded, Faults> {
    Config::load(&Document { name: "weir", text, format }, &Everything)
}

fn is_sound(loaded: &Loaded) {
    let config = &loaded.config;
    assert!(!format!("{loaded:?}").contains(CANARY), "a secret is printed");
    assert!(!config.upstreams.is_empty() && !config.routes.is_empty());
    for route in &config.routes {
        assert!(!route.to.is_empty() && route.retry.attempts >= 1);
        for target in route.to.iter().chain(&route.fallback) {
            assert!(target.upstream.0 < config.upstreams.len());
        }
        assert!(route.to.iter().any(|target| target.weight > 0), "somebody gets it");
    }
    for upstream in &config.upstreams {
        assert!(upstream.base_url.scheme().is_some() && upstream.base_url.host().is_some());
    }
    // Chains are followed to their end.
    assert!(config.aliases.values().all(|model| !config.aliases.contains_key(model)));
    if config.auth == (Auth::Open { on_any_address: false }) {
        assert!(config.listen.ip().is_loopback());
    }
    assert!(config.check_listen(config.listen, "--listen").is_ok());
}

fn are_told(faults: &Faults, text: &str) {
    assert!(faults.iter().len() > 0, "refused, and nobody knows why");
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    for fault in faults {
        assert!(!fault.problem.is_empty());
        assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault}");
        assert!(!fault.to_string().contains(['\r', '\n']), "{fault:?}");
    }
    assert!(!faults.to_string().contains(CANARY), "{faults}");
}

/// The shape is one, whatever it is written in.
fn means_the_same_in_json(loaded: &Loaded, text: &str) {
    let tree: toml::Value = toml::from_str(text).unwrap();
    let json = serde_json::to_string_pretty(&tree).unwrap();
    let again = load(&json, Format::Json).unwrap();
    assert_eq!(format!("{:?}", again.config), format!("{:?}", loaded.config));
    assert_eq!(again.warnings.len(), loaded.warnings.len());
}

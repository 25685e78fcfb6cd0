//! The configuration's document and what it refers to, as the runtime finds them.

use std::fmt;

use weir::Config;
use weir::config::{Document, Fault, Faults, Format, Redis, StoreKind, Surroundings};

/// The variable that may hold the whole document: a `ConfigMap` can carry it.
const VARIABLE: &str = "CONFIG";

/// Where the document is mounted otherwise.
const FILES: [&str; 2] = ["/weir.toml", "/weir.json"];

/// The variable that says where state is kept, where the document leaves that to the process.
const REDIS: &str = "REDIS_URL";

/// A configuration that this runtime can serve by.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) redis: Redis,
    pub(crate) warnings: Vec<Fault>,
}

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum Unloadable {
    Missing,
    Faulty(Faults),
    /// An instance lives for one request: what it counted would be gone with it.
    NoStore,
    NoRedis,
}

impl fmt::Display for Unloadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no configuration: set the variable `config`, or mount /weir.toml"),
            Self::Faulty(faults) => faults.fmt(f),
            Self::NoStore => f.write_str(
                "the configuration keeps its state in the process, and here a process is one request: write \
                 [store] kind = \"redis\", url = { env = \"REDIS_URL\" }, or set the variable `redis_url`",
            ),
            Self::NoRedis => f.write_str("the variable `redis_url` is not the address of a Redis"),
        }
    }
}

/// Reads and checks the document.
pub(crate) fn load(surroundings: &dyn Surroundings) -> Result<Loaded, Unloadable> {
    let (name, text) = find(surroundings).ok_or(Unloadable::Missing)?;
    let document = Document { name, text: &text, format: Format::of(&text) };
    let loaded = Config::load(&document, surroundings).map_err(Unloadable::Faulty)?;
    let redis = match &loaded.config.store.kind {
        StoreKind::Redis(place) => place.clone(),
        StoreKind::Embedded => {
            let url = surroundings.env(REDIS).ok_or(Unloadable::NoStore)?;
            Redis::at(&url).ok_or(Unloadable::NoRedis)?
        }
    };
    Ok(Loaded { config: loaded.config, redis, warnings: loaded.warnings })
}

fn find(surroundings: &dyn Surroundings) -> Option<(&'static str, String)> {
    if let Some(text) = surroundings.env(VARIABLE) {
        return Some(("config", text));
    }
    FILES.into_iter().find_map(|path| Some((path, surroundings.file(path).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAM: &str = "auth = \"open\"\nopen_on_any_address = true\n\
        upstream.a.dialect = \"openai\"\nupstream.a.base_url = \"https://a.example/v1\"\nupstream.a.api_key = { env = \"A_KEY\" }\n\
        route = [{ model = \"*\", to = [\"a\"] }]\n";

    const IN_JSON: &str = r#"
        {"auth": "open", "open_on_any_address": true,
         "upstream": {"a": {"dialect": "openai", "base_url": "https://a.example/v1", "api_key": {"env": "A_KEY"}}},
         "route": [{"model": "*", "to": ["a"]}],
         "store": {"kind": "redis", "url": "redis://json"}}"#;

    /// Names and values, files among them.
    struct Here(Vec<(&'static str, String)>);

    impl Here {
        fn find(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
        }
    }

    impl Surroundings for Here {
        fn env(&self, name: &str) -> Option<String> {
            self.find(name)
        }

        fn file(&self, path: &str) -> Result<String, String> {
            self.find(path).ok_or_else(|| "not found".into())
        }

        fn simulated(&self) -> Option<http::Uri> {
            None
        }
    }

    fn with_redis() -> String {
        format!("{UPSTREAM}store = {{ kind = \"redis\", url = \"redis://toml\" }}\n")
    }

    /// With the line break that a file ends with.
    fn prepared() -> String {
        let text = with_redis();
        let document = Document { name: "weir.toml", text: &text, format: Format::Toml };
        Config::prepare(&document).unwrap().text
    }

    #[test]
    fn a_document_comes_from_the_variable_or_else_from_a_file() {
        let redis_url = ("REDIS_URL", "redis://variable".to_owned());
        for (label, here, host) in [
            ("variable", vec![("CONFIG", with_redis()), ("/weir.toml", UPSTREAM.into())], "toml"),
            ("variable in JSON", vec![("CONFIG", IN_JSON.into())], "json"),
            ("variable, prepared", vec![("CONFIG", prepared())], "toml"),
            ("file", vec![("/weir.toml", with_redis())], "toml"),
            ("file in JSON", vec![("/weir.json", IN_JSON.into())], "json"),
            ("a store of the variable's", vec![("CONFIG", UPSTREAM.into()), redis_url.clone()], "variable"),
            ("a store of the document's own", vec![("CONFIG", with_redis()), redis_url], "toml"),
        ] {
            let loaded = load(&Here(here)).unwrap_or_else(|why| panic!("{label}: {why}"));
            assert_eq!(loaded.redis.host, host, "{label}");
            assert_eq!(loaded.config.routes.len(), 1, "{label}");
            let is_of_the_key = |warning: &&_| ToString::to_string(*warning).contains("A_KEY");
            assert_eq!(
                loaded.warnings.iter().filter(is_of_the_key).count(),
                1,
                "{label}: nobody has told its key"
            );
        }
    }

    #[test]
    fn what_cannot_be_served_by_is_refused_in_words() {
        for (here, expected) in [
            (vec![], "no configuration: set the variable `config`"),
            (vec![("CONFIG", "rout = 1".to_owned())], "rout"),
            (vec![("CONFIG", "{".to_owned())], "config"),
            (
                vec![("CONFIG", prepared().replacen('\n', "\nAAAA", 1))],
                "config: a prepared document that was",
            ),
            (vec![("CONFIG", UPSTREAM.to_owned())], "[store] kind = \"redis\""),
            (
                vec![("CONFIG", UPSTREAM.to_owned()), ("REDIS_URL", "http://u:secret@h".to_owned())],
                "`redis_url` is not the address",
            ),
        ] {
            let why = load(&Here(here)).unwrap_err().to_string();
            assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        }
    }
}

//! Which breakers a configuration can have.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::dialect::call;
use crate::routing::plan;
use crate::routing::route::{Route, Target};

/// Names that a refusal tells.
const MOST_TOLD: usize = 20;

/// Whether some request could come before a breaker of this name.
pub(super) fn can_be(config: &Config, name: &str) -> bool {
    let Some((upstream, model)) = name.split_once('/') else {
        // It holds for its models as well.
        return config.upstreams.iter().any(|known| known.name == name);
    };
    if call::check_model(model).is_err() {
        return false;
    }
    let route = route(config, model);
    deployments(config).any(|(at, of, target)| {
        config.upstream(target.upstream).name == upstream
            && (target.model.is_some() || route == Some(at))
            && plan::breaker(config.table(), of, target, model) == name
    })
}

/// Those that the configuration names by itself: every upstream's, and of those for models the ones whose
/// models it names.
pub(super) fn all(config: &Config) -> Vec<String> {
    let exact = config.routes.iter().filter(|route| route.pattern.is_exact());
    let exact = exact.map(|route| route.pattern.as_str());
    let advertised =
        config.routes.iter().flat_map(|route| &route.advertise).map(|name| resolved(config, name));
    let models: BTreeSet<&str> =
        exact.chain(advertised).chain(config.aliases.values().map(String::as_str)).collect();
    let mut names: BTreeSet<String> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    for model in models {
        let Some(route) = route(config, model).map(|at| &config.routes[at]) else { continue };
        names.extend(targets(route).map(|target| plan::breaker(config.table(), route, target, model)));
    }
    // Behind a glob there may be no model that is named, but a target may name its own.
    let renamed = deployments(config).filter(|(_, _, target)| target.model.is_some());
    names.extend(renamed.map(|(_, route, target)| plan::breaker(config.table(), route, target, "")));
    names.into_iter().collect()
}

/// The first of them, to be told.
pub(super) fn some(config: &Config) -> String {
    let names = all(config);
    let more = names.len().saturating_sub(MOST_TOLD);
    let told: Vec<String> = names.into_iter().take(MOST_TOLD).map(|name| format!("`{name}`")).collect();
    match more {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

fn resolved<'a>(config: &'a Config, name: &'a str) -> &'a str {
    config.aliases.get(name).map_or(name, String::as_str)
}

/// The route that takes a model, by its place.
fn route(config: &Config, model: &str) -> Option<usize> {
    config.routes.iter().position(|route| route.pattern.matches(model))
}

fn targets(route: &Route) -> impl Iterator<Item = &Target> {
    route.to.iter().chain(&route.fallback)
}

/// Where every route leads, with the route and its place.
fn deployments(config: &Config) -> impl Iterator<Item = (usize, &Route, &Target)> {
    let routes = config.routes.iter().enumerate();
    routes.flat_map(|(at, route)| targets(route).map(move |target| (at, route, target)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Format, Surroundings};

    struct Nowhere;

    impl Surroundings for Nowhere {
        fn env(&self, _: &str) -> Option<String> {
            None
        }

        fn file(&self, _: &str) -> Result<String, String> {
            Err("no such file".into())
        }

        fn simulated(&self) -> Option<http::Uri> {
            None
        }
    }

    fn config(toml: &str) -> Config {
        let document = Document { name: "test", text: toml, format: Format::Toml };
        Config::load(&document, &Nowhere).unwrap().config
    }

    fn one() -> Config {
        config(
            r#"
            auth = "open"
            [upstream.whole]
            dialect = "openai"
            base_url = "https://whole.example/v1"
            breaker = { per_model = false }
            [upstream.each]
            dialect = "openai"
            base_url = "https://each.example/v1"
            [alias]
            gpt-nick = "gpt-9"
            [[route]]
            model = "exact"
            to = ["whole", "each"]
            [[route]]
            model = "gpt-*"
            to = ["whole"]
            fallback = [{ upstream = "each", model = "org/up" }, "each"]
            advertise = ["gpt-4o", "gpt-nick"]
            [[route]]
            model = "own-*"
            to = ["whole"]
            breaker = { consecutive = 3 }
            "#,
        )
    }

    #[test]
    fn a_breaker_that_no_request_can_meet_is_none() {
        for (name, expected) in [
            ("whole", true),
            ("each", true),
            ("none", false),
            ("", false),
            ("each/exact", true),
            ("each/org/up", true),
            ("each/gpt-anything", true),
            ("each/own-x", false),
            ("each/other", false),
            ("whole/exact", false),
            ("whole/gpt-4o", false),
            ("whole/own-x", true),
            ("whole/own-x\n", false),
            ("whole/", false),
            ("/own-x", false),
            ("none/exact", false),
        ] {
            assert_eq!(can_be(&one(), name), expected, "{name}");
        }
    }

    #[test]
    fn what_the_configuration_names_is_listed_and_can_be() {
        let config = one();
        let names = all(&config);
        let expected = ["each", "each/exact", "each/gpt-4o", "each/gpt-9", "each/org/up", "whole"];
        assert_eq!(names, expected);
        assert!(names.iter().all(|name| can_be(&config, name)));
    }

    #[test]
    fn a_refusal_tells_some_names_and_how_many_there_are() {
        assert_eq!(some(&one()), "`each`, `each/exact`, `each/gpt-4o`, `each/gpt-9`, `each/org/up`, `whole`");
        let upstream =
            |n| format!("[upstream.u{n:02}]\ndialect = \"openai\"\nbase_url = \"https://u.example\"\n");
        let many: String = (0..25).map(upstream).collect();
        let told = some(&config(&format!("auth = \"open\"\n{many}[[route]]\nmodel = \"*\"\nto = [\"u00\"]")));
        assert!(told.starts_with("`u00`, `u01`") && told.ends_with("`u19` and 5 more"), "{told}");
    }
}

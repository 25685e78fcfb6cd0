//! From a model's name to an upstream, seen from outside: what was asked, what was sent where, what was told.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request};
use serde_json::{Value, json};
use weir::Config;
use weir::identity::caller::KeyHash;
use weir_portability::samples::WHOLE_CHAT;
use weir_portability::{Answer, Flow, Reply, Rolls, Shell, config, exchange, get, post};

const PATH: &str = "/v1/chat/completions";

fn upstreams() -> &'static str {
    r#"
    [upstream.a]
    dialect = "openai"
    base_url = "https://a.example/base/v1"
    api_key = { env = "KEY_A" }
    [upstream.b]
    dialect = "openai"
    base_url = "https://b.example/v1"
    api_key = { env = "KEY_B" }
    [upstream.azure]
    dialect = "azure"
    base_url = "https://c.openai.azure.com"
    api_version = "2024-10-21"
    api_key = { env = "KEY_C" }
    [upstream.unset]
    dialect = "openai"
    base_url = "https://d.example/v1"
    api_key = { env = "NOT_SET" }
    "#
}

fn open(routes: &str) -> Arc<Config> {
    config(&format!("auth = \"open\"\n{}\n{routes}", upstreams()))
}

/// Callers `one` and `two` with the keys `sk-weir-one` and `sk-weir-two`.
fn keyed(routes: &str, models: [&str; 2]) -> Arc<Config> {
    let key = |(name, models): (&str, &str)| {
        let hash = KeyHash::of(&format!("sk-weir-{name}")).to_text();
        format!("[key.{name}]\nhash = \"{hash}\"\nmodels = {models}\n")
    };
    let keys: String = ["one", "two"].into_iter().zip(models).map(key).collect();
    config(&format!("{}\n{routes}\n{keys}", upstreams()))
}

fn shell() -> Shell {
    let shell = Shell::default();
    for upstream in ["a", "b", "azure", "unset"] {
        shell.script(upstream, [Answer::json(WHOLE_CHAT.answer)]);
    }
    shell
}

fn call(shell: &Shell, model: &str) -> Request<Flow> {
    post(shell.clock(), PATH, format!(r#"{{"model":"{model}","messages":[]}}"#))
}

fn with(mut request: Request<Flow>, name: &'static str, value: &str) -> Request<Flow> {
    request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    request
}

fn explained(reply: &Reply) -> Value {
    serde_json::from_str(reply.header("x-weir-explain")).unwrap()
}

#[test]
fn a_renamed_model_is_the_only_thing_that_changes_in_a_body() {
    let routes = r#"
    [[route]]
    model = "gpt-4o"
    to = [{ upstream = "a", model = "vendor/gpt-4o:\"x\"" }]
    [[route]]
    model = "*"
    to = ["a"]
    [alias]
    "gpt-5" = "gpt-4o"
    "fast" = "small"
    "#;
    let renamed = r#""vendor/gpt-4o:\"x\"""#;
    for (label, sent, expected) in [
        ("as it is", r#"{ "model" :"m", "messages":[], "temperature":1.0e0 }"#.to_owned(), None),
        (
            "renamed",
            r#"{ "model" : "gpt-4o" , "messages":[{"content":"\"model\":\"gpt-4o\""}],"x":[1e400] }"#
                .to_owned(),
            Some(r#""gpt-4o""#),
        ),
        ("an alias", r#"{"messages":[],"model":"gpt-5","é":"\u00e9"}"#.to_owned(), Some(r#""gpt-5""#)),
    ] {
        let shell = shell();
        let reply = exchange(&shell, &open(routes), post(shell.clock(), PATH, sent.clone()));
        assert_eq!(reply.status, 200, "{label}: {}", reply.text());
        let at = sent.find("\"model\"").unwrap() + 7;
        let expected = match expected {
            None => sent,
            Some(name) => [&sent[..at], &sent[at..].replacen(name, renamed, 1)].concat(),
        };
        assert_eq!(shell.sent()[0].body, expected, "{label}");
        assert_eq!(shell.sent()[0].uri, "https://a.example/base/v1/chat/completions", "{label}");
    }
    let shell = shell();
    exchange(&shell, &open(routes), call(&shell, "fast"));
    assert_eq!(shell.sent()[0].body, r#"{"model":"small","messages":[]}"#, "the name behind the alias");
    let record = &shell.records()[0];
    let names =
        [&record.model, &record.route, &record.upstream, &record.upstream_model, &record.response_model];
    assert_eq!(names, ["fast", "*", "a", "small", "m-1"]);
}

#[test]
fn exact_routes_come_before_patterns_and_long_patterns_before_short_ones() {
    let routes = r#"
    [[route]]
    model = "*"
    to = [{ upstream = "a", model = "any" }]
    [[route]]
    model = "gpt-*"
    to = [{ upstream = "a", model = "short" }]
    [[route]]
    model = "gpt-4*"
    to = [{ upstream = "a", model = "long" }]
    [[route]]
    model = "gpt-4o"
    to = [{ upstream = "a", model = "exact" }]
    "#;
    for (model, expected) in [("gpt-4o", "exact"), ("gpt-4.1", "long"), ("gpt-5", "short"), ("o/3", "any")] {
        let shell = shell();
        exchange(&shell, &open(routes), call(&shell, model));
        assert_eq!(shell.records()[0].upstream_model, expected, "{model}");
    }
}

#[test]
fn weights_are_shared_out_by_the_roll() {
    let routes = r#"
    [[route]]
    model = "*"
    to = [{ upstream = "a", weight = 9 }, { upstream = "b", weight = 1 }, { upstream = "azure", weight = 0 }]
    "#;
    let config = open(routes);
    let shell = shell();
    shell.set_rolls(Rolls::Seeded(7));
    for _ in 0..1000 {
        exchange(&shell, &config, call(&shell, "m"));
    }
    let count = |name: &str| shell.asked().iter().filter(|asked| *asked == name).count();
    assert!((850..=950).contains(&count("a")), "{} of 1000", count("a"));
    assert_eq!((count("a") + count("b"), count("azure")), (1000, 0));
}

#[test]
fn a_sticky_caller_stays_where_it_was() {
    let routes = "[[route]]\nmodel = \"*\"\nto = [\"a\", \"b\"]\nsticky = \"caller\"";
    let config = keyed(routes, ["[\"*\"]", "[\"*\"]"]);
    for key in ["sk-weir-one", "sk-weir-two"] {
        let shell = shell();
        shell.set_rolls(Rolls::Seeded(7));
        for _ in 0..50 {
            exchange(&shell, &config, with(call(&shell, "m"), "x-api-key", key));
        }
        let asked = shell.asked();
        assert!(asked.iter().all(|upstream| *upstream == asked[0]), "{asked:?}");
    }
}

#[test]
fn the_fastest_upstream_is_asked() {
    let config = open("[[route]]\nmodel = \"*\"\nto = [\"a\", \"b\"]\npick = \"fastest\"");
    let shell = Shell::default();
    let answer = |millis| Answer::json(WHOLE_CHAT.answer).after(Duration::from_millis(millis));
    shell.script("a", [answer(300)]);
    shell.script("b", [answer(50)]);
    for _ in 0..8 {
        exchange(&shell, &config, call(&shell, "m"));
    }
    assert_eq!(shell.asked(), ["a", "b", "b", "b", "b", "b", "b", "b"], "the unknown are tried first");
    shell.clock().pass(Duration::from_secs(1000));
    exchange(&shell, &config, call(&shell, "m"));
    assert_eq!(shell.asked().pop().unwrap(), "a", "what is long ago is forgotten");
}

#[test]
fn the_least_busy_upstream_is_asked() {
    let config = open(
        "[[route]]\nmodel = \"*\"\nto = [{ upstream = \"a\", weight = 2 }, \"b\"]\npick = \"least-busy\"",
    );
    let shell = Shell::default();
    shell.script("a", [weir_portability::Act::Silence]);
    shell.script("b", [weir_portability::Act::Silence]);
    let mut visits = Vec::new();
    for _ in 0..6 {
        let mut visit = weir_portability::Visit::new(&shell, &config, call(&shell, "m"));
        while visit.poll_client() == weir_portability::Step::Moved {}
        visits.push(visit);
    }
    let count = |name: &str| shell.asked().iter().filter(|asked| *asked == name).count();
    assert_eq!((count("a"), count("b")), (4, 2), "twice the weight, twice the calls in flight");
    drop(visits);
    assert_eq!(shell.in_flight(), 0, "invariant 5");
}

#[test]
fn a_model_that_is_forbidden_looks_like_one_that_is_not_there() {
    let config = keyed(
        "[[route]]\nmodel = \"gpt-*\"\nto = [\"a\"]\n[alias]\nnick = \"gpt-4o\"",
        ["[\"nick\"]", "[\"gpt-3\"]"],
    );
    let ask = |model: &str, explain: bool| {
        let shell = shell();
        let mut request = with(call(&shell, model), "authorization", "Bearer sk-weir-one");
        if explain {
            request = with(request, "x-weir-explain", "1");
        }
        let reply = exchange(&shell, &config, request);
        assert_eq!(shell.sent().len() + shell.records().len(), if reply.status == 200 { 2 } else { 0 });
        reply
    };
    assert_eq!(ask("nick", false).status, 200);
    for explain in [false, true] {
        let (forbidden, missing) = (ask("gpt-4o", explain), ask("xyz-4o", explain));
        let expected = r#"{"error":{"message":"The model `gpt-4o` does not exist or you do not have access to it.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
        assert_eq!((forbidden.status, forbidden.text().as_str()), (404, expected));
        assert_eq!(forbidden.text(), missing.text().replace("xyz-", "gpt-"));
        let headers = |reply: &Reply| format!("{:?}", reply.headers).replace("xyz-", "gpt-");
        assert_eq!(headers(&forbidden), headers(&missing));
    }
    let shell = shell();
    for (model, status) in [("nick", 200), ("gpt-4o", 404), ("xyz", 404)] {
        let request = with(get(shell.clock(), &format!("/v1/models/{model}")), "api-key", "sk-weir-one");
        assert_eq!(exchange(&shell, &config, request).status, status, "{model}");
    }
    let listed = exchange(&shell, &config, with(get(shell.clock(), "/v1/models"), "api-key", "sk-weir-one"));
    let listed: Value = serde_json::from_str(&listed.text()).unwrap();
    let expected =
        json!({"object": "list", "data": [{"id": "nick", "object": "model", "created": 0, "owned_by": "a"}]});
    assert_eq!(listed, expected);
}

#[test]
fn an_explanation_says_what_was_decided_and_why() {
    let routes = r#"
    [[route]]
    model = "gpt-4o"
    to = [{ upstream = "a", model = "up" }, { upstream = "unset" }, { upstream = "azure", weight = 0 }]
    fallback = ["b"]
    [alias]
    "gpt-5" = "gpt-4o"
    "#;
    let shell = shell();
    shell.script("a", [Answer::error(503).after(Duration::from_millis(20))]);
    let reply = exchange(&shell, &open(routes), with(call(&shell, "gpt-5"), "x-weir-explain", "1"));
    let why = explained(&reply)["skipped"][0]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("NOT_SET"), "{why}");
    let expected = json!({
        "model": "gpt-5", "alias": "gpt-4o", "route": "gpt-4o", "pick": "weighted",
        "candidates": [
            {"upstream": "a", "model": "up", "role": "target", "failure_rate": "5%"},
            {"upstream": "b", "model": "gpt-4o", "role": "fallback", "failure_rate": "5%"},
        ],
        "skipped": [{"upstream": "unset", "why": why}, {"upstream": "azure", "why": "weight 0"}],
        "attempts": [
            {"upstream": "a", "status": 503, "failure": "server_error", "ms": 20},
            {"upstream": "b", "status": 200, "ms": 0},
        ],
    });
    assert_eq!(explained(&reply), expected);
    for (label, config, value) in [
        ("not asked for", open(routes), "0"),
        ("switched off", config(&format!("public = []\nauth = \"open\"\n{}{routes}", upstreams())), "1"),
    ] {
        let shell = self::shell();
        let reply = exchange(&shell, &config, with(call(&shell, "gpt-5"), "x-weir-explain", value));
        assert!(!reply.headers.contains_key("x-weir-explain"), "{label}");
    }
}

#[test]
fn upstreams_without_their_credential_are_not_asked() {
    let shell = shell();
    let config = open("[[route]]\nmodel = \"*\"\nto = [\"unset\"]");
    let reply = exchange(&shell, &config, call(&shell, "m"));
    assert_eq!((reply.status, reply.header("retry-after"), shell.sent().len()), (503, "5", 0));
    assert!(!reply.text().contains("NOT_SET") && !reply.text().contains("unset"));
    assert_eq!(shell.records().len(), 1, "it was admitted");
}

#[test]
fn azure_is_spoken_to_in_its_own_paths_and_with_its_own_header() {
    let config = open("[[route]]\nmodel = \"*\"\nto = [{ upstream = \"azure\", model = \"my deployment\" }]");
    for (path, expected) in [
        (
            "/v1/chat/completions",
            "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21",
        ),
        (
            "/openai/deployments/gpt-4o/chat/completions?api-version=2023-01-01&x=1",
            "/openai/deployments/my%20deployment/chat/completions?x=1&api-version=2024-10-21",
        ),
    ] {
        let shell = shell();
        let body = r#"{"model":"m","messages":[]}"#;
        assert_eq!(exchange(&shell, &config, post(shell.clock(), path, body)).status, 200);
        let sent = &shell.sent()[0];
        assert_eq!(sent.uri.to_string(), format!("https://c.openai.azure.com{expected}"));
        assert_eq!(sent.headers["api-key"], "sk-canary-c");
        assert!(!sent.headers.contains_key("authorization"));
        assert_eq!(sent.body, r#"{"model":"my deployment","messages":[]}"#);
    }
}

#[test]
fn an_azure_style_path_names_the_model_for_any_upstream() {
    let config = open("[[route]]\nmodel = \"gpt-4o\"\nto = [\"a\"]");
    let shell = shell();
    let path = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21";
    let reply =
        exchange(&shell, &config, with(post(shell.clock(), path, r#"{"messages":[]}"#), "api-key", "x"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sent = &shell.sent()[0];
    assert_eq!(sent.uri, "https://a.example/base/v1/chat/completions");
    assert_eq!(sent.body, r#"{"model":"gpt-4o","messages":[]}"#);
    assert_eq!(sent.headers["authorization"], "Bearer sk-canary-a");
    assert!(!sent.headers.contains_key("api-key"));
}

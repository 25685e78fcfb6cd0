//! What an operator changes while the gateway runs, seen from outside: by whom, how, and what comes of it.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request};
use serde_json::{Value, json};
use weir::Config;
use weir::identity::caller::KeyHash;
use weir_portability::samples::WHOLE_CHAT;
use weir_portability::{
    Answer, Beat, End, Flow, Reply, Shell, Step, Visit, config, exchange, get, post, request,
};

const ADMIN: &str = "sk-admin-canary-0123456789abcdef";
const CALLER: &str = "sk-weir-one";
const BREAKERS: &str = "/admin/v1/breakers";

fn toml(auth: &str) -> String {
    let hash = KeyHash::of(CALLER).to_text();
    format!(
        r#"
        {auth}
        [upstream.a]
        dialect = "openai"
        base_url = "https://a.example/v1"
        [upstream.b]
        dialect = "openai"
        base_url = "https://b.example/v1"
        [[route]]
        model = "*"
        to = ["a"]
        [[route]]
        model = "with-fallback"
        to = ["a"]
        fallback = ["b"]
        [[route]]
        model = "own/*"
        to = ["a"]
        breaker = {{ consecutive = 2 }}
        [key.one]
        hash = "{hash}"
        limits = {{ requests = "unlimited" }}
        "#
    )
}

fn with_admin(toml: &str) -> Arc<Config> {
    let mut config = config(toml);
    Arc::get_mut(&mut config).unwrap().admin.hash = Some(KeyHash::of(ADMIN));
    config
}

fn keyed() -> Arc<Config> {
    with_admin(&toml(""))
}

fn shell() -> Shell {
    let shell = Shell::default();
    for upstream in ["a", "b"] {
        shell.script(upstream, [Answer::json(WHOLE_CHAT.answer)]);
    }
    shell
}

fn with(mut request: Request<Flow>, headers: &[(&'static str, &str)]) -> Request<Flow> {
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

fn bearer(key: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {key}"))
}

fn signed(request: Request<Flow>, key: &str) -> Request<Flow> {
    let (name, value) = bearer(key);
    with(request, &[(name, &value)])
}

/// Gives an order, as the operator.
fn order(shell: &Shell, config: &Arc<Config>, breaker: &str, body: &str) -> Reply {
    let path = format!("{BREAKERS}/{breaker}");
    exchange(shell, config, signed(post(shell.clock(), &path, body.to_owned()), ADMIN))
}

fn listed(shell: &Shell, config: &Arc<Config>) -> Value {
    let reply = exchange(shell, config, signed(get(shell.clock(), BREAKERS), ADMIN));
    assert_eq!(reply.status, 200, "{}", reply.text());
    body(&reply)
}

fn call(shell: &Shell, config: &Arc<Config>, model: &str) -> Reply {
    let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
    let request = signed(post(shell.clock(), "/v1/chat/completions", body), CALLER);
    exchange(shell, config, with(request, &[("x-weir-explain", "1")]))
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body()).unwrap()
}

fn skipped(reply: &Reply) -> Value {
    serde_json::from_str::<Value>(reply.header("x-weir-explain")).unwrap()["skipped"].clone()
}

fn pass(shell: &Shell, seconds: u64) {
    shell.clock().pass(Duration::from_secs(seconds));
}

/// Invariant 2.
#[test]
fn what_is_held_open_is_not_asked_until_it_is_released() {
    let (shell, config) = (shell(), keyed());
    let reply = order(&shell, &config, "a", r#"{"state":"open"}"#);
    let state = |state: &str| json!({"state": state, "seconds_left": null});
    let expected = json!({
        "name": "a", "state": "open", "seconds_left": null,
        "automatic": state("closed"), "override": state("open"),
    });
    assert_eq!((reply.status, body(&reply)), (200, expected));

    let reply = call(&shell, &config, "with-fallback");
    assert_eq!((reply.status, shell.asked()), (200, vec!["b".to_owned()]));
    assert_eq!(skipped(&reply), json!([{"upstream": "a", "why": "held open by an operator"}]));
    for model in ["m", "own/m"] {
        let reply = call(&shell, &config, model);
        let headers = [reply.header("retry-after"), reply.header("retry-after-ms")];
        assert_eq!((reply.status, headers), (503, ["30", "30000"]), "{model}");
        assert_eq!(body(&reply)["error"]["code"], "circuit_open");
        assert_eq!(skipped(&reply), json!([{"upstream": "a", "why": "held open by an operator"}]));
    }
    pass(&shell, 100_000);
    assert_eq!(call(&shell, &config, "m").status, 503, "no end was named");
    assert_eq!(shell.asked(), ["b"]);

    let reply = order(&shell, &config, "a", r#"{"state":"auto"}"#);
    assert_eq!((body(&reply)["state"].as_str(), &body(&reply)["override"]), (Some("closed"), &Value::Null));
    assert_eq!(call(&shell, &config, "m").status, 200);
    assert_eq!(shell.asked(), ["b", "a"]);
}

#[test]
fn an_override_that_is_forgotten_ends() {
    let (shell, config) = (shell(), keyed());
    order(&shell, &config, "a", r#"{"state":"open","for":"10m"}"#);
    pass(&shell, 579);
    let reply = call(&shell, &config, "m");
    assert_eq!((reply.status, reply.header("retry-after-ms")), (503, "21000"), "its rest");
    assert_eq!(skipped(&reply), json!([{"upstream": "a", "why": "held open by an operator for 21s"}]));
    let entry = listed(&shell, &config)["data"][0].clone();
    assert_eq!((&entry["name"], &entry["override"]["seconds_left"]), (&json!("a"), &json!(21)));
    pass(&shell, 21);
    assert_eq!(call(&shell, &config, "m").status, 200);
    assert_eq!(listed(&shell, &config)["data"][0]["override"], Value::Null);
}

/// The breaker of the route `own/*` for the model `own/m`.
const OWN: &str = "a/own/m";

fn entry(shell: &Shell, config: &Arc<Config>, name: &str) -> Value {
    let listed = listed(shell, config);
    let entry = listed["data"].as_array().unwrap().iter().find(|entry| entry["name"] == name);
    entry.unwrap_or_else(|| panic!("{name} is not in {listed}")).clone()
}

#[test]
fn what_is_held_closed_is_asked_however_it_fails_and_its_failures_count() {
    let (shell, config) = (shell(), keyed());
    shell.script("a", [Answer::error(500)]);
    order(&shell, &config, OWN, r#"{"state":"closed"}"#);
    for call_number in 0..5 {
        let asked = shell.asked().len();
        assert_eq!(call(&shell, &config, "own/m").status, 502, "{call_number}");
        assert!(shell.asked().len() > asked, "{call_number}");
    }
    let held = entry(&shell, &config, OWN);
    assert_eq!((&held["state"], &held["automatic"]["state"]), (&json!("closed"), &json!("open")));
    let reply = order(&shell, &config, OWN, r#"{"state":"auto"}"#);
    assert_eq!((&body(&reply)["state"], &body(&reply)["seconds_left"]), (&json!("open"), &json!(30)));
    let asked = shell.asked().len();
    assert_eq!(call(&shell, &config, "own/m").status, 503, "as it would have been");
    assert_eq!(shell.asked().len(), asked);
}

#[test]
fn what_is_open_by_itself_can_be_held_closed() {
    let (shell, config) = (shell(), keyed());
    shell.script("a", [Answer::error(500)]);
    for status in [502, 502, 503] {
        assert_eq!(
            call(&shell, &config, "own/m").status,
            status,
            "a call is one failure, however often it is tried"
        );
    }
    shell.script("a", [Answer::json(WHOLE_CHAT.answer)]);
    order(&shell, &config, "a", r#"{"state":"closed"}"#);
    assert_eq!(call(&shell, &config, "own/m").status, 200, "an upstream's override holds for its models");
    assert_eq!(entry(&shell, &config, OWN)["override"], Value::Null, "its own it is not");
    pass(&shell, 30);
    assert_eq!(entry(&shell, &config, OWN)["automatic"]["state"], "half_open");
    order(&shell, &config, "a", r#"{"state":"auto"}"#);
    assert_eq!(call(&shell, &config, "own/m").status, 200, "the probe");
    assert_eq!(call(&shell, &config, "own/m").status, 200, "which has closed it");
}

/// Invariant 2, for a request that was planned before the order came.
#[test]
fn what_is_held_open_meanwhile_is_not_tried_next() {
    for (model, held) in [("m", "a"), ("with-fallback", "b")] {
        let (shell, config) = (shell(), keyed());
        shell.script("a", [Answer::error(500).after(Duration::from_secs(1))]);
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        let request = signed(post(shell.clock(), "/v1/chat/completions", body), CALLER);
        let mut visit = Visit::new(&shell, &config, request);
        while visit.poll_client() == Step::Moved {}
        assert_eq!(shell.asked(), ["a"]);
        assert_eq!(order(&shell, &config, held, r#"{"state":"open"}"#).status, 200);
        visit.read_on();
        assert_eq!((visit.reply().status, shell.asked().len()), (502, 1), "{model}");
        visit.settle();
    }
}

#[test]
fn readiness_shows_what_operators_say() {
    let (shell, config) = (shell(), keyed());
    order(&shell, &config, "a", r#"{"state":"open"}"#);
    order(&shell, &config, "b", r#"{"state":"closed"}"#);
    let ready = || body(&exchange(&shell, &config, get(shell.clock(), "/ready")))["upstreams"].clone();
    let shown = |name: &str| (ready()[name]["breaker"].clone(), ready()[name]["override"].clone());
    assert_eq!(shown("a"), (json!("open"), json!("open")));
    assert_eq!(shown("b"), (json!("closed"), json!("closed")));
    order(&shell, &config, "a", r#"{"state":"auto"}"#);
    assert_eq!(shown("a"), (json!("closed"), Value::Null));
}

#[test]
fn every_breaker_that_is_known_is_listed() {
    let (shell, config) = (shell(), keyed());
    order(&shell, &config, OWN, r#"{"state":"open","for":"90s"}"#);
    pass(&shell, 1);
    let closed = json!({"state": "closed", "seconds_left": null});
    let item = |name: &str| {
        json!({
            "name": name, "state": "closed", "seconds_left": null, "automatic": closed, "override": null,
        })
    };
    let held = json!({"state": "open", "seconds_left": 89});
    let own =
        json!({"name": OWN, "state": "open", "seconds_left": 89, "automatic": closed, "override": held});
    let data = json!([item("a"), own, item("a/with-fallback"), item("b"), item("b/with-fallback")]);
    let expected = json!({"object": "list", "data": data, "has_more": false});
    assert_eq!(listed(&shell, &config), expected);
}

#[test]
fn an_order_leaves_one_trace() {
    let (shell, config) = (shell(), keyed());
    let reply = order(&shell, &config, "a", r#"{"state":"open","for":"1s"}"#);
    let id = reply.header("x-request-id").to_owned();
    let events = shell.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    for part in ["Ordered", &id, r#"who: "admin""#, r#"breaker: "a""#, "forced: Open, lasting: Some(1s)"] {
        assert!(event.contains(part), "{part}: {event}");
    }
    assert!(shell.records().is_empty(), "no call was made");
}

/// Whoever leaves before the store has answered leaves a trace all the same.
#[test]
fn an_order_whose_operator_leaves_is_seen() {
    let mut orders_obeyed = 0;
    for polls in 0.. {
        let (shell, config) = (shell(), keyed());
        let request = post(shell.clock(), &format!("{BREAKERS}/a"), r#"{"state":"open"}"#);
        let mut visit = Visit::new(&shell, &config, signed(request, ADMIN));
        let is_over = (0..polls).any(|_| visit.poll_client() == Step::Over);
        visit.leave();
        visit.settle();
        let is_obeyed = entry(&shell, &config, "a")["override"] != Value::Null;
        let is_seen = shell.events().iter().any(|event| event.contains("Ordered"));
        assert!(is_seen || !is_obeyed, "{polls} polls");
        orders_obeyed += usize::from(is_obeyed);
        if is_over {
            break;
        }
    }
    assert!(orders_obeyed > 0);
}

#[test]
fn overrides_are_bounded_and_the_bound_says_so() {
    let (shell, config) = (shell(), keyed());
    let name = |n: usize| format!("a/own/{n}");
    for n in 0..1000 {
        assert_eq!(order(&shell, &config, &name(n), r#"{"state":"open"}"#).status, 200);
    }
    let reply = order(&shell, &config, &name(1000), r#"{"state":"open"}"#);
    let code = body(&reply)["error"]["code"].clone();
    assert_eq!(
        (reply.status, code, reply.header("x-should-retry")),
        (409, json!("too_many_overrides"), "false")
    );
    assert_eq!(order(&shell, &config, &name(0), r#"{"state":"auto"}"#).status, 200);
    assert_eq!(order(&shell, &config, &name(1000), r#"{"state":"open"}"#).status, 200);
}

#[test]
fn what_the_configuration_cannot_have_is_not_ordered_about_but_released() {
    let (shell, config) = (shell(), keyed());
    for breaker in ["c", "b/own/m", "c/other", "a%2Fown%2Fm%0a"] {
        for state in ["open", "auto"] {
            let reply = order(&shell, &config, breaker, &format!(r#"{{"state":"{state}"}}"#));
            let error = body(&reply)["error"].clone();
            assert_eq!((reply.status, &error["code"]), (404, &json!("breaker_not_found")), "{breaker}");
            assert!(
                error["message"]
                    .as_str()
                    .unwrap()
                    .ends_with("there are `a`, `a/with-fallback`, `b`, `b/with-fallback`."),
                "{error}"
            );
        }
    }
    assert!(!shell.events().iter().any(|event| event.contains("Ordered")), "no order was given");
    order(&shell, &config, OWN, r#"{"state":"open"}"#);
    let shared = "base_url = \"https://a.example/v1\"\nbreaker = { per_model = false }";
    let changed = toml("").replace("own/*", "new/*").replace("base_url = \"https://a.example/v1\"", shared);
    let changed = with_admin(&changed);
    assert_eq!(order(&shell, &changed, OWN, r#"{"state":"closed"}"#).status, 404);
    assert_eq!(order(&shell, &changed, OWN, r#"{"state":"auto"}"#).status, 200);
    assert_eq!(order(&shell, &changed, OWN, r#"{"state":"auto"}"#).status, 404, "nothing is left to release");
}

/// What is asked for, and what an operator is told.
const ROUTES: &[(&str, &str, u16)] = &[
    ("GET", "/admin/v1/breakers", 200),
    ("GET", "/admin/v1/breakers?after=x", 200),
    ("PUT", "/admin/v1/breakers/a", 200),
    ("POST", "/admin/v1/breakers/a%2Fown%2fm", 200),
    ("POST", "/admin/v1/breakers", 405),
    ("OPTIONS", "/admin/v1/breakers", 405),
    ("GET", "/admin/v1/breakers/a", 405),
    ("DELETE", "/admin/v1/breakers/a", 405),
    ("PUT", "/admin/v1/breakers/none", 404),
    ("PUT", "/admin/v1/breakers/", 404),
    ("GET", "/admin/v1/callers", 404),
    ("GET", "/admin/v1", 404),
    ("GET", "/admin/", 404),
    ("GET", "/admin", 404),
];

fn ask(shell: &Shell, config: &Arc<Config>, route: (&str, &str), headers: &[(&'static str, &str)]) -> Reply {
    let method = Method::from_bytes(route.0.as_bytes()).unwrap();
    let mut request = request(shell.clock(), method, route.1, r#"{"state":"open"}"#);
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    exchange(shell, config, with(request, headers))
}

/// All that can be read of a request outside its own body.
fn traces(shell: &Shell, reply: &Reply) -> String {
    format!("{:?}\n{:?}\n{:?}", reply.headers, shell.records(), shell.events())
}

/// Who asks, what they show, and the code of the refusal.
type Role<'a> = (&'a str, &'a [(&'static str, &'a str)], Option<&'a str>);

#[test]
fn every_route_obeys_the_admin_key_and_nobody_else() {
    let [admin, caller] = [ADMIN, CALLER].map(|key| format!("Bearer {key}"));
    let (nearly, basic) = (format!("{admin}x"), format!("Basic {ADMIN}"));
    let roles: &[Role<'_>] = &[
        ("nobody", &[], None),
        ("a caller", &[("authorization", &caller)], Some("invalid_api_key")),
        ("nearly the key", &[("authorization", &nearly)], Some("invalid_api_key")),
        ("another scheme", &[("authorization", &basic)], None),
        ("no scheme", &[("authorization", ADMIN)], None),
        ("twice", &[("authorization", &admin), ("authorization", &admin)], None),
        ("a caller's header", &[("x-api-key", ADMIN)], None),
        ("another caller's header", &[("api-key", ADMIN)], None),
        ("a cookie", &[("cookie", ADMIN)], None),
    ];
    for auth in ["", "auth = \"open\""] {
        let config = with_admin(&toml(auth));
        for &(method, path, expected) in ROUTES {
            for &(role, headers, code) in roles {
                let shell = shell();
                let reply = ask(&shell, &config, (method, path), headers);
                let label = format!("{role}: {method} {path}: {}", reply.text());
                assert_eq!((reply.status, &body(&reply)["error"]["code"]), (401, &json!(code)), "{label}");
                assert!(
                    !format!("{} {}", traces(&shell, &reply), reply.text()).contains("canary"),
                    "{label}"
                );
                assert!(!shell.events().iter().any(|event| event.contains("Ordered")), "{label}");
                assert!(!listed(&shell, &config).to_string().contains("\"open\""), "{label}");
            }
            let shell = shell();
            let reply = ask(&shell, &config, (method, path), &[("authorization", &admin)]);
            let label = format!("{method} {path}: {}", reply.text());
            assert_eq!(reply.status, expected, "{label}");
            assert_eq!(reply.header("allow").is_empty(), expected != 405, "{label}");
            assert!(!format!("{} {}", traces(&shell, &reply), reply.text()).contains("canary"), "{label}");
        }
    }
}

#[test]
fn without_an_admin_key_there_is_nothing_there() {
    for auth in ["", "auth = \"open\""] {
        for &(method, path, _) in ROUTES {
            for key in [ADMIN, CALLER] {
                let (shell, config) = (shell(), config(&toml(auth)));
                let (name, value) = bearer(key);
                let reply = ask(&shell, &config, (method, path), &[(name, &value)]);
                let path = path.split('?').next().unwrap();
                let expected = json!({"error": {
                    "message": format!("Invalid URL ({method} {path})"),
                    "type": "invalid_request_error", "param": null, "code": null,
                }});
                assert_eq!((reply.status, body(&reply)), (404, expected));
            }
        }
    }
}

#[test]
fn an_admin_key_is_no_callers_and_a_callers_none() {
    let (shell, config) = (shell(), keyed());
    let reply = exchange(&shell, &config, signed(get(shell.clock(), "/v1/models"), ADMIN));
    assert_eq!((reply.status, &body(&reply)["error"]["code"]), (401, &json!("invalid_api_key")));
    assert!(!format!("{} {}", traces(&shell, &reply), reply.text()).contains("canary"));
    let mut both = weir_portability::config(&toml(""));
    Arc::get_mut(&mut both).unwrap().admin.hash = Some(KeyHash::of(CALLER));
    let reply = exchange(&shell, &both, signed(get(shell.clock(), BREAKERS), CALLER));
    assert_eq!(reply.status, 401, "a key that is both is a caller's");
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn an_admin_key_in_the_query_is_refused_even_beside_a_right_one() {
    let (shell, config) = (shell(), keyed());
    let uri = format!("{BREAKERS}?access_token={ADMIN}");
    let reply = exchange(&shell, &config, signed(get(shell.clock(), &uri), ADMIN));
    assert_eq!(reply.status, 401);
    assert!(!format!("{} {}", traces(&shell, &reply), reply.text()).contains("canary"));
}

#[test]
fn a_web_page_cannot_give_orders_to_a_gateway_of_this_machine() {
    for (auth, host, status) in [
        ("auth = \"open\"", "evil.example", 403),
        ("auth = \"open\"", "localhost:8080", 200),
        ("auth = \"open\"\nopen_on_any_address = true\nlisten = \"0.0.0.0:8080\"", "weir.example", 200),
        ("", "weir.example", 200),
    ] {
        let (shell, config) = (shell(), with_admin(&toml(auth)));
        let mut request = signed(get(shell.clock(), BREAKERS), ADMIN);
        request.headers_mut().insert("host", HeaderValue::from_static(host));
        assert_eq!(exchange(&shell, &config, request).status, status, "{auth} {host}");
    }
    let (shell, config) = (shell(), with_admin(&toml("auth = \"open\"")));
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let mut request = post(shell.clock(), &format!("{BREAKERS}/a"), r#"{"state":"open"}"#);
        request.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        let reply = exchange(&shell, &config, signed(request, ADMIN));
        assert_eq!(reply.status, 415, "{kind}");
        assert!(!reply.headers.keys().any(|name| name.as_str().starts_with("access-control-")));
    }
}

#[test]
fn an_order_that_cannot_be_read_is_told_where_and_why() {
    for (sent, status, param, words) in [
        (r#"{"state":"ajar"}"#, 400, json!("state"), "it must be \"open\", \"closed\" or \"auto\""),
        (r#"{"for":"10m"}"#, 400, json!("state"), "it is missing"),
        (r#"{"state":"open","for":"soon"}"#, 400, json!("for"), "not a duration; write"),
        (r#"{"state":"open","canary":"x"}"#, 400, json!("canary"), "there is no such field"),
        (r#"{"state":"open","state":"auto"}"#, 400, json!("state"), "it stands twice"),
        (r#"{"state":"#, 400, Value::Null, "it ends too early, at line 1 column 9"),
        ("state=open", 400, Value::Null, "not valid JSON at line 1 column 1"),
    ] {
        let (shell, config) = (shell(), keyed());
        let reply = order(&shell, &config, "a", sent);
        let error = body(&reply)["error"].clone();
        assert_eq!((reply.status, &error["param"]), (status, &param), "{sent}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{sent}: {error}");
        assert!(!shell.events().iter().any(|event| event.contains("Ordered")), "{sent}");
        assert_eq!(call(&shell, &config, "m").status, 200, "nothing was done");
    }
}

#[test]
fn an_order_is_bounded_in_bytes_and_time() {
    let (shell, config) = (shell(), keyed());
    let large = format!(r#"{{"state":"open"{}}}"#, " ".repeat(64 * 1024));
    assert_eq!(order(&shell, &config, "a", &large).status, 413);
    let mut unsaid = post(shell.clock(), &format!("{BREAKERS}/a"), large);
    unsaid.headers_mut().remove("content-length");
    assert_eq!(exchange(&shell, &config, signed(unsaid, ADMIN)).status, 413);
    for (end, status) in [(End::Silent, 408), (End::Broken, 400)] {
        let beats = [Beat::Bytes(r#"{"state":"#.into())];
        let request = post(shell.clock(), &format!("{BREAKERS}/a"), r#"{"state":"open"}"#);
        let request = request.map(|_| Flow::new(shell.clock(), beats, end));
        let before = shell.clock().now();
        let reply = exchange(&shell, &config, signed(request, ADMIN));
        assert_eq!(reply.status, status, "{end:?}");
        assert!(reply.head_at.since(before) <= config.server.body_timeout, "{end:?}");
    }
    let mut request = signed(post(shell.clock(), &format!("{BREAKERS}/a"), r#"{"state":"open"}"#), ADMIN);
    request.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
    assert_eq!(exchange(&shell, &config, request).status, 400, "two lengths");
    assert_eq!(call(&shell, &config, "m").status, 200, "nothing was done");
}

/// Nobody is told that something holds which no replica will see.
#[test]
fn no_order_is_taken_while_the_store_is_lost() {
    let (shell, config) = (shell(), keyed());
    shell.lose_store(true);
    let ordered = order(&shell, &config, "a", r#"{"state":"open"}"#);
    let list = exchange(&shell, &config, signed(get(shell.clock(), BREAKERS), ADMIN));
    for reply in [ordered, list] {
        let body: Value = serde_json::from_slice(&reply.chunks.concat()).unwrap();
        assert_eq!((reply.status, body["error"]["code"].as_str()), (503, Some("store_unavailable")));
    }
    shell.lose_store(false);
    assert_eq!(order(&shell, &config, "a", r#"{"state":"open"}"#).status, 200);
}

//! What is said of a wrong document.

use super::*;

#[test]
fn all_faults_are_told_at_once() {
    let text = r#"
listen = "localhost:80"
auth = "key"
[upstream.openai]
dialect = "opena1"
base_url = "https://api.openai.com/v1?x"
timeout = { connect = 5, firstbyte = "3s", idle = "0s", total = "1 s" }
[upstream.Bad]
dialekt = "openai"
[upstream.az]
dialect = "azure"
base_url = { env = "NOPE" }
[alias]
a = "b"
b = "a"
[[route]]
model = "gpt-*"
to = ["opnai", 5, { upstream = "zz", weight = -1 }, { upstream = "az", weight = 9999999 }]
fallback_on = [
    "conect",
    "timeout",
    "foo",
]
[[route]]
model = "gpt-*"
to = []
breaker = { failure_rate = "5" }
[foo]
"#;
    let expected = r#"
weir.toml:2: listen: not an address and port; write "127.0.0.1:8080" or "[::1]:8080"
weir.toml:3: auth: unknown auth "key"; did you mean "keys"?
weir.toml:5: upstream.openai.dialect: unknown dialect "opena1"; did you mean "openai"?
weir.toml:6: upstream.openai.base_url: a base address has no query (?)
weir.toml:7: upstream.openai.timeout.connect: expected a duration such as "250ms", "5s", "2m" or "1h", found a number
weir.toml:7: upstream.openai.timeout.firstbyte: unknown key "firstbyte"; did you mean "first_byte"?
weir.toml:7: upstream.openai.timeout.total: not a duration; write "250ms", "5s", "2m" or "1h"
weir.toml:7: upstream.openai.timeout.idle: must be longer than nothing
weir.toml:8: upstream.Bad: not a name; a letter or digit, then up to 63 more, also ".", "_" and "-"; all lower case
weir.toml:9: upstream.Bad.dialekt: unknown key "dialekt"; did you mean "dialect"?
weir.toml:10: upstream.az.api_version: missing: the dialect "azure" needs it; write it as in "2024-10-21"
weir.toml:12: upstream.az.base_url: the variable "NOPE" is not set, and there is no default; set it, or add default = "…"
weir.toml:14: alias.a: leads back to itself: "a" → "b" → "a"
weir.toml:18: route[0].to[1]: expected an upstream's name or { upstream = "NAME", model = "…", weight = 1 }, found a number
weir.toml:18: route[0].to[2].weight: expected a whole number, zero or more, found a number below zero
weir.toml:18: route[0].to[0]: unknown upstream "opnai"; did you mean "openai"?
weir.toml:18: route[0].to[2].upstream: unknown upstream "zz"; did you mean "az"?
weir.toml:18: route[0].to[3].weight: must be 0 to 1000000
weir.toml:20: route[0].fallback_on[0]: unknown fallback_on "conect"; did you mean "connect"?
weir.toml:22: route[0].fallback_on[2]: unknown fallback_on "foo"; use "connect", "timeout", "rate_limit", "server_error", "credentials", "quota" or "bad_answer"
weir.toml:25: route[1].model: route[0] has the same model
weir.toml:26: route[1].to: leads nowhere; write to = ["UPSTREAM"]
weir.toml:27: route[1].breaker.failure_rate: not a share; write "5%" or "0.5%", up to "100%"
weir.toml:28: foo: unknown key "foo""#;
    let faults = load(text).unwrap_err().to_string();
    assert_eq!(faults, expected.trim(), "\n{faults}");
}

#[test]
fn json_faults_have_lines_too() {
    let text = r#"{
  "auth": "open",
  "upstream": {
    "one": {
      "dialect": "opena1",
      "base_url": "https://one.example",
      "timeout": {"total": 5}
    }
  },
  "route": [
    {"model": "a", "to": ["one"]},
    {"model": "b",
     "to": ["one",
            "two"]}
  ]
}"#;
    let document = Document { name: "weir.json", text, format: Format::Json };
    let faults = Config::load(&document, &Here::default()).unwrap_err().to_string();
    let expected = r#"
weir.json:5: upstream.one.dialect: unknown dialect "opena1"; did you mean "openai"?
weir.json:7: upstream.one.timeout.total: expected a duration such as "250ms", "5s", "2m" or "1h", found a number
weir.json:14: route[1].to[1]: unknown upstream "two"; the only one is "one""#;
    assert_eq!(faults, expected.trim(), "\n{faults}");
}

#[test]
fn what_cannot_be_read_has_one_fault_with_its_line() {
    let json = Format::Json;
    for (format, text, expected) in [
        (Format::Toml, "a = 1\nb =", "d:2: not TOML: "),
        (Format::Toml, "a = 1\n\na = 2", "d:3: not TOML: duplicate key"),
        (Format::Toml, "a = 1\nb = 1979-05-27", "d:2: a date, which has no place here"),
        (Format::Toml, "b = nan", "d:1: a number that has no end"),
        (Format::Toml, "b = 99999999999999999999", "d:1: a number that is too large"),
        (json, "", "d:1: not JSON: EOF while parsing a value"),
        (json, "{\n\"a\": }", "d:2: not JSON: expected value"),
        (json, "{\"a\": 1,\n\"b\": {\"c\": 1,\n\"c\": 2}}", "d:3: not JSON: the same key twice in one table"),
        (json, "{} {}", "d:1: not JSON: trailing characters"),
        (json, "[]", "d:1: expected a table, found a list"),
    ] {
        let document = Document { name: "d", text, format };
        let faults = Config::load(&document, &Here::default()).unwrap_err();
        assert!(faults.to_string().starts_with(expected), "{text}: {faults}");
        assert_eq!(faults.iter().count(), 1, "{text}: {faults}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of all that can be wrong")]
fn single_faults_are_told_and_nothing_else() {
    let least = |from: &str, to: &str| LEAST.replace(from, to);
    let more = |text: &str| format!("{LEAST}{text}");
    let hash = "0".repeat(64);
    for (text, expected) in [
        ("auth = \"open\"".into(), "1: upstream: there is no upstream|1: route: there is no route"),
        (least("\"open\"", "\"keys\""), "2: auth: callers need a key, and there is none"),
        (least("auth = \"open\"", ""), "1: auth: callers need a key, and there is none"),
        (least("\"openai\"", "\"azure\""), "3: upstream.one.api_version: missing"),
        (
            least("\"openai\"", "\"openai\"\napi_version = \"1\""),
            "5: upstream.one.api_version: only the dialect",
        ),
        (
            least("\"openai\"", "\"simulated\""),
            "5: upstream.one.base_url: the simulated provider is built in",
        ),
        (least("dialect", "diallect"), "4: upstream.one.diallect: unknown key"),
        (least("to =", "too ="), "8: route[0].too: unknown key \"too\"; did you mean \"to\"?"),
        (least("[\"one\"]", "\"one\""), "8: route[0].to: expected a list, found a text"),
        (least("[[route]]", "[route]"), "6: route: expected a list, found a table; write [[route]]"),
        (
            least("[[route]]", "[route]") + "[alias]\nx = \"y\"",
            "6: route: expected a list, found a table; write [[route]]",
        ),
        (least("base_url", "#"), "3: upstream.one.base_url: missing"),
        (
            least("[[route]]", "forward_headers = [\"x-a\", \"Cookie\"]\n[[route]]"),
            "6: upstream.one.forward_headers: \"Cookie\": 'cookie' never crosses the gateway",
        ),
        (
            least("[[route]]", "forward_headers = [\"x-*\"]\n[[route]]"),
            "6: upstream.one.forward_headers: \"x-*\": 'x-api-key' never crosses the gateway",
        ),
        (
            least("[[route]]", "return_headers = [\"a b\"]\n[[route]]"),
            "6: upstream.one.return_headers: \"a b\": not the name of a header",
        ),
        (
            least("[[route]]", "return_headers = [\"set-cookie\"]\n[[route]]"),
            "6: upstream.one.return_headers: \"set-cookie\": 'set-cookie' never crosses the gateway",
        ),
        (
            least("\"openai\"", "\"simulatd\"").replace("base_url", "#"),
            "4: upstream.one.dialect: unknown dialect \"simulatd\"; did you mean \"simulated\"?",
        ),
        (least("[\"one\"]", "[{ upstream = \"one\", weight = 0 }]"), "8: route[0].to: leads nowhere"),
        (least("[\"one\"]", "[{ model = \"x\" }]"), "8: route[0].to[0].upstream: missing"),
        (least("[\"one\"]", "[\"one\"]\nadvertise = [\"x*\"]"), "9: route[0].advertise[0]: a pattern"),
        (least("\"*\"", "\"a\"\nadvertise = [\"b\"]"), "8: route[0].advertise[0]: does not match"),
        (least("\"*\"", "\"\""), "7: route[0].model: a model needs a name"),
        (
            least("[\"one\"]", "[\"one\"]\nretry = { attempts = 4 }"),
            "9: route[0].retry.attempts: must be 1 to 3",
        ),
        (least("[\"one\"]", "[\"one\"]\nsticky = \"nothing\""), "9: route[0].sticky: unknown sticky"),
        (
            least("[\"one\"]", "[\"one\"]\nbreaker = { open = \"0s\" }"),
            "9: route[0].breaker.open: must be longer",
        ),
        (
            format!("passthrough = \"on\"{LEAST}"),
            "1: passthrough: unknown upstream \"on\"; did you mean \"one\"?",
        ),
        (
            format!("passthrough = {{ upstream = \"on\" }}{LEAST}"),
            "1: passthrough.upstream: unknown upstream \"on\"; did you mean \"one\"?",
        ),
        (
            format!("passthrough = {{ upstream = \"one\", path = [] }}{LEAST}"),
            "1: passthrough.path: unknown key \"path\"; did you mean \"paths\"?",
        ),
        (format!("passthrough = 7{LEAST}"), "1: passthrough: expected an upstream's name, {"),
        (format!("passthrough.paths = [\"/v1/a\"]{LEAST}"), "1: passthrough.upstream: missing; name"),
        (
            format!("passthrough = {{ upstream = \"one\", paths = [\"/v1/a\", \"//rerank\"] }}{LEAST}"),
            "1: passthrough.paths[1]: a path begins",
        ),
        (
            format!("passthrough = {{ upstream = \"one\", paths = [] }}{LEAST}"),
            "1: passthrough.paths: opens no path",
        ),
        (
            format!("passthrough = {{ upstream = \"one\", methods = [\"get\"] }}{LEAST}"),
            "1: passthrough.methods[0]: unknown",
        ),
        (
            more("[[passthrough]]\nupstream = \"one\"\n[[passthrough]]\nupstream = \"on\""),
            "12: passthrough[1].upstream: unknown upstream",
        ),
        (
            more(
                "[[passthrough]]\nupstream = \"one\"\n[[passthrough]]\nupstream = \"one\"\npaths = [\"audio/**\"]",
            ),
            "13: passthrough[1].paths[0]: is never reached",
        ),
        (
            more(
                "[[passthrough]]\nupstream = \"one\"\npaths = [\"x/**\"]\n[[passthrough]]\nupstream = \"one\"\npaths = [\"x/*/y\"]",
            ),
            "14: passthrough[1].paths[0]: is never reached",
        ),
        (
            more(
                "[[passthrough]]\nupstream = \"one\"\n[[passthrough]]\nupstream = \"one\"\nmethods = [\"GET\"]",
            ),
            "11: passthrough[1]: is never reached",
        ),
        (
            format!("passthrough = {{ upstream = \"one\", paths = [\"/v1/**\"] }}{LEAST}"),
            "1: passthrough.paths[0]: opens every path",
        ),
        (
            format!("passthrough = {{ upstream = \"one\", paths = [\"/v1/responses\"] }}{LEAST}"),
            "1: passthrough.paths[0]: is understood",
        ),
        (
            format!("passthrough = {{ upstream = \"one\", models = [] }}{LEAST}"),
            "1: passthrough.models: names no model; leave it out",
        ),
        (
            format!("passthrough = {{ upstream = \"one\", models = [\"\"] }}{LEAST}"),
            "1: passthrough.models[0]: a model needs a name",
        ),
        (format!("server.max_depth = 1000{LEAST}"), "1: server.max_depth: must be 1 to 128"),
        (
            format!("server.max_buffered = \"127MiB\"{LEAST}"),
            "1: server.max_buffered: must be at least four times",
        ),
        (
            format!("server.min_upload_rate = \"1MiB\"{LEAST}"),
            "1: server.min_upload_rate: must be at most 64KiB",
        ),
        (format!("server.max_body = 0{LEAST}"), "1: server.max_body: must be at least"),
        (
            more("[upstream.one.timeout]\nconnect = \"700s\""),
            "10: upstream.one.timeout.connect: 700s is longer",
        ),
        (more("[upstream.one.api_key]"), "9: upstream.one.api_key: says nothing about where"),
        (
            more("[upstream.one.api_key]\nenv = \"A\"\nfile = \"b\""),
            "9: upstream.one.api_key: names a variable and",
        ),
        (more("[alias]\nx = \"x\""), "10: alias.x: leads back to itself: \"x\" → \"x\""),
        (more("[alias]\n\"x*\" = \"x\""), "10: alias.\"x*\": an alias leads from one model"),
        (
            least("\"*\"", "\"a\"") + "[alias]\nx = \"y\"",
            "10: alias.x: leads to \"y\", which no route answers",
        ),
        (more("[limits.default]\nconcurrent = 0"), "10: limits.default.concurrent: must be at least 1"),
        (more("[limits.default]\ntokens = \"1/m\""), "10: limits.default.tokens: not a rate"),
        (more("[limits.team]\nconcurrent = 1"), "9: limits.team: nothing refers to it"),
        (more("[key.a]"), "9: key.a.hash: missing"),
        (more("[key.A]\nhash = \"sha256:0\""), "9: key.A: not a name|10: key.A.hash: not a hash"),
        (
            more(&format!("[key.a]\nhash = \"sha256:{hash}\"\n[key.b]\nhash = \"sha256:{hash}\"")),
            "12: key.b.hash: key.a has the same hash",
        ),
        (
            more(&format!("[key.a]\nhash = \"sha256:{hash}\"\npriority = \"hgih\"")),
            "11: key.a.priority: unknown priority \"hgih\"; did you mean \"high\"?",
        ),
        (more("[admin]"), "9: admin.hash: missing; `weir key new` makes a key and prints its hash"),
        (more("[admin]\nhash = \"sha256:0\""), "10: admin.hash: not a hash"),
        (more("[admin]\nhsh = \"\""), "10: admin.hsh: unknown key \"hsh\"; did you mean \"hash\"?"),
        (more("[admin]\nhash = 5"), "10: admin.hash: expected a text in quotes, found a number"),
        (format!("admin = true{LEAST}"), "1: admin: expected a table, found true or false"),
        (
            more(&format!("[admin]\nhash = \"sha256:{hash}\"\n[key.a]\nhash = \"sha256:{hash}\"")),
            "10: admin.hash: key.a has the same hash; no caller has the admin's key",
        ),
    ] {
        tells(&text, expected);
    }
}

#[test]
fn faults_of_a_store_are_told_and_no_password() {
    let more = |text: &str| format!("{LEAST}{text}");
    for (text, expected) in [
        (more("[store]\nkind = \"redis\""), "9: store.url: missing"),
        (more("[store]\nkind = \"redis\"\nurl = \"http://h\""), "11: store.url: not the address of a Redis"),
        (more("[store]\nkind = \"redis\"\nurl = \"redis://:p@h\""), "11: store.url: a password is not"),
        (
            more("[store]\nkind = \"redis\"\nurl = { env = \"REDIS_URL\" }"),
            "11: store.url: the variable \"REDIS_URL\" is not set",
        ),
        (
            more("[store]\nkind = \"redis\"\nurl = \"redis://h\"\nnamespace = \"A}\"\ntimeout = \"11s\""),
            "12: store.namespace: not a name|13: store.timeout: must be at most 10s",
        ),
        (more("[store]\ntimeout = \"11s\""), "10: store.timeout: must be at most 10s"),
        (more("[store]\nnamespace = \"a\""), "10: store.namespace: only the kind \"redis\" has one"),
        (
            more("[limits.default]\nrequests = \"999999937/d\""),
            "10: limits.default.requests: cannot be counted exactly",
        ),
    ] {
        tells(&text, expected);
    }
}

#[test]
fn what_should_be_known_is_a_warning() {
    let least = |from: &str, to: &str| LEAST.replace(from, to);
    let more = |text: &str| format!("{LEAST}{text}");
    for (text, path, expected) in [
        (
            least("\"open\"", "\"keys\"").replace("[\"one\"]", "[\"one\"]\ncache = { scope = \"shared\" }")
                + &format!(
                    "[key.a]\nhash = \"sha256:{}\"\n[key.b]\nhash = \"sha256:{}\"",
                    "a".repeat(64),
                    "b".repeat(64)
                ),
            "route[0].cache.scope",
            "the 2 tenants see each other's answers",
        ),
        (
            least("\"*\"", "\"a\"") + "[alias]\na = \"a2\"\n[[route]]\nmodel = \"a2\"\nto = [\"one\"]",
            "alias.a",
            "hides",
        ),
        (
            more("[upstream.one.api_key]\nenv = \"NOPE\""),
            "upstream.one.api_key",
            "the variable \"NOPE\" is not set",
        ),
        (
            more("[upstream.one.api_key]\nenv = \"EMPTY\""),
            "upstream.one.api_key",
            "the variable \"EMPTY\" is empty",
        ),
        (
            more("[upstream.one.api_key]\nenv = \"ODD\""),
            "upstream.one.api_key",
            "the variable \"ODD\" holds what",
        ),
        (
            more("[upstream.one.api_key]\nfile = \"/no\""),
            "upstream.one.api_key",
            "the file \"/no\" cannot be read",
        ),
        (
            least("https://", "http://") + "[upstream.one.api_key]\nenv = \"KEY\"",
            "upstream.one.base_url",
            "the key goes over the network unencrypted",
        ),
        (
            least("one.example/v1", "one.example/v1/chat/completions"),
            "upstream.one.base_url",
            "ends in /chat/completions",
        ),
        (least("one.example/v1", "api.openai.com"), "upstream.one.base_url", "lacks /v1"),
    ] {
        let here =
            Here { env: BTreeMap::from([("EMPTY", ""), ("ODD", "a\nb"), ("KEY", "k")]), ..Here::default() };
        let loaded = Config::load(&toml(&text), &here).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
        let warnings = apart_from_the_list(loaded.warnings);
        let [warning] = warnings.as_slice() else { panic!("{text}\n{warnings:#?}") };
        assert_eq!(warning.path, path, "{text}");
        assert!(warning.problem.starts_with(expected), "{text}\n{warning}");
    }
}

#[test]
fn an_empty_list_of_models_is_told_with_the_routes_line() {
    for (text, expected) in [
        (LEAST.to_owned(), Some("weir.toml:7: route[0].model: GET /v1/models lists nothing")),
        (LEAST.replace("[\"one\"]", "[\"one\"]\nadvertise = [\"m\"]"), None),
        (format!("{LEAST}[alias]\na = \"m\""), None),
        (format!("{LEAST}[[route]]\nmodel = \"m\"\nto = [\"one\"]"), None),
    ] {
        let warnings: Vec<_> = load(&text).unwrap().warnings.iter().map(ToString::to_string).collect();
        let told = warnings.first().map(String::as_str).unwrap_or_default();
        assert!(told.starts_with(expected.unwrap_or_default()), "{text}\n{warnings:?}");
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{text}\n{warnings:?}");
    }
}

#[test]
fn a_credential_that_is_not_found_leaves_its_upstream_unusable() {
    let text = format!("{LEAST}[upstream.one.api_key]\nenv = \"NOPE\"");
    let config = load(&text).unwrap().config;
    let Credential::Missing { why } = &config.upstreams[0].credential else { panic!("not missing") };
    assert_eq!(why, "the variable \"NOPE\" is not set");
}

#[test]
fn origins_that_browsers_do_not_send_are_told() {
    let text = format!(
        "server.cors.origins = [\"https://app.example/\", \"*\", \"https://app.example:443\"]\n\
         server.websocket = {{ total = \"25h\", idle = \"0s\" }}{LEAST}"
    );
    let faults = load(&text).unwrap_err().to_string();
    for expected in [
        "weir.toml:1: server.cors.origins[0]: an origin is a scheme, a host and a port, and nothing behind",
        "weir.toml:1: server.cors.origins[1]: with auth = \"open\" any page",
        "weir.toml:1: server.cors.origins[2]: browsers leave out the port",
        "weir.toml:2: server.websocket.total: must be at most 24h",
        "weir.toml:2: server.websocket.idle: must be longer than nothing",
    ] {
        assert!(faults.contains(expected), "{expected} is not in\n{faults}");
    }
}

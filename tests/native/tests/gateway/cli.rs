//! The command line.

use std::net::TcpListener;
use std::time::Duration;

use http::Request;
use serde_json::Value;
use weir_native_tests::{Gateway, Program, SIMULATED, chat_body, weir, whole};

/// Exit code, standard output, standard error.
async fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut program = Program::run(weir(arguments));
    let status = program.end(Duration::from_secs(10)).await;
    (status.code().expect("it ends by itself"), program.stdout.text(), program.stderr.text())
}

async fn run_on(command: &str, name: &str, document: &str) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, document).unwrap();
    run(&[command, file.to_str().unwrap()]).await
}

#[tokio::test]
async fn a_good_file_is_said_to_be_good() {
    let (code, out, err) = run_on("check", "weir.toml", SIMULATED).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("good") && out.contains("1 upstreams, 1 routes"), "{out}");
    let json = r#"{"auth":"open","upstream":{"s":{"dialect":"simulated"}},
        "route":[{"model":"*","to":["s"]}]}"#;
    assert_eq!(run_on("check", "weir.json", json).await.0, 0);
}

#[tokio::test]
async fn what_may_be_wrong_is_told_with_its_line() {
    let document = "auth = \"open\"\n[upstream.a]\ndialect = \"openai\"\n\
        base_url = \"https://api.openai.com/v1/chat/completions\"\n[[route]]\nmodel = \"*\"\nto = [\"a\"]\n";
    let (code, out, err) = run_on("check", "weir.toml", document).await;
    assert_eq!((code, err.as_str()), (0, ""));
    for (line, told) in
        [(4, "upstream.a.base_url: ends in /chat/completions"), (6, "route[0].model: GET /v1/models")]
    {
        assert!(out.contains(&format!("weir.toml:{line}: {told}")), "{out}");
    }
}

#[tokio::test]
async fn a_file_is_prepared_once_and_served_by_as_it_is() {
    let document = SIMULATED
        .replace("dialect = \"simulated\"", "dialect = \"openai\"\nbase_url = \"https://a.example\"")
        .replace("model = \"sim*\"", "model = \"sim*\"\nadvertise = [\"sim\"]");
    let (code, prepared, err) = run_on("prepare", "weir.toml", &document).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(prepared.starts_with("weir-prepared "), "{prepared}");
    let (code, out, err) = run_on("check", "weir.ready", &prepared).await;
    assert!(code == 0 && out.contains("1 upstreams, 1 routes"), "{out}{err}");
    let (code, out, err) = run_on("check", "weir.ready", &prepared.replacen('\n', "\nAAAA", 1)).await;
    assert!(code == 1 && out.is_empty() && err.contains("was changed or cut; run `weir prepare`"), "{err}");
    let (code, out, err) = run_on("prepare", "weir.toml", SIMULATED).await;
    assert!(code == 1 && out.is_empty() && err.contains("no simulated provider here"), "{err}");
}

#[tokio::test]
async fn the_example_is_good() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../devserver/weir.example.toml");
    let (code, _, err) = run(&["check", example]).await;
    assert_eq!(code, 0, "{err}");
}

#[tokio::test]
async fn a_bad_file_is_refused_with_all_its_faults_and_their_lines() {
    let document = "auth = \"opne\"\n\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"ftp://x\"\n\n\
                    [[route]]\nmodle = \"gpt-*\"\nto = [\"upp\"]\n";
    let (code, out, err) = run_on("check", "weir.toml", document).await;
    assert_eq!((code, out.as_str()), (1, ""));
    for part in ["weir.toml:1: auth", "weir.toml:5: upstream.up.base_url", "weir.toml:8:", "weir.toml:9:"] {
        assert!(err.contains(part), "{part} is not in\n{err}");
    }
    for hint in ["did you mean \"model\"?", "did you mean \"up\"?"] {
        assert!(err.contains(hint), "{hint} is not in\n{err}");
    }
    let (code, _, err) = run(&["check", "/no/such/weir.toml"]).await;
    assert!(code == 1 && err.contains("/no/such/weir.toml"), "{err}");
    let (code, _, err) = run_on("check", "weir.toml", "this is [no toml").await;
    assert!(code == 1 && err.contains("weir.toml:1"), "{err}");
}

#[tokio::test]
async fn the_schema_is_json_and_has_its_title() {
    let (code, out, _) = run(&["schema"]).await;
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &schema["title"]), (0, &"weir.toml".into()));
    assert!(schema["properties"]["route"].is_object());
}

#[tokio::test]
async fn a_new_key_is_let_in_by_the_lines_printed_with_it_and_no_other_is() {
    let (code, out, _) = run(&["key", "new", "--name", "team-b"]).await;
    assert_eq!(code, 0);
    let key = out.lines().map(str::trim).find(|line| line.starts_with("sk-weir-")).expect("a key");
    let table = &out[out.find("[key.team-b]").expect("its table")..];
    assert!(!table.contains(key), "only the hash is to be kept");
    let gateway = Gateway::start(SIMULATED.replace("\"open\"", "\"keys\"") + "\n" + table).await;
    let call = async |header: &str, value: &str| {
        let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
        let request = request.header(header, value).body(whole(chat_body("sim").to_string())).unwrap();
        gateway.send(request).await
    };
    for (header, value) in [
        ("authorization", format!("Bearer {key}")),
        ("api-key", key.to_owned()),
        ("x-api-key", key.to_owned()),
        ("x-goog-api-key", key.to_owned()),
    ] {
        assert_eq!(call(header, &value).await.status, 200, "{header}");
    }
    let record = &gateway.until_records(1).await[0];
    assert_eq!((&record["tenant"], &record["caller"]), (&"team-b".into(), &"team-b".into()));
    let wrong = call("authorization", &format!("Bearer {key}x")).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["code"]), (401, &"invalid_api_key".into()));
    assert!(!wrong.text().contains(key), "{}", wrong.text());
    let none = gateway.get("/v1/models").await;
    assert_eq!((none.status, &none.json()["error"]["code"]), (401, &Value::Null));
}

#[tokio::test]
async fn help_teaches() {
    for (arguments, parts) in [
        (&["--help"][..], &["Examples:", "weir check weir.toml", "key", "schema", "--listen"][..]),
        (
            &["serve", "--help"],
            &["--config <FILE>", "SIGHUP", "--log-format", "[possible values: text, json]"],
        ),
        (&["check", "--help"], &["[default: weir.toml]"]),
        (&["key", "new", "--help"], &["--name"]),
    ] {
        let (code, out, _) = run(arguments).await;
        assert_eq!(code, 0, "{arguments:?}");
        for part in parts {
            assert!(out.contains(part), "{part} is not in {arguments:?}\n{out}");
        }
    }
    let (code, out, _) = run(&["--version"]).await;
    assert!(code == 0 && out.starts_with("weir "), "{out}");
    assert_eq!(run(&["--no-such"]).await.0, 2);
}

#[tokio::test]
async fn help_lists_the_manual_and_prints_its_pages() {
    let (code, out, err) = run(&["help"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    for part in ["weir check weir.toml", "--listen", "\n  limits ", "\n  idempotency "] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let (code, out, err) = run(&["help", "limits"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, include_str!("../../../../shared/manual/limits.md").trim_end());
    for arguments in [&["help", "serve"][..], &["help", "key", "new"]] {
        let (code, out, _) = run(arguments).await;
        let (_, same, _) = run(&[&arguments[1..], &["--help"]].concat()).await;
        assert_eq!((code, out.trim_end()), (0, same.trim_end()), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_topic_that_is_none_is_told_with_the_nearest_names() {
    let (code, out, err) = run(&["help", "limit"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("\"limit\"") && err.contains("did you mean limits"), "{err}");
    assert!(err.contains("`weir help` lists them all"), "{err}");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, out, err) = run(&["serve", "--listen", &address]).await;
    assert_eq!(code, 1);
    assert!(err.contains(&address) && err.contains("in use"), "{err}");
    assert!(!out.contains("listening on"), "{out}");
}

#[tokio::test]
async fn no_authentication_on_an_open_address_is_refused() {
    for arguments in [&["serve", "--listen", "0.0.0.0:0"][..], &["--listen", "[::]:0"]] {
        let (code, out, err) = run(arguments).await;
        assert!(code == 1 && err.contains("auth"), "{arguments:?}: {err}");
        assert!(!out.contains("listening on"), "{out}");
    }
    let document = format!("listen = \"0.0.0.0:8080\"\n{SIMULATED}");
    let (code, _, err) = run_on("check", "weir.toml", &document).await;
    assert!(code == 1 && err.contains("open"), "{err}");
    let twice = format!("open_on_any_address = true\n{document}");
    assert_eq!(run_on("check", "weir.toml", &twice).await.0, 0);
}

#[tokio::test]
async fn a_bad_file_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "[upstream.up]\ndialect = 7\n").unwrap();
    let (code, out, err) =
        run(&["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]).await;
    assert!(code == 1 && err.contains("weir.toml:2"), "{err}");
    assert!(!out.contains("listening on"), "{out}");
}

#[tokio::test]
async fn the_proxies_of_this_environment_are_told_without_their_passwords() {
    let upstream = |name: &str, base: &str, more: &str| {
        format!("[upstream.{name}]\ndialect = \"openai\"\nbase_url = \"{base}\"\n{more}\n")
    };
    let upstreams = [
        upstream("out", "https://api.example/v1", ""),
        upstream("near", "http://10.0.0.1/v1", ""),
        upstream("never", "https://api.example/v1", "proxy = \"none\""),
        upstream("own", "https://api.example/v1", "proxy = \"http://own.example:1\""),
        upstream("odd", "http://api.example/v1", ""),
    ];
    let route = "[[route]]\nmodel = \"m\"\nto = [\"out\"]\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, format!("auth = \"open\"\n{}{route}", upstreams.concat())).unwrap();
    let mut command = weir(&["check", file.to_str().unwrap()]);
    command
        .env("https_proxy", "http://weir:canary@proxy.example:3128")
        .env("HTTP_PROXY", "socks5://canary@h");
    command.env("NO_PROXY", "10.0.0.0/8");
    let mut program = Program::run(command);
    assert_eq!(program.end(Duration::from_secs(10)).await.code(), Some(0), "{}", program.stderr.text());
    let told = program.stdout.now();
    let told: Vec<_> = told.iter().filter(|line| !line.contains("weir.toml")).map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "warning: upstream.odd: calls fail, as their proxy cannot be used: a proxy of a kind that is not \
             spoken here: only http:// and https:// are (HTTP_PROXY of this environment)",
            "note: upstream.out: calls go through http://proxy.example:3128 (https_proxy of this environment)",
            "note: upstream.own: calls go through http://own.example:1",
        ]
    );
}

#[tokio::test]
async fn trust_in_what_cannot_be_read_is_no_trust_in_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, SIMULATED).unwrap();
    let mut command = weir(&["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    command.env("SSL_CERT_FILE", "/nope.pem");
    let mut program = Program::run(command);
    assert_eq!(program.end(Duration::from_secs(10)).await.code(), Some(1));
    let told = program.stderr.text();
    assert!(
        told.contains("SSL_CERT_FILE and SSL_CERT_DIR name no certificate") && told.contains("/nope.pem"),
        "{told}"
    );
}

//! Certificates of an upstream: an authority of its own, and what the gateway shows of itself.

use std::fs;
use std::path::{Path, PathBuf};

use weir_native_tests::wait::{holds, until};
use weir_native_tests::{Gateway, Launch, Program, weir};

use weir_native_tests::secure::{Asks, Authority, Leaf, Secure};

/// Files that a document names.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn pair(&self, name: &str, leaf: &Leaf) -> String {
        let cert = self.write(&format!("{name}.crt"), &leaf.cert);
        let key = self.write(&format!("{name}.key"), &leaf.key);
        format!("cert = \"{}\", key = \"{}\"", cert.display(), key.display())
    }
}

fn upstream(name: &str, at: &Secure, tls: &str) -> String {
    format!(
        "[upstream.{name}]\ndialect = \"openai\"\nbase_url = \"https://{}/v1\"\ntls = {{ {tls} }}\n\
         [[route]]\nmodel = \"{name}\"\nto = [\"{name}\"]\nretry = {{ attempts = 1 }}\n",
        at.address
    )
}

/// One worker, as each has connections of its own.
fn document(upstreams: &[String]) -> String {
    format!("auth = \"open\"\nserver = {{ workers = 1 }}\n{}", upstreams.concat())
}

fn ca(path: &Path) -> String {
    format!("ca = \"{}\"", path.display())
}

#[tokio::test]
async fn an_authority_of_an_upstream_is_trusted_for_that_upstream_alone() {
    let (one, other) =
        (Secure::start("127.0.0.1", &["h2"]).await, Secure::start("127.0.0.1", &["http/1.1"]).await);
    let document = document(&[
        upstream("own", &one, &ca(&one.authority)),
        upstream("other", &one, &ca(&other.authority)),
        // What the machine trusts is trusted beside it.
        upstream("beside", &other, &ca(&one.authority)),
    ]);
    let trusted = other.authority.to_str().unwrap();
    let gateway = Launch::of(document).env("SSL_CERT_FILE", trusted).start().await;
    for _ in 0..2 {
        for (model, status) in [("own", 200), ("other", 502), ("beside", 200)] {
            assert_eq!(gateway.chat(model).await.status, status, "{model}");
        }
    }
    let records = gateway.until_records(6).await;
    assert_eq!(records[1]["cause"], "other: certificate of an unknown issuer");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_upstream_it_is_for_and_to_no_other() {
    let (clients, files) = (Authority::new(), Files::new());
    let (red, blue) = (clients.leaf("red"), clients.leaf("blue"));
    for protocol in ["h2", "http/1.1"] {
        let server = Secure::that_asks(Asks::CertificateOrNone(&clients), "127.0.0.1", &[protocol]).await;
        let ca = ca(&server.authority);
        let gateway = Gateway::start(document(&[
            upstream("none", &server, &ca),
            upstream("red", &server, &format!("{ca}, {}", files.pair("red", &red))),
            upstream("blue", &server, &format!("{ca}, {}", files.pair("blue", &blue))),
        ]))
        .await;
        let mut expected = Vec::new();
        for model in ["red", "none", "blue"].repeat(3) {
            let answer = gateway.chat(model).await;
            assert_eq!(answer.status, 200, "{model}: {}", answer.text());
            expected.push(match model {
                "red" => Some(red.der()),
                "blue" => Some(blue.der()),
                _ => None,
            });
        }
        let shown: Vec<_> = server.had().into_iter().map(|had| had.identity).collect();
        assert_eq!(shown, expected, "{protocol}");
        let said = gateway.everything_said().await;
        assert!(!said.contains("PRIVATE") && !said.contains(red.key.lines().nth(1).unwrap()), "{said}");
    }
}

#[tokio::test]
async fn an_upstream_that_demands_a_certificate_is_not_served_without_the_right_one() {
    let (clients, others, files) = (Authority::new(), Authority::new(), Files::new());
    for protocol in ["h2", "http/1.1"] {
        let server = Secure::that_asks(Asks::Certificate(&clients), "127.0.0.1", &[protocol]).await;
        let ca = ca(&server.authority);
        let gateway = Gateway::start(document(&[
            upstream("right", &server, &format!("{ca}, {}", files.pair("right", &clients.leaf("right")))),
            upstream("wrong", &server, &format!("{ca}, {}", files.pair("wrong", &others.leaf("wrong")))),
            upstream("none", &server, &ca),
        ]))
        .await;
        for (at, (model, status)) in [("right", 200), ("wrong", 502), ("none", 502)].into_iter().enumerate() {
            assert_eq!(gateway.chat(model).await.status, status, "{protocol}: {model}");
            let record = &gateway.until_records(at + 1).await[at];
            if status == 502 {
                assert_eq!(record["cause"], format!("{model}: client certificate refused"), "{protocol}");
            }
        }
        assert_eq!(server.had().len(), 1);
    }
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change_and_a_broken_file_changes_nothing() {
    let (clients, files) = (Authority::new(), Files::new());
    let server = Secure::that_asks(Asks::Certificate(&clients), "127.0.0.1", &["http/1.1"]).await;
    let (first, second) = (clients.leaf("first"), clients.leaf("second"));
    let tls = format!("{}, {}", ca(&server.authority), files.pair("own", &first));
    let gateway = Gateway::start(document(&[upstream("up", &server, &tls)])).await;
    assert_eq!(gateway.chat("up").await.status, 200);

    files.write("own.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let refused = async || {
        let logs = gateway.logs();
        let mut messages = logs.iter().filter_map(|line| line["message"].as_str());
        messages.find(|message| message.starts_with("configuration refused")).map(ToOwned::to_owned)
    };
    let message = until("it is refused", refused).await;
    assert!(message.contains("upstream.up.tls.cert: the file") && message.contains("own.crt"), "{message}");
    assert_eq!(gateway.chat("up").await.status, 200);
    assert!(server.had().iter().all(|had| had.identity == Some(first.der())));

    files.pair("own", &second);
    until("the new one is shown", async || {
        assert_eq!(gateway.chat("up").await.status, 200);
        holds(server.had().last().unwrap().identity == Some(second.der()))
    })
    .await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_with_their_path_and_the_reason() {
    let (clients, files) = (Authority::new(), Files::new());
    let server = Secure::start("127.0.0.1", &["h2"]).await;
    let (one, other) = (clients.leaf("one"), clients.leaf("other"));
    let path = |name: &str, content: &str| files.write(name, content).display().to_string();
    let (cert, key) = (path("a.crt", &one.cert), path("b.key", &other.key));
    let text = path("text", "no PEM");
    let odd = path("odd", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = one.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let locked = path("locked", &locked);
    for (tls, expected) in [
        (
            "ca = \"/nope.pem\"".to_owned(),
            "tls.ca: the file \"/nope.pem\" cannot be read: No such file".to_owned(),
        ),
        (format!("ca = \"{text}\""), format!("tls.ca: the file \"{text}\" holds no certificate in PEM")),
        (format!("ca = \"{odd}\""), format!("tls.ca: the file \"{odd}\" cannot be used")),
        (
            format!("cert = \"{cert}\", key = \"{key}\""),
            format!("tls.key: the file \"{key}\" is not the key of the certificate"),
        ),
        (
            format!("cert = \"{cert}\", key = \"{locked}\""),
            format!("tls.key: the file \"{locked}\" holds no key in PEM"),
        ),
        (
            format!("cert = \"{cert}\", key = \"{cert}\""),
            format!("tls.key: the file \"{cert}\" holds no key in PEM"),
        ),
        (
            format!("cert = \"{odd}\", key = \"{key}\""),
            format!("tls.cert: the file \"{odd}\" cannot be used"),
        ),
    ] {
        let file = files.write("weir.toml", &document(&[upstream("up", &server, &tls)]));
        for command in [&["check"][..], &["serve", "--config"]] {
            let mut program = Program::run(weir(&[command, &[file.to_str().unwrap()]].concat()));
            let status = program.end(std::time::Duration::from_secs(10)).await;
            let told = program.stderr.text();
            assert_eq!(status.code(), Some(1), "{tls}: {told}");
            assert!(told.contains(&format!("weir.toml:6: upstream.up.{expected}")), "{told}\n{expected}");
        }
    }
}

//! Proxies and certificates of upstreams.

use super::*;
use crate::routing::upstream::connection::{Dialer, Identity, Proxy, ProxyAddress, Tls, TlsFault, TlsFile};

/// A shell that makes its connections itself, and takes every file but one that holds `odd`.
#[derive(Default)]
struct Native(Here);

impl Dialer for Native {
    fn check(&self, tls: &Tls) -> Result<(), TlsFault> {
        let is_odd = |pem: &Secret| pem.expose().contains("odd");
        let fault = |file| Err(TlsFault { file, why: "holds no certificate".into() });
        match (&tls.ca, &tls.identity) {
            (Some(ca), _) if is_odd(ca) => fault(TlsFile::Ca),
            (_, Some(identity)) if is_odd(&identity.cert) => fault(TlsFile::Cert),
            (_, Some(identity)) if is_odd(&identity.key) => fault(TlsFile::Key),
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }
}

impl Surroundings for Native {
    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.0.file(path)
    }

    fn simulated(&self) -> Option<http::Uri> {
        self.0.simulated()
    }

    fn dialer(&self) -> Option<&dyn Dialer> {
        Some(self)
    }
}

fn native() -> Native {
    Native(Here {
        env: BTreeMap::from([("EGRESS", "http://user:canary@proxy.example:3128"), ("ODD", "socks5://h")]),
        files: BTreeMap::from([
            ("/ca", "a certificate"),
            ("/cert", "another"),
            ("/key", "its key"),
            ("/odd", "odd"),
            ("/egress", "https://:canary@proxy.example\n"),
        ]),
    })
}

fn said(setting: &str) -> String {
    LEAST.replace("[[route]]", &format!("{setting}\n[[route]]"))
}

fn upstream_of(setting: &str) -> Upstream {
    let loaded = Config::load(&toml(&said(setting)), &native());
    let mut upstreams = loaded.unwrap_or_else(|faults| panic!("{setting}: {faults}")).config.upstreams;
    upstreams.remove(0)
}

#[test]
fn a_proxy_is_the_environments_or_none_or_one_of_its_own() {
    let address = |text| Proxy::At(ProxyAddress::parse(text).unwrap());
    for (setting, expected) in [
        ("", Proxy::Environment),
        ("proxy = \"env\"", Proxy::Environment),
        ("proxy = \"none\"", Proxy::None),
        ("proxy = \"http://proxy.example:3128\"", address("http://proxy.example:3128")),
        ("proxy = { env = \"EGRESS\" }", address("http://user:canary@proxy.example:3128")),
        ("proxy = { file = \"/egress\" }", address("https://:canary@proxy.example")),
    ] {
        let upstream = upstream_of(setting);
        assert_eq!(upstream.proxy, expected, "{setting}");
        assert!(!format!("{upstream:?}").contains("canary"), "{upstream:?}");
    }
    // What is built in is on this machine, whatever the environment says.
    let text = LEAST.replace("openai", "simulated").replace("base_url = \"https://one.example/v1\"", "");
    assert_eq!(load(&text).unwrap().config.upstreams[0].proxy, Proxy::None);
}

#[test]
fn certificates_are_read_from_their_files() {
    assert_eq!(upstream_of("").tls, None);
    let tls = upstream_of("tls = { ca = \"/ca\", cert = \"/cert\", key = \"/key\" }").tls.unwrap();
    assert_eq!(tls.ca, Some(Secret::new("a certificate")));
    let identity = Identity { cert: Secret::new("another"), key: Secret::new("its key") };
    assert_eq!(tls.identity, Some(identity));
    assert!(!format!("{tls:?}").contains("its key"), "{tls:?}");
    assert_eq!(upstream_of("tls = { ca = \"/ca\" }").tls.unwrap().identity, None);
}

#[test]
fn what_no_connection_can_be_made_with_is_told_with_its_line() {
    for (setting, expected) in [
        ("proxy = \"direct\"", "proxy: not the address of a proxy; write \"env\", \"none\" or"),
        ("proxy = \"http://proxy.example/x\"", "proxy: not the address of a proxy; write"),
        ("proxy = \"socks5://h\"", "proxy: a proxy of a kind that is not spoken here"),
        (
            "proxy = \"http://u:canary@h\"",
            "proxy: a user or password is not written here; write proxy = { env",
        ),
        ("proxy = { env = \"ODD\" }", "proxy: a proxy of a kind that is not spoken here"),
        ("proxy = { env = \"NOPE\" }", "proxy: the variable \"NOPE\" is not set"),
        ("proxy = { file = \"/nope\" }", "proxy: the file \"/nope\" cannot be read: no such file"),
        ("proxy = { env = \"EGRESS\", file = \"/egress\" }", "proxy: names a variable and a file"),
        ("proxy = 5", "proxy: expected \"env\", \"none\", an address such as"),
        ("tls = {}", "tls: names no file; write { ca"),
        ("tls = { cert = \"/cert\" }", "tls.key: missing: a certificate is shown with its key"),
        ("tls = { ca = \"/ca\", key = \"/key\" }", "tls.cert: missing: the certificate that the key is of"),
        ("tls = { ca = \"/nope\" }", "tls.ca: the file \"/nope\" cannot be read: no such file"),
        ("tls = { ca = \"/odd\" }", "tls.ca: the file \"/odd\" holds no certificate"),
        (
            "tls = { cert = \"/nope\", key = \"/none\" }",
            "tls.cert: the file \"/nope\" cannot|tls.key: the file \"/none\" cannot",
        ),
        ("tls = { cert = \"/odd\", key = \"/key\" }", "tls.cert: the file \"/odd\" holds"),
        ("tls = { cert = \"/cert\", key = \"/odd\" }", "tls.key: the file \"/odd\" holds"),
        ("connection_age = \"0s\"", "connection_age: must be longer than nothing"),
        ("http2_connections = 0", "http2_connections: must be at least 1"),
        ("tls = { pem = \"/ca\" }", "tls.pem: unknown key \"pem\""),
    ] {
        let faults = Config::load(&toml(&said(setting)), &native()).unwrap_err();
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let expected: Vec<_> = expected.split('|').collect();
        assert_eq!(told.len(), expected.len(), "{setting}\n{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            let expected = format!("weir.toml:6: upstream.one.{expected}");
            assert!(told.starts_with(&expected) && !told.contains("canary"), "{told}\n{expected}");
        }
    }
}

#[test]
fn where_the_platform_makes_the_connections_it_is_a_fault_to_say_how() {
    for (setting, key) in [
        ("proxy = \"http://proxy.example:3128\"", "proxy"),
        ("proxy = { env = \"EGRESS\" }", "proxy"),
        ("tls = { ca = \"/ca\" }", "tls"),
        ("connection_age = \"1m\"", "connection_age"),
        ("http2_connections = 4", "http2_connections"),
    ] {
        let expected = format!("6: upstream.one.{key}: the platform makes the connections here");
        tells(&said(setting), &expected);
        let faults = Config::prepare(&toml(&said(setting))).unwrap_err().to_string();
        assert!(faults.starts_with(&format!("weir.toml:{expected}")), "{faults}");
    }
    for setting in ["proxy = \"env\"", "proxy = \"none\""] {
        assert!(load(&said(setting)).is_ok() && Config::prepare(&toml(&said(setting))).is_ok(), "{setting}");
    }
}

#[test]
fn connections_have_an_age_and_http2_a_bound() {
    let of = |setting| {
        let upstream = upstream_of(setting);
        (upstream.connection_age, upstream.http2_connections)
    };
    assert_eq!(of(""), (Duration::from_mins(5), 16));
    assert_eq!(of("connection_age = \"30s\"\nhttp2_connections = 2"), (Duration::from_secs(30), 2));
}

#[test]
fn certificates_of_an_upstream_without_tls_are_told() {
    let text = said("tls = { ca = \"/ca\" }").replace("https://", "http://");
    let warnings = apart_from_the_list(Config::load(&toml(&text), &native()).unwrap().warnings);
    let [warning] = warnings.as_slice() else { panic!("{warnings:#?}") };
    assert!(warning.to_string().starts_with("weir.toml:6: upstream.one.tls: not used"), "{warning}");
}

#[test]
fn the_password_of_a_proxy_is_a_secret_of_the_answers_wherever_it_stands() {
    let answer = b"Proxy-Authorization: user:canary-of-egress";
    for (setting, env, expected) in [
        ("proxy = { env = \"EGRESS\" }", ("EGRESS", "http://user:canary-of-egress@proxy.example:3128"), true),
        ("", ("https_proxy", "http://user:canary-of-egress@proxy.example:3128"), true),
        ("", ("ALL_PROXY", "user:canary-of-egress@proxy.example:3128"), true),
        ("proxy = \"none\"", ("https_proxy", "http://user:canary-of-egress@proxy.example:3128"), false),
        ("", ("https_proxy", "http://proxy.example:3128"), false),
    ] {
        let native = Native(Here { env: BTreeMap::from([env]), ..Here::default() });
        let config = Config::load(&toml(&said(setting)), &native).unwrap().config;
        assert_eq!(config.redactor.is_in(answer), expected, "{setting} {env:?}");
    }
}

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const READABLE: Bodies = Bodies::Readable;

fn parse(method: &str, path: &str) -> Address {
    let opened = ["/v1/rerank", "/v1/x/**", "/v1/y/*/z"].map(|path| PathPattern::parse(path).unwrap());
    Address::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path, &opened)
}

fn through(bodies: Bodies, usage: ReportedUsage) -> Endpoint {
    Endpoint::Passthrough(PassthroughKind { bodies, usage })
}

fn others(bodies: Bodies) -> Endpoint {
    through(bodies, ReportedUsage::OfOthers)
}

fn own() -> Endpoint {
    through(READABLE, ReportedUsage::OfCall)
}

#[test]
fn paths_lead_where_openai_says() {
    use Bodies::{Files, Json};
    use Endpoint::{Call, Model, Models, Unknown, WrongMethod};
    for (method, path, expected) in [
        ("POST", "/v1/chat/completions", Call(Operation::Chat)),
        ("GET", "/v1/chat/completions", others(Json)),
        ("HEAD", "/v1/chat/completions", others(Json)),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages", others(Json)),
        ("POST", "/v1/chat/completions/chatcmpl-1", others(Json)),
        ("OPTIONS", "/v1/chat/completions", WrongMethod { allow: "GET, HEAD, POST" }),
        ("OPTIONS", "/v1/files", WrongMethod { allow: ALLOWED }),
        ("TRACE", "/v1/files", WrongMethod { allow: ALLOWED }),
        ("DELETE", "/v1/files/f", others(Files)),
        ("POST", "/v1/completions", Call(Operation::Completions)),
        ("POST", "/openai/v1/embeddings", Call(Operation::Embeddings)),
        ("GET", "/v1/embeddings", WrongMethod { allow: "POST" }),
        ("POST", "/v1/responses", Call(Operation::Responses)),
        ("GET", "/v1/responses/resp_1", others(Json)),
        ("POST", "/v1/responses/compact", through(Json, ReportedUsage::OfCall)),
        ("POST", "/v1/responses/resp_1/cancel", others(Json)),
        ("GET", "/v1/models", Models),
        ("HEAD", "/v1/models", Models),
        ("GET", "/v1/models/", Models),
        ("GET", "/v1//models", Models),
        ("PUT", "/v1/models", WrongMethod { allow: "GET, HEAD" }),
        ("GET", "/v1/models/org%2Fmodel", Model("org/model".into())),
        ("GET", "/v1/models/org/model", Model("org/model".into())),
        ("HEAD", "/v1/models/m", Model("m".into())),
        ("DELETE", "/v1/models/ft:gpt", others(READABLE)),
        ("POST", "/v1/audio/transcriptions", own()),
        ("GET", "/v1/audio/voice_consents", others(READABLE)),
        ("POST", "/v1/content_provenance_checks", others(Files)),
        ("POST", "/v1/rerank", own()),
        ("POST", "/v1/rerank/x", Unknown),
        ("POST", "/v1/x", Unknown),
        ("POST", "/v1/x/a/b", own()),
        ("POST", "/v1/y/a/z", own()),
        ("POST", "/v1/y/a%2Fb/z", Unknown),
        ("POST", "/v1/y/a%2Fz", Unknown),
        ("POST", "/v1/chat", Unknown),
        ("POST", "/v1/chat/completion", Unknown),
        ("POST", "/v1/completions/x", Unknown),
        ("POST", "/v1", Unknown),
        ("POST", "/v1/", Unknown),
        ("POST", "/v1x/embeddings", Unknown),
        ("POST", "/V1/embeddings", Unknown),
        ("GET", "/v1/files/../../admin", Unknown),
        ("GET", "/v1/files/%2e%2E/admin", Unknown),
        ("GET", "/v1/files/..%5cadmin", Unknown),
        ("GET", "/v1/files/%2e%2e%2fadmin", Unknown),
        ("GET", "/v1/files/..;/admin", Unknown),
        ("GET", "/v1/files/a;b", Unknown),
        ("GET", "/v1/files/%252e", Unknown),
        ("GET", "/v1/files/a%0d%0ab", Unknown),
        ("GET", "/v1/files/%zz", Unknown),
        ("GET", "/v1/files/%ff", Unknown),
        ("GET", "/", Unknown),
    ] {
        assert_eq!(parse(method, path).endpoint, expected, "{method} {path}");
    }
}

#[test]
fn an_azure_path_names_its_deployment() {
    for (path, endpoint, deployment, suffix) in [
        (
            "/openai/deployments/gpt%2D4o/chat/completions",
            Endpoint::Call(Operation::Chat),
            Some("gpt-4o"),
            "/chat/completions",
        ),
        (
            "/openai/deployments/org%2Fm/chat//completions/",
            Endpoint::Call(Operation::Chat),
            Some("org/m"),
            "/chat/completions",
        ),
        (
            "/openai/deployments/a%2Fchat/completions",
            Endpoint::Call(Operation::Chat),
            Some("a"),
            "/chat/completions",
        ),
        ("/openai/deployments/org/m/audio/speech", own(), Some("org/m"), "/audio/speech"),
        ("/openai/responses", Endpoint::Call(Operation::Responses), None, "/responses"),
        ("/openai/chat/completions", Endpoint::Call(Operation::Chat), None, "/chat/completions"),
        ("/openai/files", others(Bodies::Files), None, "/files"),
        ("/openai/batches/b/cancel", others(READABLE), None, "/batches/b/cancel"),
        ("/openai/v1/files", others(Bodies::Files), None, "/files"),
        (
            "/openai/deployments/chat/completions",
            Endpoint::Call(Operation::Completions),
            Some("chat"),
            "/completions",
        ),
        ("/openai/deployments/m/Chat/completions", Endpoint::Unknown, None, ""),
        ("/openai/deployments", Endpoint::Unknown, None, ""),
        ("/openai/deployments/m", Endpoint::Unknown, None, ""),
        ("/openai/deployments/m/nothing", Endpoint::Unknown, None, ""),
        ("/openai/openai/responses", Endpoint::Unknown, None, ""),
    ] {
        let deployment = deployment.map(ToOwned::to_owned);
        let expected = Address { endpoint, deployment, suffix: suffix.into(), passed: PassedPath::default() };
        let found = Address { passed: PassedPath::default(), ..parse("POST", path) };
        assert_eq!(found, expected, "{path}");
    }
    assert_eq!(parse("GET", "/openai/models").endpoint, Endpoint::Models);
}

#[test]
fn what_goes_on_is_spelled_in_one_way() {
    for (path, expected) in [
        ("/v1/files//f%31/", "/files/f1"),
        ("//v1/%66iles/f", "/files/f"),
        ("/v1/files/a%2fb", "/files/a%2Fb"),
        ("/v1/files/%2fa", "/files/a"),
        ("/v1/files%2Fa%2fb", "/files/a/b"),
        ("/v1%2ffiles/a%2fb", "/files/a/b"),
        ("/v1/files/a b%3f%23%c3%a9%25", "/files/a%20b%3F%23%C3%A9%25"),
        ("/v1/files/ft:a,b@c~(d)", "/files/ft:a,b@c~(d)"),
        ("/v1/responses/r%2Fcancel", "/responses/r/cancel"),
    ] {
        assert_eq!(parse("POST", path).suffix, expected, "{path}");
    }
}

#[test]
fn an_operators_paths_are_read_or_told_what_is_wrong() {
    for (text, problem) in [
        ("/v1/rerank", ""),
        ("/v1/x/**", ""),
        ("/v1/x/*/y", ""),
        ("/v1/Rerank", ""),
        ("/v1/audio/new", ""),
        ("/v1/chat/jobs", ""),
        ("rerank/*", ""),
        ("/v2/rerank", "begins with"),
        ("/v1/", "empty"),
        ("/v1/x/", "empty"),
        ("/v1//x", "empty"),
        ("/v1/x/../y", "a segment is"),
        ("/v1/x%2Fy", "a segment is"),
        ("/v1/x*", "a segment is"),
        ("/v1/x?y", "a segment is"),
        ("/v1/x/**/y", "nothing is behind it"),
        ("/v1/**", "opens every path"),
        ("/v1/*/x", "opens every path"),
        ("/v1/chat/completions", "is understood"),
        ("/v1/Responses", "almost"),
    ] {
        match PathPattern::parse(text) {
            Ok(path) => {
                assert_eq!(problem, "", "{text}");
                assert_eq!(path.to_text(), format!("/v1/{}", text.trim_start_matches("/v1/")));
            }
            Err(found) => assert!(!problem.is_empty() && found.contains(problem), "{text}: {found}"),
        }
    }
}

#[test]
fn what_a_path_reaches_of_an_account_is_known_by_its_method_and_shape() {
    use Reach::{Administration, Creation, Ending, Listing, Object, Work};
    for (method, path, reach, id) in [
        ("POST", "/v1/audio/speech", Work, None),
        ("POST", "/v1/images/edits", Work, None),
        ("POST", "/v1/responses/compact", Work, None),
        ("GET", "/v1/realtime", Work, None),
        ("POST", "/v1/files", Creation, None),
        ("GET", "/v1/files", Listing, None),
        ("HEAD", "/v1/files/", Listing, None),
        ("GET", "/v1/files/f", Object, Some("f")),
        ("GET", "/v1/files/f/content", Object, Some("f")),
        ("DELETE", "/v1/files/f", Ending, Some("f")),
        ("DELETE", "/v1/files", Ending, None),
        ("GET", "/v1/chat/completions", Listing, None),
        ("GET", "/v1/chat/completions/c/messages", Object, Some("c")),
        ("POST", "/v1/responses/r/cancel", Ending, Some("r")),
        ("POST", "/v1/fine_tuning/jobs", Creation, None),
        ("GET", "/v1/fine_tuning/jobs", Listing, None),
        ("POST", "/v1/fine_tuning/jobs/j/pause", Ending, Some("j")),
        ("GET", "/v1/fine_tuning/checkpoints/c/permissions", Administration, None),
        ("POST", "/v1/threads/runs", Creation, None),
        ("POST", "/v1/threads/t/runs/r/Cancel", Ending, Some("t")),
        ("POST", "/v1/threads/t/messages", Object, Some("t")),
        ("POST", "/v1/evals/e/runs", Listing, Some("e")),
        ("GET", "/v1/evals/e/runs", Object, Some("e")),
        ("POST", "/v1/evals/e/runs/r", Ending, Some("e")),
        ("GET", "/v1/audio/voices", Listing, None),
        ("GET", "/v1/audio/voices/v", Object, Some("v")),
        ("POST", "/v1/videos/v/remix", Object, Some("v")),
        ("GET", "/v1/organization/admin_api_keys", Administration, None),
        ("GET", "/v1/projects", Administration, None),
        ("POST", "/v1/realtime/client_secrets", Administration, None),
        ("POST", "/v1/realtime/translations/client_secrets", Administration, None),
        ("POST", "/v1/realtime/sessions", Administration, None),
        ("POST", "/v1/live/client_secrets", Administration, None),
        ("POST", "/v1/realtime/calls/c/hangup", Ending, Some("c")),
        ("DELETE", "/v1/models/m", Ending, Some("m")),
        ("POST", "/v1/rerank", Creation, None),
        ("GET", "/v1/rerank", Work, None),
        ("DELETE", "/v1/rerank", Ending, None),
        ("GET", "/v1/x/1", Object, Some("1")),
        ("POST", "/v1/y/1/z", Object, Some("1")),
        ("POST", "/v1/x/1/cancel", Ending, Some("1")),
        // One reader sees a word behind a slash, and the other none.
        ("POST", "/v1/batches/b%2Fcancel", Ending, Some("b")),
        ("GET", "/v1/fine_tuning/jobs%2Fj", Listing, Some("j")),
    ] {
        let address = parse(method, path);
        let opened = ["/v1/rerank", "/v1/x/**", "/v1/y/*/z"].map(|path| PathPattern::parse(path).unwrap());
        let opening = opened.iter().find(|opened| opened.opens(&address.passed));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let reached = address.passed.reached(&method, opening);
        assert_eq!(reached.reach, reach, "{method} {path}");
        assert_eq!(address.passed.ids(reached).first().copied(), id, "{method} {path}");
    }
}

#[test]
fn a_pattern_covers_what_opens_no_more_than_it_does() {
    let pattern = |text| PathPattern::parse(text).unwrap();
    for (wide, narrow, expected) in [
        ("x/**", "x/*", true),
        ("x/**", "x/a/b", true),
        ("x/**", "x/a/**", true),
        ("x/*", "x/*", true),
        ("x/*", "x/**", false),
        ("x/a", "x/*", false),
        ("x/**", "x", false),
        ("x", "x", true),
    ] {
        assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "{wide} {narrow}");
    }
}

/// Readers of paths that are not this one, written after what servers do and without a line of it.
mod reader {
    /// Decodes once and leaves what is no escape, as Starlette does.
    pub(super) fn starlette(path: &str) -> String {
        let (bytes, mut out, mut at) = (path.as_bytes(), Vec::new(), 0);
        while at < bytes.len() {
            let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
            let code = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
            let code = code.filter(|_| bytes[at] == b'%').map(|hex| u8::from_str_radix(hex, 16).unwrap());
            out.push(code.unwrap_or(bytes[at]));
            at += if code.is_some() { 3 } else { 1 };
        }
        let path = String::from_utf8_lossy(&out).into_owned();
        // It redirects to the path without the slash, and clients follow.
        path.strip_suffix('/').map(str::to_owned).unwrap_or(path)
    }

    /// Decodes, merges slashes and resolves dots, as nginx does before it looks for a location.
    pub(super) fn nginx(path: &str) -> String {
        let mut parts: Vec<String> = Vec::new();
        for part in starlette(path).split('/') {
            match part {
                "" | "." => {}
                ".." => _ = parts.pop(),
                part => parts.push(part.to_owned()),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// Takes off what stands behind a semicolon before it resolves dots, as Tomcat does.
    pub(super) fn tomcat(path: &str) -> String {
        let parts = path.split('/').map(|part| part.split(';').next().unwrap_or_default());
        nginx(&parts.collect::<Vec<_>>().join("/"))
    }

    /// Ignores case and what a name ends with, as IIS does.
    pub(super) fn iis(path: &str) -> String {
        let parts = nginx(&path.replace('\\', "/").replace("%5c", "/").replace("%5C", "/"));
        parts
            .split('/')
            .map(|part| part.trim_end_matches(['.', ' ']))
            .collect::<Vec<_>>()
            .join("/")
            .to_lowercase()
    }

    /// Decodes a second time, as a chain of two proxies does.
    pub(super) fn twice(path: &str) -> String {
        nginx(&starlette(path))
    }

    pub(super) const ALL: [fn(&str) -> String; 5] = [starlette, nginx, tomcat, iis, twice];

    /// Understood calls, by the paths of their API.
    pub(super) fn understood(path: &str) -> Option<super::Operation> {
        let suffix = path.strip_prefix("/openai/v1").or_else(|| path.strip_prefix("/v1")).or_else(|| {
            let rest = path.strip_prefix("/openai/deployments/")?;
            rest.find('/').map(|at| &rest[at..])
        });
        match suffix.or_else(|| path.strip_prefix("/openai"))? {
            "/chat/completions" => Some(super::Operation::Chat),
            "/completions" => Some(super::Operation::Completions),
            "/embeddings" => Some(super::Operation::Embeddings),
            "/responses" => Some(super::Operation::Responses),
            _ => None,
        }
    }
}

/// An understood path or its like, spelled as an attacker would.
fn spelling() -> impl Strategy<Value = String> {
    let roots = proptest::sample::select(vec![
        "/v1",
        "/openai/v1",
        "/openai",
        "/openai/deployments/m",
        "/openai/deployments/org/m",
        "/x/../v1",
    ]);
    let paths = proptest::sample::select(vec![
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/responses",
        "/files/../responses",
        "/chat/./completions",
        "/x/responses",
        "/x/../../v1/responses",
        "/files/chat/completions",
        "/models/../embeddings",
        "/rerank",
        "/responses/compact",
        "/chat/completions/x",
    ]);
    let tail = proptest::sample::select(vec![
        "", "", "", "/", "//", "/.", "/..", "/x/..", ";x=1", "%20", ".", "/;", "%00",
    ]);
    let letter = 0..12_u8;
    (roots, paths, tail, proptest::collection::vec(letter, 40)).prop_map(|(root, path, tail, ways)| {
        let text = format!("{root}{path}{tail}");
        let mut out = String::new();
        for (at, sign) in text.chars().enumerate() {
            match (sign, ways[at % ways.len()]) {
                ('/', 0) => out.push_str("//"),
                ('/', 1) => out.push_str("%2F"),
                ('/', 2) => out.push_str("/%2f"),
                ('/', 3) => out.push_str("%5C"),
                ('/', 4) => out.push_str("/;a/"),
                ('.', 0) => out.push_str("%2e"),
                ('.', 1) => out.push_str("%252E"),
                (c, 0) if c.is_ascii_alphabetic() => write!(out, "%{:02x}", u32::from(c)).unwrap(),
                (c, 1) if c.is_ascii_alphabetic() => write!(out, "%25{:02X}", u32::from(c)).unwrap(),
                (c, 2) => out.extend(c.to_uppercase()),
                (c, _) => out.push(c),
            }
        }
        out
    })
}

/// Spellings with few changes meet what they attack more often.
fn light_spelling() -> impl Strategy<Value = String> {
    (spelling(), proptest::collection::vec((0..60_usize, 0..6_u8), 0..3), 0..5_usize).prop_map(
        |(_, edits, which)| {
            let paths = [
                "/v1/chat/completions",
                "/v1/responses",
                "/openai/v1/embeddings",
                "/v1/completions",
                "/openai/deployments/m/chat/completions",
            ];
            let mut text: Vec<String> = paths[which].chars().map(String::from).collect();
            for (at, edit) in edits {
                let at = at % text.len();
                let sign = text[at].clone();
                text[at] = match edit {
                    0 => sign.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}")),
                    1 => sign.to_uppercase(),
                    2 => format!("{sign}/"),
                    3 => format!("{sign};a=b"),
                    4 => format!("{sign}."),
                    _ => format!("{sign}%2F"),
                };
            }
            text.concat()
        },
    )
}

/// Whatever another reader takes for an understood call is that call here, or refused; and what goes on is one thing
/// to all readers.
fn holds(path: &str) -> Result<(), TestCaseError> {
    let address = parse("POST", path);
    for read in reader::ALL {
        let Some(operation) = reader::understood(&read(path)) else { continue };
        match &address.endpoint {
            Endpoint::Call(found) => prop_assert_eq!(*found, operation, "{}", path),
            Endpoint::Unknown | Endpoint::WrongMethod { .. } => {}
            Endpoint::Passthrough(_) | Endpoint::Models | Endpoint::Model(_) => {
                prop_assert!(false, "{} is {:?}", path, address);
            }
        }
    }
    if let Endpoint::Passthrough(_) = address.endpoint {
        for read in reader::ALL {
            let sent = format!("/v1{}", address.suffix);
            prop_assert_eq!(reader::understood(&read(&sent)), None, "{} goes on as {}", path, sent);
        }
    }
    if let Endpoint::Call(operation) = address.endpoint {
        let sent = format!("/v1{}", address.suffix);
        prop_assert_eq!(reader::understood(&sent), Some(operation), "{} goes on as {}", path, sent);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_spelling_of_an_understood_path_passes_through(path in spelling()) {
        holds(&path)?;
    }

    #[test]
    fn no_light_spelling_of_an_understood_path_passes_through(path in light_spelling()) {
        holds(&path)?;
    }

    #[test]
    fn what_goes_on_means_what_came(path in "(/|//|%2F)v1(/|%2f|//)(files|%66iles|rerank|x|batches)(/|%2F|//|[a-z]|%2e|%41|;|é|%|:){0,8}") {
        let address = parse("POST", &path);
        if let Endpoint::Passthrough(_) = address.endpoint {
            let again = parse("POST", &format!("/v1{}", address.suffix));
            prop_assert_eq!(&again, &address, "spelled anew it stays what it is");
        }
    }
}

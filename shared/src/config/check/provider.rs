//! Addresses of known providers, and what is often wrong with them: a warning each, for the address may be meant.

use http::Uri;

use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::report::Report;

/// Hosts whose API begins below a path, as their documentation says (read 2026-11). A host stands for the names
/// below it as well.
const KNOWN: &[(&str, &str)] = &[
    ("api.cerebras.ai", "/v1"),
    ("api.fireworks.ai", "/inference/v1"),
    ("api.groq.com", "/openai/v1"),
    ("api.holysheep.ai", "/v1"),
    ("api.mistral.ai", "/v1"),
    ("api.moonshot.ai", "/v1"),
    ("api.moonshot.cn", "/v1"),
    ("api.openai.com", "/v1"),
    ("api.sambanova.ai", "/v1"),
    ("api.together.ai", "/v1"),
    ("api.together.xyz", "/v1"),
    ("api.x.ai", "/v1"),
    ("dashscope-intl.aliyuncs.com", "/compatible-mode/v1"),
    ("dashscope.aliyuncs.com", "/compatible-mode/v1"),
    ("generativelanguage.googleapis.com", "/v1beta/openai"),
    ("integrate.api.nvidia.com", "/v1"),
    ("openrouter.ai", "/api/v1"),
];

/// Ports of servers that people run themselves, and where OpenAI's API begins there.
const LOCAL: &[(u16, &str)] = &[(8000, "/v1"), (11434, "/v1")];

/// Paths of calls, which Weir adds itself.
const CALLS: &[&str] = &["/chat/completions", "/completions", "/embeddings", "/responses", "/models"];

/// Warns where `base` is the address of a call, or lacks what a known provider's address has.
pub(super) fn tell_odd(base: &Uri, path: &Path, report: &mut Report<'_>) {
    let Some(problem) = oddity(base) else { return };
    report.warn(path, problem);
}

fn oddity(base: &Uri) -> Option<Problem> {
    let path = base.path().trim_end_matches('/');
    if let Some(call) = CALLS.iter().find(|call| path.ends_with(*call)) {
        let rest = &path[..path.len() - call.len()];
        let shown = if rest.is_empty() { "/" } else { rest };
        let problem = Problem::new(format!("ends in {call}, which calls add themselves"));
        return Some(problem.hint(format!("end it with {shown}")));
    }
    let expected = expected(base)?;
    let problem = Problem::new(format!("lacks {expected}, where this provider's API begins"));
    (!path.starts_with(expected)).then(|| problem.hint(format!("end it with {expected}")))
}

/// Where the API begins, of an address that is known.
fn expected(base: &Uri) -> Option<&'static str> {
    let host = base.host()?.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(known, _)| {
        host.strip_suffix(known).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    });
    let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    let port = base.port_u16().filter(|_| is_local);
    let local = port.and_then(|port| LOCAL.iter().find(|(known, _)| *known == port));
    known.map(|(_, path)| *path).or(local.map(|(_, path)| *path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_often_wrong_are_told() {
        for (address, expected) in [
            ("https://api.openai.com/v1", None),
            ("https://api.openai.com/", Some("end it with /v1")),
            ("https://eu.api.openai.com/", Some("end it with /v1")),
            ("https://notapi.openai.com.example/", None),
            ("https://myapi.openai.com/", None),
            ("https://api.openai.com/v1/chat/completions", Some("end it with /v1")),
            ("https://relay.example/chat/completions", Some("end it with /")),
            ("https://relay.example/v1/models", Some("end it with /v1")),
            ("https://api.groq.com/v1", Some("end it with /openai/v1")),
            ("https://openrouter.ai/api/v1", None),
            ("https://api.deepseek.com/", None),
            ("https://relay.example/", None),
            ("http://localhost:11434/", Some("end it with /v1")),
            ("http://127.0.0.1:8000/v1", None),
            ("http://127.0.0.1:8001/", None),
        ] {
            let hint = oddity(&Uri::from_static(address)).and_then(|problem| problem.hint);
            assert_eq!(hint.as_deref(), expected, "{address}");
        }
    }
}

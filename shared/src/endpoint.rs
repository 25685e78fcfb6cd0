//! What a method and a path ask for.

use http::Method;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A call that is understood: routed by its model, metered, held to the stream contract.
    Call(Operation),
    /// Another documented path: routed by its model where it names one, else passed on as it is.
    Passthrough,
    Models,
    Model(String),
    /// A documented path, but not with this method.
    WrongMethod {
        allow: &'static str,
    },
    Unknown,
}

/// The calls that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Chat,
    Completions,
    Embeddings,
    Responses,
}

impl Operation {
    /// The name `OpenTelemetry`'s `GenAI` conventions give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Responses => "responses",
        }
    }
}

/// A request line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub endpoint: Endpoint,
    /// The model in an Azure-style path, percent-decoded.
    pub deployment: Option<String>,
    /// The path behind `/v1`, as it was sent, with its leading slash.
    pub suffix: String,
}

/// First segments that `OpenAI` documents under `/v1`, beside the calls that are understood.
const DOCUMENTED: &[&str] = &[
    "assistants",
    "audio",
    "batches",
    "chat",
    "chatkit",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "models",
    "moderations",
    "organization",
    "projects",
    "realtime",
    "responses",
    "skills",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

/// Methods that `OpenAI` documents anywhere; a browser's preflight (OPTIONS) is not worth a call upstream.
const DOCUMENTED_METHODS: &[Method] =
    &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

impl Address {
    /// Understands `method path`. A path with dot segments, backslashes or control characters is unknown:
    /// what goes upstream with the gateway's credential must stay below the upstream's base.
    pub fn parse(method: &Method, path: &str) -> Self {
        let (deployment, suffix) = split(path).unwrap_or_default();
        let suffix_is_safe = suffix.len() > 1 && suffix.split('/').skip(1).all(is_safe_segment);
        let endpoint = if suffix_is_safe { endpoint(method, suffix) } else { Endpoint::Unknown };
        Self { endpoint, deployment, suffix: suffix.to_owned() }
    }
}

/// The deployment and what stands behind the API's root.
fn split(path: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = path.strip_prefix("/openai/deployments/") {
        let (model, _) = rest.split_once('/')?;
        return Some((Some(decode(model)?), &rest[model.len()..]));
    }
    let suffix = path.strip_prefix("/openai/v1").or_else(|| path.strip_prefix("/v1"))?;
    suffix.starts_with('/').then_some((None, suffix))
}

fn endpoint(method: &Method, suffix: &str) -> Endpoint {
    let post = |operation| match *method {
        Method::POST => Endpoint::Call(operation),
        _ => Endpoint::WrongMethod { allow: "POST" },
    };
    match suffix {
        // Stored completions are listed with GET.
        "/chat/completions" if method == Method::POST => Endpoint::Call(Operation::Chat),
        "/chat/completions" if method != Method::GET => Endpoint::WrongMethod { allow: "GET, POST" },
        "/responses" => post(Operation::Responses),
        "/completions" => post(Operation::Completions),
        "/embeddings" => post(Operation::Embeddings),
        "/models" if method == Method::GET => Endpoint::Models,
        "/models" => Endpoint::WrongMethod { allow: "GET" },
        _ => match suffix.strip_prefix("/models/").filter(|_| method == Method::GET) {
            Some(id) => decode(id).map_or(Endpoint::Unknown, Endpoint::Model),
            None if is_documented(suffix) && DOCUMENTED_METHODS.contains(method) => Endpoint::Passthrough,
            None if is_documented(suffix) => Endpoint::WrongMethod { allow: ALLOWED },
            None => Endpoint::Unknown,
        },
    }
}

fn is_documented(suffix: &str) -> bool {
    let first = suffix[1..].split('/').next().unwrap_or_default();
    DOCUMENTED.contains(&first)
}

fn is_safe_segment(segment: &str) -> bool {
    decode(segment).is_some_and(|text| {
        !text.contains(|c: char| c == '\\' || c.is_control())
            && text.split('/').all(|part| part != "." && part != "..")
    })
}

/// Percent-decodes; `None` when that is not UTF-8 or a `%` stands alone.
pub fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_openai_says() {
        use Endpoint::{Call, Model, Models, Passthrough, Unknown, WrongMethod};
        for (method, path, expected) in [
            ("POST", "/v1/chat/completions", Call(Operation::Chat)),
            ("GET", "/v1/chat/completions", Passthrough),
            ("GET", "/v1/chat/completions/chatcmpl-1/messages", Passthrough),
            ("OPTIONS", "/v1/chat/completions", WrongMethod { allow: "GET, POST" }),
            ("OPTIONS", "/v1/files", WrongMethod { allow: ALLOWED }),
            ("TRACE", "/v1/files", WrongMethod { allow: ALLOWED }),
            ("DELETE", "/v1/files/f", Passthrough),
            ("POST", "/v1/completions", Call(Operation::Completions)),
            ("POST", "/openai/v1/embeddings", Call(Operation::Embeddings)),
            ("GET", "/v1/embeddings", WrongMethod { allow: "POST" }),
            ("POST", "/v1/responses", Call(Operation::Responses)),
            ("GET", "/v1/responses/resp_1", Passthrough),
            ("GET", "/v1/models", Models),
            ("GET", "/v1/models/org%2Fmodel", Model("org/model".into())),
            ("GET", "/v1/models/org/model", Model("org/model".into())),
            ("DELETE", "/v1/models/ft:gpt", Passthrough),
            ("POST", "/v1/audio/transcriptions", Passthrough),
            ("POST", "/v1/x", Unknown),
            ("POST", "/v1", Unknown),
            ("POST", "/v1/", Unknown),
            ("POST", "/v1x/embeddings", Unknown),
            ("GET", "/v1/files/../../admin", Unknown),
            ("GET", "/v1/files/%2e%2E/admin", Unknown),
            ("GET", "/v1/files/..%5cadmin", Unknown),
            ("GET", "/v1/files/%2e%2e%2fadmin", Unknown),
            ("GET", "/v1/files/a%0d%0ab", Unknown),
            ("GET", "/v1/files/%zz", Unknown),
            ("GET", "/", Unknown),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(Address::parse(&method, path).endpoint, expected, "{method} {path}");
        }
    }

    #[test]
    fn an_azure_path_names_its_deployment() {
        let address = Address::parse(&Method::POST, "/openai/deployments/gpt%2D4o/chat/completions");
        assert_eq!(address.endpoint, Endpoint::Call(Operation::Chat));
        assert_eq!(address.deployment.as_deref(), Some("gpt-4o"));
        assert_eq!(address.suffix, "/chat/completions");
    }
}

//! What a method and a path ask for.
//!
//! A path is decoded and normalised once, and all that is decided about it is decided on that: a path that means an
//! understood call is that call, however it is spelled. What passes through is spelled anew from what was judged, so
//! that the upstream sees nothing else. A path that another reader could take for another one is unknown.

mod documented;
mod opened;
mod path;
mod reach;
#[cfg(test)]
mod tests;

use http::Method;

pub use self::opened::PathPattern;
use self::path::Segments;
pub use self::path::{decode, is_deceptive};
pub use self::reach::{Reach, Reached};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A call that is understood: routed by its model, metered, held to the stream contract.
    Call(Operation),
    /// Another documented path, or one that the operator has opened: routed by its model where it names one.
    Passthrough(PassthroughKind),
    Models,
    Model(String),
    /// A documented path, but not with this method.
    WrongMethod {
        allow: &'static str,
    },
    Unknown,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON body.
    Whole,
    /// A stream of events, to its terminator.
    Events,
}

/// How a call is treated that passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassthroughKind {
    pub bodies: Bodies,
    pub usage: ReportedUsage,
}

/// What is taken as the body of a call that passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// JSON and nothing else: it stands beside or beneath a call that is understood.
    Json,
    /// What can be read for the model that it names.
    Readable,
    /// Files, too large to be held, which no model answers: passed on as they come, unless they say that they are
    /// something readable.
    Files,
}

/// Whose usage stands in an answer that passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedUsage {
    /// That of the call itself.
    OfCall,
    /// None, or that of an earlier call which is told again.
    OfOthers,
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
    /// The model in an Azure-style path, decoded.
    pub deployment: Option<String>,
    /// The path behind `/v1` as it goes to an upstream, with its leading slash: decoded, normalised and encoded again.
    pub suffix: String,
    /// The segments of a path that passes through.
    pub passed: PassedPath,
}

/// What stands behind `/v1` in a path that passes through, decoded; empty for all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedPath {
    /// As a reader sees it that takes an escaped slash for a slash.
    flat: Vec<String>,
    /// As another sees it.
    kept: Vec<String>,
}

impl PassedPath {
    fn new(flat: &[&str], kept: &[&str]) -> Self {
        let owned = |segments: &[&str]| segments.iter().map(ToString::to_string).collect();
        Self { flat: owned(flat), kept: owned(kept) }
    }

    /// An understood call's, which passes through where no route takes it.
    pub fn of_call(suffix: &str) -> Self {
        let segments: Vec<&str> = suffix.split('/').filter(|segment| !segment.is_empty()).collect();
        Self::new(&segments, &segments)
    }

    fn views(&self) -> [Vec<&str>; 2] {
        [&self.flat, &self.kept].map(|segments| segments.iter().map(String::as_str).collect())
    }

    /// Whether `OpenAI` documents it.
    pub fn is_documented(&self) -> bool {
        documented::bodies(&self.views()[0]).is_some()
    }

    /// What `method` reaches there, by the operator's own pattern where that is what opens it.
    pub fn reached(&self, method: &Method, opened: Option<&PathPattern>) -> Reached {
        let opened = opened.filter(|_| !self.is_documented());
        let [flat, kept] = self.views().map(|path| reach::reached(method, &path, opened));
        // The worse of two readings.
        Reached { reach: flat.reach.max(kept.reach), id: flat.id.or(kept.id) }
    }

    /// Whether the answer to `method` there names an object that was made.
    pub fn makes_object(&self, method: &Method, reached: Reached) -> bool {
        *method == Method::POST && reach::makes_object(reached, &self.views()[0])
    }

    /// Whether what is answered there is what somebody has put into an object, and tells nothing of objects.
    pub fn is_content(&self) -> bool {
        [&self.flat, &self.kept].iter().any(|path| path.last().is_some_and(|last| last == "content"))
    }

    /// What names the object there: both readings, where they differ.
    pub fn ids(&self, reached: Reached) -> Vec<&str> {
        let Some(at) = reached.id else { return Vec::new() };
        let mut ids: Vec<&str> =
            [&self.flat, &self.kept].iter().filter_map(|path| path.get(at)).map(String::as_str).collect();
        ids.dedup();
        ids
    }

    /// The model that a path to models names.
    pub fn model(&self) -> Option<String> {
        match self.flat.as_slice() {
            [models, id @ ..] if models == "models" && !id.is_empty() => Some(id.join("/")),
            _ => None,
        }
    }
}

/// Methods that `OpenAI` documents anywhere; a browser's preflight (OPTIONS) is not worth a call upstream.
const DOCUMENTED_METHODS: &[Method] =
    &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// What most requests ask for, spelled as it should be.
const PLAIN: [(&str, Operation); 4] = [
    ("/v1/chat/completions", Operation::Chat),
    ("/v1/responses", Operation::Responses),
    ("/v1/embeddings", Operation::Embeddings),
    ("/v1/completions", Operation::Completions),
];

impl Address {
    /// Understands `method path`; `opened` are the operator's own paths.
    pub fn parse(method: &Method, path: &str, opened: &[PathPattern]) -> Self {
        let plain = PLAIN.iter().find(|(plain, _)| *method == Method::POST && path == *plain);
        if let Some((plain, operation)) = plain {
            let suffix = plain["/v1".len()..].to_owned();
            let passed = PassedPath::default();
            return Self { endpoint: Endpoint::Call(*operation), deployment: None, suffix, passed };
        }
        Self::read(method, path, opened).unwrap_or(Self {
            endpoint: Endpoint::Unknown,
            deployment: None,
            suffix: String::new(),
            passed: PassedPath::default(),
        })
    }

    fn read(method: &Method, path: &str, opened: &[PathPattern]) -> Option<Self> {
        let segments = Segments::parse(path)?;
        let all = segments.flat();
        let (deployment, root) = match all.as_slice() {
            ["openai", "v1", ..] => (None, 2),
            ["openai", "deployments", rest @ ..] => {
                let length = deployment_length(rest, opened)?;
                (Some(rest[..length].join("/")), 2 + length)
            }
            ["v1" | "openai", ..] => (None, 1),
            _ => return None,
        };
        let flat = &all[root..];
        let endpoint = endpoint(method, flat, &segments.behind(root), opened);
        let suffix = match &endpoint {
            // A slash that was escaped stays so: it may be part of an identifier.
            Endpoint::Passthrough(PassthroughKind { bodies: Bodies::Readable | Bodies::Files, .. }) => {
                path::spelled(&segments.behind(root))
            }
            Endpoint::Passthrough(PassthroughKind { bodies: Bodies::Json, .. })
            | Endpoint::Call(_)
            | Endpoint::Models
            | Endpoint::Model(_)
            | Endpoint::WrongMethod { .. } => path::spelled(flat),
            Endpoint::Unknown => return None,
        };
        let passed = match &endpoint {
            Endpoint::Passthrough(_) => PassedPath::new(flat, &segments.behind(root)),
            Endpoint::Call(_)
            | Endpoint::Models
            | Endpoint::Model(_)
            | Endpoint::WrongMethod { .. }
            | Endpoint::Unknown => PassedPath::default(),
        };
        Some(Self { endpoint, deployment, suffix, passed })
    }
}

/// How many segments an Azure-style path names its deployment with: a model's name may hold slashes. What stands
/// behind the name is an understood call, or else the longest path that passes through.
fn deployment_length(rest: &[&str], opened: &[PathPattern]) -> Option<usize> {
    let suffixes = || (1..rest.len()).map(|at| (at, &rest[at..]));
    // To a reader that ignores case the call begins sooner than to one that does not.
    if suffixes().any(|(_, suffix)| is_almost_understood(suffix)) {
        return None;
    }
    let passes = |suffix: &[&str]| passthrough(&Method::GET, suffix, suffix, opened).is_some();
    let call = suffixes().find(|(_, suffix)| understood(suffix).is_some());
    call.or_else(|| suffixes().find(|(_, suffix)| passes(suffix))).map(|(at, _)| at)
}

fn understood(suffix: &[&str]) -> Option<Operation> {
    match suffix {
        ["chat", "completions"] => Some(Operation::Chat),
        ["completions"] => Some(Operation::Completions),
        ["embeddings"] => Some(Operation::Embeddings),
        ["responses"] => Some(Operation::Responses),
        _ => None,
    }
}

/// `flat` is what a reader sees that takes an escaped slash for a slash, `kept` what another sees.
fn endpoint(method: &Method, flat: &[&str], kept: &[&str], opened: &[PathPattern]) -> Endpoint {
    let is_read = method == Method::GET || method == Method::HEAD;
    match (understood(flat), flat) {
        (Some(operation), _) if method == Method::POST => return Endpoint::Call(operation),
        // Stored completions are listed.
        (Some(Operation::Chat), _) if is_read => {}
        (Some(Operation::Chat), _) => return Endpoint::WrongMethod { allow: "GET, HEAD, POST" },
        (Some(Operation::Completions | Operation::Embeddings | Operation::Responses), _) => {
            return Endpoint::WrongMethod { allow: "POST" };
        }
        (None, ["models"]) if is_read => return Endpoint::Models,
        (None, ["models"]) => return Endpoint::WrongMethod { allow: "GET, HEAD" },
        (None, ["models", id @ ..]) if is_read => return Endpoint::Model(id.join("/")),
        (None, _) => {}
    }
    match passthrough(method, flat, kept, opened) {
        Some(_) if !DOCUMENTED_METHODS.contains(method) => Endpoint::WrongMethod { allow: ALLOWED },
        Some(passthrough) => Endpoint::Passthrough(passthrough),
        None => Endpoint::Unknown,
    }
}

/// How a path is treated that is not understood, or a list of what is; `None` where it is neither documented nor
/// opened.
fn passthrough(
    method: &Method,
    flat: &[&str],
    kept: &[&str],
    opened: &[PathPattern],
) -> Option<PassthroughKind> {
    let bodies = documented::bodies(flat);
    let is_opened = || opened.iter().any(|path| path.matches(flat) && path.matches(kept));
    if is_almost_understood(flat) || (bodies.is_none() && !is_opened()) {
        return None;
    }
    let is_beside_call = matches!(flat.first(), Some(&("chat" | "completions" | "embeddings" | "responses")));
    let bodies = if is_beside_call { Bodies::Json } else { bodies.unwrap_or(Bodies::Readable) };
    let is_of_call =
        *method == Method::POST && (documented::bodies(flat).is_none() || documented::reports_usage(flat));
    let usage = if is_of_call { ReportedUsage::OfCall } else { ReportedUsage::OfOthers };
    Some(PassthroughKind { bodies, usage })
}

/// Whether a reader that ignores case, or what a segment ends with, takes it for a call that is understood.
fn is_almost_understood(flat: &[&str]) -> bool {
    let lower: Vec<String> = flat
        .iter()
        .map(|segment| segment.trim().trim_end_matches(['.', ' ']).to_uppercase().to_lowercase())
        .collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).filter(|segment| !segment.is_empty()).collect();
    lower != flat && understood(&lower).is_some()
}

//! Reads a document's text into one tree, whatever it is written in, and remembers where each part stood.
//!
//! Refused here: what is too long, what is nested too deep, what is no TOML or JSON, and what only one of the
//! two can say (dates, `nan`), so that all that follows sees one shape.

mod json;
mod toml;

use std::fmt;

use serde_json::Value;

use super::fault::{Fault, Faults};
use super::path::Path;
use crate::routing::upstream::connection::Dialer;

/// Bytes; a document that is longer is not a configuration.
const LONGEST: usize = 1 << 20;

/// What a prepared document begins with.
pub(super) const PREPARED: &str = "weir-prepared ";

/// Tables and lists inside each other. The shape needs six.
const DEEPEST: usize = 32;

/// A configuration as it was found.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// What messages call it: a file's name.
    pub name: &'a str,
    pub text: &'a str,
    pub format: Format,
}

/// Without the text: somebody may have pasted a credential into it.
impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("name", &self.name)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Toml,
    Json,
    /// What [`Config::prepare`](super::Config::prepare) has written.
    Prepared,
}

impl Format {
    /// Of a text that comes without a name. No TOML begins as the others do, and every configuration in JSON is an
    /// object.
    pub fn of(text: &str) -> Self {
        match text.trim_start().starts_with('{') {
            _ if text.starts_with(PREPARED) => Self::Prepared,
            true => Self::Json,
            false => Self::Toml,
        }
    }
}

/// What a document may refer to, as the shell finds it.
pub trait Surroundings {
    /// An environment variable, a Spin variable, a Worker's secret.
    fn env(&self, name: &str) -> Option<String>;

    /// The content of a file, or in words why it cannot be had.
    fn file(&self, path: &str) -> Result<String, String>;

    /// Where the built-in simulated provider listens; `None` if this shell has none.
    fn simulated(&self) -> Option<http::Uri>;

    /// What makes the connections to upstreams as a document says; `None` where the platform makes them.
    fn dialer(&self) -> Option<&dyn Dialer> {
        None
    }
}

/// Where the parts of a document stand.
pub(super) enum Lines<'a> {
    Toml(toml::Lines<'a>),
    Json(json::Lines<'a>),
    /// Its lines are nobody's.
    Prepared,
}

impl Lines<'_> {
    /// The line of `path`, or of the nearest thing above it that is there. Counted from 1.
    pub(super) fn line(&self, path: &Path) -> Option<usize> {
        match self {
            Self::Toml(lines) => Some(lines.line(path)),
            Self::Json(lines) => Some(lines.line(path)),
            Self::Prepared => None,
        }
    }
}

/// The document as a tree, and where its parts stand.
pub(super) fn read<'a>(document: &Document<'a>) -> Result<(Value, Lines<'a>), Faults> {
    if document.text.len() > LONGEST {
        return Err(unreadable(document, 1, "longer than 1 MiB".into()));
    }
    let read = match document.format {
        Format::Toml => toml::read(document.text).map(|(tree, lines)| (tree, Lines::Toml(lines))),
        Format::Json => json::read(document.text).map(|(tree, lines)| (tree, Lines::Json(lines))),
        Format::Prepared => Err(Broken { offset: 0, problem: "it is prepared already".into() }),
    };
    read.map_err(|broken| unreadable(document, line_of(document.text, broken.offset), broken.problem))
}

/// Why there is no tree, and where.
struct Broken {
    /// Bytes from the start of the text.
    offset: usize,
    problem: String,
}

fn unreadable(document: &Document<'_>, line: usize, problem: String) -> Faults {
    let document = document.name.to_owned();
    let fault = Fault { document, line: Some(line), path: String::new(), problem, hint: None };
    Faults::new(vec![fault], None)
}

/// The line, counted from 1, that the byte at `offset` is on.
fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + memchr::memchr_iter(b'\n', before).count()
}

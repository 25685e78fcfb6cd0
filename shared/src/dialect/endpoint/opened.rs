//! Paths that an operator opens.

use super::{PassedPath, documented};

/// A path from `/v1` on, in which `*` stands for one segment and a last `**` for one or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// Reads a path such as `/v1/rerank` or `/v1/x/**`; the `/v1/` may be left out. Otherwise what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let segments = segments(text)?;
        if segments[0].starts_with('*') {
            return Err("opens every path there is; its first segment behind \"/v1/\" has a name");
        }
        if super::understood(&segments).is_some() || super::is_almost_understood(&segments) {
            return Err("is understood, or almost the path of a call that is; it is not passed through");
        }
        Ok(Self(segments.join("/")))
    }

    /// Reads what a key may use of the paths that are opened: `**` is all of them, and `files/**` is `files` as well as
    /// what is beneath it.
    pub fn parse_grant(text: &str) -> Result<Self, &'static str> {
        segments(text).map(|segments| Self(segments.join("/")))
    }

    /// Every path there is, as a grant.
    pub fn all() -> Self {
        Self("**".to_owned())
    }

    /// As it was written.
    pub fn to_text(&self) -> String {
        format!("/v1/{}", self.0)
    }

    /// Whether it opens `path`, to both kinds of readers.
    pub fn opens(&self, path: &PassedPath) -> bool {
        path.views().iter().all(|segments| self.matches(segments))
    }

    /// Whether it grants `path`, to both kinds of readers: a last `**` may stand for nothing as well.
    pub fn grants(&self, path: &PassedPath) -> bool {
        let itself = self.0.strip_suffix("/**");
        let is_itself = |segments: &[&str]| itself.is_some_and(|own| Self(own.to_owned()).matches(segments));
        path.views().iter().all(|segments| self.matches(segments) || is_itself(segments))
    }

    /// Whether it opens all that `other` does.
    pub fn covers(&self, other: &Self) -> bool {
        let segments: Vec<&str> = other.0.split('/').collect();
        // A `**` is covered by a `**` alone.
        let is_open_end = segments.last() == Some(&"**");
        self.matches(&segments) && (!is_open_end || self.0.ends_with("**"))
    }

    /// Whether all that it opens is documented.
    pub fn is_documented(&self) -> bool {
        let segments: Vec<&str> = self.0.split('/').collect();
        documented::bodies(&segments).is_some()
    }

    /// Which of its segments stands for any, the first of them.
    pub(super) fn wildcard(&self) -> Option<usize> {
        self.0.split('/').position(|segment| segment.starts_with('*'))
    }

    /// Whether it is the path of `suffix`, the segments behind `/v1`.
    pub(super) fn matches(&self, suffix: &[&str]) -> bool {
        let mut rest = suffix;
        for segment in self.0.split('/') {
            let [first, behind @ ..] = rest else { return false };
            match segment {
                "**" => return true,
                "*" => {}
                name if name == *first => {}
                _ => return false,
            }
            rest = behind;
        }
        rest.is_empty()
    }
}

/// What a pattern consists of, behind `/v1`.
fn segments(text: &str) -> Result<Vec<&str>, &'static str> {
    let suffix = text.strip_prefix("/v1/").unwrap_or(text);
    if text.starts_with('/') && suffix == text {
        return Err("a path begins with \"/v1/\" or with what is behind it");
    }
    let segments: Vec<&str> = suffix.split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err("a segment of the path is empty");
    }
    if segments.iter().any(|segment| !is_segment(segment)) {
        return Err("a segment is letters, digits and \"-._~:@\", or \"*\" as a whole; nothing is escaped");
    }
    if segments[..segments.len() - 1].contains(&"**") {
        return Err("\"**\" stands for the rest of a path, so nothing is behind it");
    }
    Ok(segments)
}

fn is_segment(segment: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte);
    matches!(segment, "*" | "**")
        || (!matches!(segment, "." | "..") && !segment.is_empty() && segment.bytes().all(is_sign))
}

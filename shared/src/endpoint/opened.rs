//! Paths that an operator opens.

/// A path from `/v1` on, in which `*` stands for one segment and a last `**` for one or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// Reads a path such as `/v1/rerank` or `/v1/x/**`; otherwise what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(suffix) = text.strip_prefix("/v1/") else {
            return Err("a path begins with \"/v1/\", as calls for it do");
        };
        let segments: Vec<&str> = suffix.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err("a segment of the path is empty");
        }
        if segments.iter().any(|segment| !is_segment(segment)) {
            return Err(
                "a segment is letters, digits and \"-._~:@\", or \"*\" as a whole; nothing is escaped",
            );
        }
        if segments[..segments.len() - 1].contains(&"**") {
            return Err("\"**\" stands for the rest of a path, so nothing is behind it");
        }
        if segments[0].starts_with('*') {
            return Err("opens every path there is; its first segment behind \"/v1/\" has a name");
        }
        if super::understood(&segments).is_some() || super::is_almost_understood(&segments) {
            return Err("is understood, or almost the path of a call that is; it is not passed through");
        }
        Ok(Self(suffix.to_owned()))
    }

    /// As it was written.
    pub fn to_text(&self) -> String {
        format!("/v1/{}", self.0)
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

fn is_segment(segment: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte);
    matches!(segment, "*" | "**")
        || (!matches!(segment, "." | "..") && !segment.is_empty() && segment.bytes().all(is_sign))
}

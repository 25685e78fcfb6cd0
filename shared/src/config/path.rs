//! Where something stands in a document.

use std::fmt;

use super::fault::may_be_secret;

/// One step down into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The steps from the document's root: `route[2].to[0].upstream`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// The document itself.
    pub(super) const ROOT: Self = Self(Vec::new());

    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, at: usize) -> Self {
        self.then(Step::Index(at))
    }

    pub(super) fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The last step and the path before it; `None` for the root.
    pub(super) fn split(&self) -> Option<(Self, &Step)> {
        let (last, before) = self.0.split_last()?;
        Some((Self(before.to_vec()), last))
    }

    /// What stands here, in a word: the key, or the list's key for one of its elements.
    pub(super) fn noun(&self) -> &str {
        self.0
            .iter()
            .rev()
            .find_map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Index(_) => None,
            })
            .unwrap_or("document")
    }

    /// This path and every path above it, the root left out.
    pub(super) fn upwards(&self) -> impl Iterator<Item = Self> + '_ {
        (1..=self.0.len()).rev().map(|length| Self(self.0[..length].to_vec()))
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<T: IntoIterator<Item = Step>>(steps: T) -> Self {
        Self(steps.into_iter().collect())
    }
}

/// As one would write it in TOML, except that a key which may be a pasted credential is left out.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |key: &str| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        for (at, step) in self.0.iter().enumerate() {
            let dot = if at > 0 { "." } else { "" };
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if may_be_secret(key) => write!(f, "{dot}(not shown)")?,
                Step::Key(key) if bare(key) => write!(f, "{dot}{key}")?,
                Step::Key(key) => write!(f, "{dot}\"{}\"", key.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_the_document() {
        let root = Path::ROOT;
        for (path, expected) in [
            (root.key("listen"), "listen"),
            (root.key("route").index(2).key("to").index(0).key("upstream"), "route[2].to[0].upstream"),
            (root.key("alias").key("claude-3.5-sonnet"), "alias.\"claude-3.5-sonnet\""),
            (root.key("alias").key("a\nb"), "alias.\"a\\nb\""),
            (root.key("key").key("sk-live-1").key("hash"), "key.(not shown).hash"),
            (root, ""),
        ] {
            assert_eq!(path.to_string(), expected);
        }
    }

    #[test]
    fn an_element_is_called_by_its_list() {
        assert_eq!(Path::ROOT.key("route").index(1).key("fallback_on").index(3).noun(), "fallback_on");
        assert_eq!(Path::ROOT.noun(), "document");
    }
}

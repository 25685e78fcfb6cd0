//! Where something stands in a document.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use super::fault::may_be_secret;

/// One step down into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The steps from the document's root: `route[2].to[0].upstream`.
///
/// A configuration without a fault makes hundreds of them and looks at none, at each request where an instance lives
/// for one: so a path is its last step and the path above it.
#[derive(Clone, Debug, Default)]
pub(super) struct Path(Option<Rc<Node>>);

#[derive(Debug)]
struct Node {
    above: Path,
    step: Step,
}

impl Path {
    /// The document itself.
    pub(super) const ROOT: Self = Self(None);

    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, at: usize) -> Self {
        self.then(Step::Index(at))
    }

    pub(super) fn then(&self, step: Step) -> Self {
        Self(Some(Rc::new(Node { above: self.clone(), step })))
    }

    /// From the root on.
    pub(super) fn steps(&self) -> Vec<&Step> {
        let mut steps: Vec<_> = self.nodes().map(|node| &node.step).collect();
        steps.reverse();
        steps
    }

    /// From the last one to the root.
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.0.as_deref(), |node| node.above.0.as_deref())
    }

    /// The last step and the path before it; `None` for the root.
    pub(super) fn split(&self) -> Option<(Self, &Step)> {
        self.0.as_deref().map(|node| (node.above.clone(), &node.step))
    }

    /// What stands here, in a word: the key, or the list's key for one of its elements.
    pub(super) fn noun(&self) -> &str {
        self.nodes()
            .find_map(|node| match &node.step {
                Step::Key(key) => Some(key.as_str()),
                Step::Index(_) => None,
            })
            .unwrap_or("document")
    }

    /// This path and every path above it, the root left out.
    pub(super) fn upwards(&self) -> impl Iterator<Item = Self> + '_ {
        std::iter::successors(Some(self), |path| path.0.as_deref().map(|node| &node.above))
            .filter(|path| path.0.is_some())
            .cloned()
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Path {}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.steps().cmp(&other.steps())
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<T: IntoIterator<Item = Step>>(steps: T) -> Self {
        steps.into_iter().fold(Self::ROOT, |path, step| path.then(step))
    }
}

/// As one would write it in TOML, except that a key which may be a pasted credential is left out.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |key: &str| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        for (at, step) in self.steps().into_iter().enumerate() {
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

//! Model names as operators write them: an exact name, or a glob with `*`.

use std::cmp::Reverse;
use std::fmt;

/// An exact name or a glob in which `*` stands for any run of characters, `/` included.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Sorts patterns into the order in which they are tried: exact before glob, longest first.
    pub fn precedence(&self) -> (bool, Reverse<usize>) {
        (!self.is_exact(), Reverse(self.0.len()))
    }

    /// Linear in `name` times the number of stars: no pattern makes it slow.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else { return false };
        let Some(tail) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.len() >= tail.len() && rest.ends_with(tail)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_written() {
        for (pattern, name, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "xgpt-4o", false),
            ("*", "", true),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "mini", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("org/*", "org/team/model", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} against {name}");
        }
    }

    #[test]
    fn exact_comes_before_glob_and_long_before_short() {
        let mut patterns = ["*", "gpt-*", "gpt-4o", "gpt-4*"].map(Pattern::new);
        patterns.sort_by_key(Pattern::precedence);
        assert_eq!(patterns.map(|p| p.0), ["gpt-4o", "gpt-4*", "gpt-*", "*"]);
    }
}

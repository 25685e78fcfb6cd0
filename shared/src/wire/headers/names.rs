//! Lists of header names: what an operator lets cross beside the documented ones, and what never crosses.

use std::fmt;

use crate::wire::pack::packed;

/// Names of headers, and beginnings of names that end in `*`, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames(Vec<String>);

packed!(struct HeaderNames(patterns));

/// Longest pattern, in bytes.
const LONGEST: usize = 64;

/// Why a pattern cannot stand in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternFault {
    /// Not a name, nor the beginning of one and a `*`.
    Malformed,
    /// A header that never crosses is among those it names.
    Never(&'static str),
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not the name of a header"),
            Self::Never(name) => write!(f, "'{name}' never crosses the gateway"),
        }
    }
}

/// Headers that cross under no list: names, and beginnings of names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Never {
    pub(super) names: &'static [&'static str],
    pub(super) prefixes: &'static [&'static str],
}

impl Never {
    /// Whether a header of this name, in lower case, stays.
    pub(super) fn has(&self, name: &str) -> bool {
        super::HOP_BY_HOP.contains(&name)
            || self.names.contains(&name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// One of the names that a pattern takes in.
    fn taken_in_by(&self, pattern: &str) -> Option<&'static str> {
        let names = || super::HOP_BY_HOP.iter().chain(self.names).copied();
        let prefixes = || self.prefixes.iter().copied();
        match pattern.strip_suffix('*') {
            Some(start) => names()
                .find(|name| name.starts_with(start))
                .or_else(|| prefixes().find(|prefix| prefix.starts_with(start) || start.starts_with(prefix))),
            None => names()
                .find(|name| *name == pattern)
                .or_else(|| prefixes().find(|prefix| pattern.starts_with(prefix))),
        }
    }
}

impl HeaderNames {
    /// Adds a pattern as an operator writes it.
    pub(crate) fn add(&mut self, pattern: &str, never: &Never) -> Result<(), PatternFault> {
        let pattern = pattern.to_ascii_lowercase();
        let start = pattern.strip_suffix('*').unwrap_or(&pattern);
        let is_name = (1..=LONGEST).contains(&start.len())
            && start.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_name {
            return Err(PatternFault::Malformed);
        }
        if let Some(name) = never.taken_in_by(&pattern) {
            return Err(PatternFault::Never(name));
        }
        self.0.push(pattern);
        Ok(())
    }

    /// Whether a header of this name, in lower case, is one of these.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NEVER_FORWARDED, NEVER_RETURNED};
    use super::*;

    #[test]
    fn a_pattern_that_takes_in_what_never_crosses_is_refused() {
        let malformed = Err(PatternFault::Malformed);
        let never = |name| Err(PatternFault::Never(name));
        for (list, pattern, expected) in [
            (&NEVER_FORWARDED, "x-tenant-hint", Ok(())),
            (&NEVER_FORWARDED, "X-Tenant-*", Ok(())),
            (&NEVER_FORWARDED, "user-agent", Ok(())),
            (&NEVER_FORWARDED, "Authorization", never("authorization")),
            (&NEVER_FORWARDED, "auth*", never("authorization")),
            (&NEVER_FORWARDED, "x-*", never("x-api-key")),
            (&NEVER_FORWARDED, "x-forwarded-proto", never("x-forwarded-")),
            (&NEVER_FORWARDED, "x-forwarded-p*", never("x-forwarded-")),
            (&NEVER_FORWARDED, "host", never("host")),
            (&NEVER_FORWARDED, "cookie", never("cookie")),
            (&NEVER_FORWARDED, "te", never("te")),
            (&NEVER_FORWARDED, "*", malformed),
            (&NEVER_FORWARDED, "", malformed),
            (&NEVER_FORWARDED, "a*b", malformed),
            (&NEVER_FORWARDED, "a b", malformed),
            (&NEVER_RETURNED, "x-model-region", Ok(())),
            (&NEVER_RETURNED, "set-cookie", never("set-cookie")),
            (&NEVER_RETURNED, "location", never("location")),
            (&NEVER_RETURNED, "x-accel-redirect", never("x-accel-")),
            (&NEVER_RETURNED, "x-a*", never("x-accel-")),
        ] {
            assert_eq!(HeaderNames::default().add(pattern, list), expected, "{pattern}");
        }
    }

    #[test]
    fn a_name_is_matched_as_a_whole_or_by_its_beginning() {
        let mut names = HeaderNames::default();
        names.add("X-One", &NEVER_FORWARDED).unwrap();
        names.add("x-team-*", &NEVER_FORWARDED).unwrap();
        for (name, expected) in [
            ("x-one", true),
            ("x-one-more", false),
            ("x-team-", true),
            ("x-team-a", true),
            ("x-teams", false),
        ] {
            assert_eq!(names.has(name), expected, "{name}");
        }
    }
}

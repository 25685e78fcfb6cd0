//! What is wrong with a document, and where.
//!
//! A fault is read by somebody who wants to correct it: it names the file, the line, the path and the remedy.
//! It is also read by whoever sees the logs, so nothing that could be a credential is quoted in it:
//! every word that comes from the document passes through [`shown`] first.

use std::error::Error;
use std::fmt;

/// One thing that is wrong, or that should be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file's name as it was given, or `--listen`.
    pub document: String,
    /// Counted from 1; `None` for what comes from no document.
    pub line: Option<usize>,
    /// As in `route[2].to[0].upstream`; empty for the document as a whole.
    pub path: String,
    pub problem: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for Fault {}

/// Everything that is wrong with a document, by line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `last` is told after all others.
    pub(super) fn new(mut faults: Vec<Fault>, last: Option<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.line);
        faults.extend(last);
        Self(faults)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One fault a line, without a line break at the end.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl Error for Faults {}

/// The words of a fault, before it is known where it stands.
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// `what` is not one of `known`: offers the nearest, or all of a few.
    pub(super) fn unknown<'a>(
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        let problem = Self::new(format!("unknown {what} {}", shown(word)));
        if let Some(near) = nearest(word, known.clone()) {
            return problem.hint(format!("did you mean {}?", shown(near)));
        }
        let mut all: Vec<_> = known.into_iter().take(MANY + 1).map(shown).collect();
        match all.pop() {
            Some(only) if all.is_empty() => problem.hint(format!("the only one is {only}")),
            Some(last) if all.len() < MANY => problem.hint(format!("use {} or {last}", all.join(", "))),
            _ => problem,
        }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// More choices than this are not listed.
const MANY: usize = 8;

/// The word of `known` that `word` was most likely meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_NAME {
        return None;
    }
    known
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST_NAME)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Bytes of a name; longer words are compared with nothing.
pub(super) const LONGEST_NAME: usize = 64;

/// `word` in quotes, or a placeholder where it may be a credential that was pasted into the wrong place.
pub(super) fn shown(word: &str) -> String {
    if may_be_secret(word) {
        "(a value that is not shown)".into()
    } else {
        format!("\"{}\"", word.escape_debug())
    }
}

/// Whether `word` has the shape of a credential: a known prefix, or a run of letters and digits that is
/// longer than a word. Errs on the side of hiding.
pub(super) fn may_be_secret(word: &str) -> bool {
    const LONGEST_WORD: usize = 20;
    const PREFIXES: [&str; 6] = ["sk-", "sk_", "Bearer ", "bearer ", "AIza", "eyJ"];
    let odd = |c: char| !c.is_ascii_alphanumeric();
    PREFIXES.iter().any(|prefix| word.starts_with(prefix))
        || word.contains('@')
        || word.split(odd).any(|run| run.len() > LONGEST_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_one_line() {
        let fault = Fault {
            document: "weir.toml".into(),
            line: Some(12),
            path: "upstream.holysheep.dialect".into(),
            problem: "unknown dialect \"opena1\"".into(),
            hint: Some("did you mean \"openai\"?".into()),
        };
        assert_eq!(
            fault.to_string(),
            "weir.toml:12: upstream.holysheep.dialect: unknown dialect \"opena1\"; did you mean \"openai\"?"
        );
        let flag =
            Fault { document: "--listen".into(), line: None, path: String::new(), hint: None, ..fault };
        assert_eq!(flag.to_string(), "--listen: unknown dialect \"opena1\"");
    }

    #[test]
    fn words_are_shown_and_credentials_are_not() {
        for (word, secret) in [
            ("gpt-4o", false),
            ("claude-3.5-sonnet-20241022", false),
            ("HOLYSHEEP_API_KEY", false),
            ("/run/secrets/openai", false),
            ("text-embedding-3-large", false),
            ("sk-short", true),
            ("Bearer x", true),
            ("user:password@host", true),
            ("0123456789abcdef0123456789abcdef", true),
            ("hs_0123456789abcdef0123456", true),
        ] {
            assert_eq!(may_be_secret(word), secret, "{word}");
        }
    }

    #[test]
    fn the_nearest_word_is_offered() {
        for (word, expected) in [
            ("opena1", Some("openai")),
            ("opneai", Some("openai")),
            ("azur", Some("azure")),
            ("mistral", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, ["openai", "azure", "simulated"]), expected, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(1 << 20), ["openai"]), None);
    }
}

//! Runs that found something once.

use crate::profile::Profile;

/// A line of `cases.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub seed: u64,
    pub profile: Profile,
    pub state: State,
    /// What it found.
    pub why: String,
}

/// Whether what it found is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Mended,
    /// The run still fails, and is known to.
    Open,
}

/// Reads `mended mixed 108 the reason`, line by line; lines that begin with `#` say nothing.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| one(line).ok_or_else(|| format!("not a case: {line}"))).collect()
}

fn one(line: &str) -> Option<Case> {
    let mut words = line.splitn(4, ' ');
    let state = match words.next()? {
        "mended" => State::Mended,
        "open" => State::Open,
        _ => return None,
    };
    let profile = Profile::parse(words.next()?)?;
    let seed = words.next()?.parse().ok()?;
    Some(Case { seed, profile, state, why: words.next()?.to_owned() })
}

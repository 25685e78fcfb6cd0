//! Cases, read from their files.

mod answer;
mod expectation;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub(crate) use self::answer::{Answer, Framing, Head, Mishap, Part};
pub(crate) use self::expectation::{Ending, Expectation, Ledger, Refused, Sent, WireError};
pub(crate) use self::step::{Act, Amount, Body, Request, Step};

/// One case, complete.
#[derive(Clone, Debug)]
pub struct Case {
    /// Chapter, file and label: `streams/faults/a_reset_is_told`.
    pub name: String,
    /// The invariants of docs/reliability.md that it states, by number.
    pub states: BTreeSet<u32>,
    /// Runtimes that it does not hold on, and why it cannot.
    pub except: BTreeMap<String, String>,
    /// Whether its file speaks of milliseconds: a machine that gives a process no time can make it fail.
    pub is_timed: bool,
    pub(crate) config: String,
    /// What the runtime finds in its environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// What each upstream answers, in this order; the last answer repeats.
    pub(crate) upstreams: BTreeMap<String, Vec<Answer>>,
    pub(crate) steps: Vec<Step>,
}

/// A file: one case, or several that share what they do not say themselves. Upstreams are shared by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    states: BTreeSet<u32>,
    #[serde(default)]
    except: BTreeMap<String, String>,
    config: Option<String>,
    environment: Option<BTreeMap<String, String>>,
    upstream: Option<BTreeMap<String, Vec<Answer>>>,
    step: Option<Vec<Step>>,
    #[serde(default)]
    case: Vec<Labelled>,
}

/// One of several cases of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labelled {
    name: String,
    #[serde(default)]
    states: BTreeSet<u32>,
    #[serde(default)]
    except: BTreeMap<String, String>,
    config: Option<String>,
    environment: Option<BTreeMap<String, String>>,
    upstream: Option<BTreeMap<String, Vec<Answer>>>,
    step: Option<Vec<Step>>,
}

/// The invariants there are.
const INVARIANTS: std::ops::RangeInclusive<u32> = 1..=15;

/// Every case below `folder`, in the order of their names. Of several files that are wrong, all are told.
pub fn read_all(folder: &Path) -> Result<Vec<Case>, String> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    files.sort();
    let (mut cases, mut faults) = (Vec::new(), Vec::new());
    for path in files {
        let name = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        match read(&name.display().to_string(), &text) {
            Ok(read) => cases.extend(read),
            Err(fault) => faults.push(format!("{}: {fault}", path.display())),
        }
    }
    if faults.is_empty() { Ok(cases) } else { Err(faults.join("\n")) }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let unreadable = |e| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        } else {
            return Err(format!("{} is no case", path.display()));
        }
    }
    Ok(())
}

/// The cases of one file, whose name without ending is `name`.
fn read(name: &str, text: &str) -> Result<Vec<Case>, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    let is_timed = text.contains("ms\"");
    if file.case.is_empty() {
        let (config, steps) = (file.config, file.step);
        let case = complete(name.to_owned(), file.states, config, file.environment, file.upstream, steps)?;
        return Ok(vec![Case { except: reasons(name, file.except)?, is_timed, ..case }]);
    }
    let mut labels = BTreeSet::new();
    let mut cases = Vec::new();
    for case in file.case {
        let full = format!("{name}/{}", case.name);
        if !labels.insert(case.name) {
            return Err(format!("there are two cases {full}"));
        }
        let except: BTreeMap<_, _> = file.except.iter().chain(&case.except).map(owned).collect();
        let except = reasons(&full, except)?;
        let case = complete(
            full,
            file.states.union(&case.states).copied().collect(),
            case.config.or_else(|| file.config.clone()),
            case.environment.or_else(|| file.environment.clone()),
            Some(file.upstream.iter().flatten().chain(case.upstream.iter().flatten()).map(owned).collect()),
            case.step.or_else(|| file.step.clone()),
        )?;
        cases.push(Case { except, is_timed, ..case });
    }
    Ok(cases)
}

fn reasons(name: &str, except: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    match except.iter().find(|(_, reason)| reason.trim().is_empty()) {
        Some((runtime, _)) => Err(format!("{name}: `except`: no reason for {runtime}")),
        None => Ok(except),
    }
}

fn owned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn complete(
    name: String,
    states: BTreeSet<u32>,
    config: Option<String>,
    environment: Option<BTreeMap<String, String>>,
    upstreams: Option<BTreeMap<String, Vec<Answer>>>,
    steps: Option<Vec<Step>>,
) -> Result<Case, String> {
    let missing = |key: &str| format!("{name}: `{key}` is missing");
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '/';
    if !name.chars().all(is_plain) {
        return Err(format!("{name}: a name is lower case, digits and _"));
    }
    if let Some(strange) = states.iter().find(|number| !INVARIANTS.contains(number)) {
        return Err(format!("{name}: `states`: there is no invariant {strange}"));
    }
    let config = config.ok_or_else(|| missing("config"))?;
    let steps = steps.filter(|steps| !steps.is_empty()).ok_or_else(|| missing("step"))?;
    if !steps.iter().any(Step::expects_something) {
        return Err(format!("{name}: no step expects anything"));
    }
    let upstreams = upstreams.unwrap_or_default();
    if let Some((upstream, _)) = upstreams.iter().find(|(_, answers)| answers.is_empty()) {
        return Err(format!("{name}: upstream `{upstream}` has no answer"));
    }
    let (except, is_timed, environment) = (BTreeMap::new(), false, environment.unwrap_or_default());
    Ok(Case { name, states, except, is_timed, config, environment, upstreams, steps })
}

/// A span of time as cases write it: `250ms`, `1s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

/// Longer waits add up, and no behaviour needs one: configurations can be made short.
const LONGEST_WAIT: Duration = Duration::from_millis(1500);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 1),
            (None, Some(number)) => (number, 1000),
            (None, None) => (text.as_str(), 0),
        };
        let millis = number.parse::<u64>().ok().filter(|_| scale > 0).map(|number| number * scale);
        millis.map(|millis| Self(Duration::from_millis(millis))).ok_or_else(|| format!("{text:?} is no time"))
    }
}

impl Span {
    /// A wait of this length; a longer one than cases may have is a fault.
    pub(crate) fn waited(self) -> Result<Duration, String> {
        if self.0 <= LONGEST_WAIT { Ok(self.0) } else { Err(format!("{:?} is too long a wait", self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "config = 'x'\n[[step]]\nchat = 'm'\nexpect.status = 200\n";

    #[test]
    fn a_file_holds_one_case_or_labelled_ones() {
        let one = read("chapter/one", GOOD).unwrap();
        assert_eq!(one.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["chapter/one"]);
        let step = "step = [{ chat = 'm', expect.status = 200 }]";
        let first = format!("[[case]]\nname = 'a'\nstates = [2]\n{step}");
        let second = format!("[[case]]\nname = 'b'\nconfig = 'y'\n{step}");
        let two = format!("config = 'x'\nstates = [1]\n{first}\n{second}\n");
        let two = read("chapter/two", &two).unwrap();
        let shown = two.iter().map(|case| (case.name.as_str(), case.config.as_str(), case.states.len()));
        assert_eq!(shown.collect::<Vec<_>>(), [("chapter/two/a", "x", 2), ("chapter/two/b", "y", 1)]);
    }

    #[test]
    fn the_example_in_the_readme_is_good() {
        let readme = include_str!("../README.md");
        let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let cases = read("chapter/example", example.unwrap()).unwrap();
        assert_eq!(cases.iter().map(|case| case.steps.len()).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        for (text, told) in [
            (GOOD.replace("expect.status", "expect.stauts"), "unknown field `stauts`"),
            (GOOD.replace("chat", "chatt"), "unknown field `chatt`"),
            (GOOD.replace("config = 'x'", ""), "`config` is missing"),
            (GOOD.replace("config", "states = [16]\nconfig"), "no invariant 16"),
            (GOOD.replace("expect.status = 200\n", ""), "`chat` expects nothing"),
            ("config = 'x'\nstep = [{ wait = '1s' }]".to_owned(), "no step expects anything"),
            (GOOD.replace("chat = 'm'", "chat = 'm'\nwait = '1s'"), "`chat` and `wait`"),
            ("config = 'x'\nstep = [{ wait = '2s' }]".to_owned(), "too long a wait"),
            (GOOD.replace("200", "'x'"), "invalid type: string"),
            (format!("{GOOD}[[upstream.one]]\ntext = 'a'\nevents = []\n"), "`text` and `events`"),
            (format!("{GOOD}[[upstream.one]]\nthen = 'x'\n"), "unknown field `then`"),
        ] {
            let fault = read("chapter/case", &text).unwrap_err();
            assert!(fault.contains(told), "{told} is not in {fault}");
        }
    }
}

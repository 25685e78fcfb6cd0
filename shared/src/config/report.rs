//! Gathers the faults of one document, so that all of them are told at once.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Fault, Faults, Problem};
use super::path::{Path, Step};
use super::source::Lines;

/// Nobody reads more; what is beyond is counted by one last line.
const MOST_FAULTS: usize = 100;

/// The faults and warnings found so far, each put where it stands in the document as it was written.
pub(super) struct Report<'a> {
    document: &'a str,
    lines: Lines<'a>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    /// What was taken out of the tree or is known to be wrong: that it is missing is no news.
    excused: BTreeSet<Path>,
    /// By list: the places, as written, of elements that were taken out; those behind have moved up.
    holes: BTreeMap<Path, BTreeSet<usize>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(document: &'a str, lines: Lines<'a>) -> Self {
        Self {
            document,
            lines,
            faults: Vec::new(),
            warnings: Vec::new(),
            excused: BTreeSet::new(),
            holes: BTreeMap::new(),
        }
    }

    pub(super) fn fault(&mut self, path: &Path, problem: impl Into<Problem>) {
        let path = self.as_written(path);
        if !self.is_full() {
            let fault = self.place(&path, problem.into());
            self.faults.push(fault);
        }
    }

    /// A fault that stands only if the thing was not there to begin with.
    pub(super) fn missing(&mut self, path: &Path, problem: impl Into<Problem>) {
        if !self.excuses(path) {
            self.fault(path, problem);
        }
    }

    pub(super) fn warn(&mut self, path: &Path, problem: impl Into<Problem>) {
        if self.warnings.len() < MOST_FAULTS {
            let warning = self.place(&self.as_written(path), problem.into());
            self.warnings.push(warning);
        }
    }

    /// Notes that `path` was meant to be there, under a name that is spelled wrong.
    pub(super) fn excuse(&mut self, path: &Path) {
        let path = self.as_written(path);
        self.excused.insert(path);
    }

    /// Whether a fault of `path`, or of what it is part of, has been told already.
    pub(super) fn excuses(&self, path: &Path) -> bool {
        !self.excused.is_empty() && self.as_written(path).upwards().any(|above| self.excused.contains(&above))
    }

    /// Whether something at `path` or below it has been told already.
    pub(super) fn excuses_part_of(&self, path: &Path) -> bool {
        let path = self.as_written(path);
        self.excused.iter().any(|excused| excused.steps().starts_with(&path.steps()))
    }

    /// Notes that what stood at `path` has been reported and taken out of the tree.
    pub(super) fn took_out(&mut self, path: &Path) {
        let path = self.as_written(path);
        if let Some((list, Step::Index(at))) = path.split() {
            self.holes.entry(list).or_default().insert(*at);
        }
        self.excused.insert(path);
    }

    /// Whether nothing has been taken out of the list at `path`.
    pub(super) fn is_whole(&self, path: &Path) -> bool {
        !self.holes.contains_key(&self.as_written(path))
    }

    pub(super) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.faults.len() >= MOST_FAULTS
    }

    pub(super) fn into_warnings(mut self) -> Vec<Fault> {
        self.warnings.sort_by_key(|warning| warning.line);
        self.warnings
    }

    pub(super) fn into_faults(self) -> Faults {
        let more = self.is_full().then(|| {
            let problem = format!("{MOST_FAULTS} faults or more; the rest is not told");
            Fault { line: None, ..self.place(&Path::ROOT, problem.into()) }
        });
        Faults::new(self.faults, more)
    }

    fn place(&self, path: &Path, problem: Problem) -> Fault {
        Fault {
            document: self.document.to_owned(),
            line: self.lines.line(path),
            path: path.to_string(),
            problem: problem.text,
            hint: problem.hint,
        }
    }

    /// `path` with the indices it has in the document, elements that were taken out included.
    pub(super) fn as_written(&self, path: &Path) -> Path {
        if self.holes.is_empty() {
            return path.clone();
        }
        path.steps().iter().fold(Path::ROOT, |written, step| match step {
            Step::Key(key) => written.key(key),
            Step::Index(at) => {
                let holes = self.holes.get(&written).into_iter().flatten();
                let at = holes.fold(*at, |at, hole| if *hole <= at { at + 1 } else { at });
                written.index(at)
            }
        })
    }
}

//! What came of every case on every runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How a case went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    /// It cannot hold there; the case says why.
    Excepted,
}

/// A table of cases and runtimes, filled from many threads.
#[derive(Debug, Default)]
pub struct Report {
    rows: Mutex<BTreeMap<String, Cells>>,
}

/// By runtime.
type Cells = BTreeMap<&'static str, (Verdict, Duration)>;

impl Report {
    pub fn note(&self, case: &str, runtime: &'static str, verdict: Verdict, took: Duration) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.entry(case.to_owned()).or_default().insert(runtime, (verdict, took));
    }

    /// Whether nothing ran.
    pub fn is_empty(&self) -> bool {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl fmt::Display for Report {
    /// Cases down, runtimes across, seconds in the cells; the last row counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let runtimes: BTreeSet<&str> = rows.values().flat_map(BTreeMap::keys).copied().collect();
        let last = format!("{} cases", rows.len());
        let width = rows.keys().map(String::len).max().unwrap_or(0).max(last.len());
        write!(f, "{:<width$}", "case")?;
        for runtime in &runtimes {
            write!(f, " {runtime:>12}")?;
        }
        for (case, cells) in rows.iter() {
            write!(f, "\n{case:<width$}")?;
            for runtime in &runtimes {
                let cell = match cells.get(runtime) {
                    Some((Verdict::Passed, took)) => format!("ok {:.2}s", took.as_secs_f64()),
                    Some((Verdict::Failed, _)) => "FAILED".to_owned(),
                    Some((Verdict::Excepted, _)) => "excepted".to_owned(),
                    None => "not run".to_owned(),
                };
                write!(f, " {cell:>12}")?;
            }
        }
        write!(f, "\n{last:<width$}")?;
        for runtime in &runtimes {
            let passed =
                |cells: &&Cells| cells.get(runtime).is_some_and(|(verdict, _)| *verdict == Verdict::Passed);
            write!(f, " {:>12}", format!("{} ok", rows.values().filter(passed).count()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_one_runtime_lacks_is_shown() {
        let report = Report::default();
        report.note("a/b", "native", Verdict::Passed, Duration::from_millis(250));
        report.note("a/b", "worker", Verdict::Failed, Duration::ZERO);
        report.note("a/c", "native", Verdict::Passed, Duration::ZERO);
        let lines = [
            "case          native       worker",
            "a/b         ok 0.25s       FAILED",
            "a/c         ok 0.00s      not run",
            "2 cases         2 ok         0 ok",
        ];
        assert_eq!(report.to_string(), lines.join("\n"));
    }
}

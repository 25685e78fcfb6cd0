//! A step of the checks, what came of it, and the report over all of them.

use std::{
    iter::Sum,
    ops::Add,
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::workspace::Workspace;

/// Tests that ran. A check that consists of no tests counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Tally {
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0 };
    const FAILED: Self = Self { passed: 0, failed: 1 };

    /// Reads the last line of a report: `7 passed, 0 failed`.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let (passed, failed) = line.trim().strip_suffix(" failed")?.split_once(" passed, ")?;
        Some(Self { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Self::add)
    }
}

/// Why a step failed, in words for whoever has to mend it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    tally: Tally,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), tally: Tally::FAILED }
    }

    /// The failure of a suite that counted its tests. One that failed without a failed test, at compiling
    /// say, counts as one more.
    pub(crate) fn of_suite(message: impl Into<String>, counted: Tally) -> Self {
        let tally = if counted.failed == 0 { counted + Tally::FAILED } else { counted };
        Self { message: message.into(), tally }
    }
}

pub(crate) type Outcome = Result<Tally, Failure>;

pub(crate) struct Step {
    name: &'static str,
    run: Box<dyn FnOnce(&Workspace) -> Outcome>,
}

impl Step {
    pub(crate) fn new(name: &'static str, run: impl FnOnce(&Workspace) -> Outcome + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Runs the steps until one fails and reports. The last line is `N passed, N failed`, alone.
pub(crate) fn run_all(steps: Vec<Step>, workspace: &Workspace) -> ExitCode {
    let mut report = Vec::new();
    let mut failed = None;
    for Step { name, run } in steps {
        println!("\n== {name} ==");
        let started = Instant::now();
        let outcome = run(workspace);
        let took = started.elapsed();
        match outcome {
            Ok(tally) => report.push(Line { name, took, tally }),
            Err(failure) => {
                report.push(Line { name, took, tally: failure.tally });
                failed = Some((name, failure.message));
                break;
            }
        }
    }
    if let Some((name, message)) = &failed {
        println!("\nFAILED {name}: {message}\nOnly this step again: cargo xtask {name}");
    }
    print_table(&report);
    let Tally { passed, failed: lost } = report.iter().map(|line| line.tally).sum();
    println!("{passed} passed, {lost} failed");
    if failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Line {
    name: &'static str,
    took: Duration,
    tally: Tally,
}

fn print_table(lines: &[Line]) {
    println!("\n{:<10} {:>8} {:>8} {:>8}", "step", "seconds", "passed", "failed");
    for Line { name, took, tally } in lines {
        println!("{name:<10} {:>8.1} {:>8} {:>8}", took.as_secs_f64(), tally.passed, tally.failed);
    }
    let total: Duration = lines.iter().map(|line| line.took).sum();
    println!("{:<10} {:>8.1}\n", "total", total.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_that_fails_without_a_failed_test_still_counts_one() {
        let failure = Failure::of_suite("did not compile", Tally { passed: 4, failed: 0 });
        assert_eq!(failure.tally, Tally { passed: 4, failed: 1 });
    }

    #[test]
    fn a_suite_with_failed_tests_counts_those() {
        let failure = Failure::of_suite("", Tally { passed: 4, failed: 2 });
        assert_eq!(failure.tally, Tally { passed: 4, failed: 2 });
    }
}

//! What others wrote against OpenAI, pointed at us: the official SDKs for Python and Node, pinned, run their
//! suites in `tests/clients` against a gateway that serves its simulated provider.

mod gateway;
mod node;
mod python;

use crate::{
    program::Program,
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};
use gateway::Gateway;

/// Installs both SDKs into the cache.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    python::install(workspace)?;
    node::install(workspace)?;
    Ok(())
}

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    let python = python::install(workspace)?;
    let node = node::install(workspace)?;
    workspace.cargo().args(["build", "--locked", "--package", "weir-devserver", "--bin", "weir"]).run()?;

    let gateway = Gateway::start()?;
    let suites = [python::suite(workspace, &python, &gateway), node::suite(workspace, &node, &gateway)];
    verdict(suites, gateway.stop())
}

/// One suite's end: what it counted, and whether its runner was content.
struct Ended {
    suite: &'static str,
    tally: Tally,
    outcome: Result<(), Failure>,
}

impl Ended {
    /// Runs `program`; `count` reads its summary line by line.
    fn of(suite: &'static str, program: Program, gateway: &Gateway, count: fn(&str, Tally) -> Tally) -> Self {
        let mut tally = Tally::default();
        let outcome = gateway.name_to(program).watch(|line| tally = count(line, tally));
        Self { suite, tally, outcome }
    }

    fn of_nothing(suite: &'static str, failure: Failure) -> Self {
        Self { suite, tally: Tally::default(), outcome: Err(failure) }
    }
}

/// A gateway that does not stop as it should fails the step even if every test has passed.
fn verdict(suites: impl IntoIterator<Item = Ended>, stopped: Result<(), Failure>) -> Outcome {
    let mut tally = Tally::default();
    let mut faults: Vec<String> = stopped.err().map(|failure| failure.message).into_iter().collect();
    for ended in suites {
        tally = tally + ended.tally;
        match ended.outcome {
            Err(failure) => faults.push(failure.message),
            Ok(()) if ended.tally.passed == 0 => faults.push(format!("{}: no test has passed", ended.suite)),
            Ok(()) => {}
        }
    }
    if faults.is_empty() { Ok(tally) } else { Err(Failure::of_suite(faults.join("; "), tally)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(count: u32) -> Ended {
        Ended { suite: "node", tally: Tally { passed: count, failed: 0 }, outcome: Ok(()) }
    }

    #[test]
    fn a_suite_in_which_nothing_ran_is_a_failure() {
        assert_eq!(verdict([passed(0)], Ok(())).unwrap_err().message, "node: no test has passed");
    }

    #[test]
    fn suites_add_up() {
        assert_eq!(verdict([passed(2), passed(3)], Ok(())).unwrap(), Tally { passed: 5, failed: 0 });
    }

    #[test]
    fn a_gateway_that_ends_badly_fails_suites_that_have_passed() {
        let failure = verdict([passed(2)], Err(Failure::new("ended with 3"))).unwrap_err();
        assert_eq!(failure.message, "ended with 3");
    }
}

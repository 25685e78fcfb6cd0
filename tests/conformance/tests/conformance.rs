//! The corpus, a test for each case and runtime.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is for whoever runs it")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, FormatSetting, Trial};
use weir_conformance::case::{Case, read_all};
use weir_conformance::report::{Report, Verdict};
use weir_conformance::runtime::{Component, Native, NativeOnRedis, Runtime, Workerd};
use weir_conformance::stage;

/// Cases wait more than they compute.
const AT_A_TIME: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(AT_A_TIME));
    // The table names every case once more.
    if !arguments.list && !arguments.quiet {
        arguments.format = arguments.format.or(Some(FormatSetting::Terse));
    }
    let cases = match read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")) {
        Ok(cases) => cases,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::FAILURE;
        }
    };
    let runtimes: [Arc<dyn Runtime>; 4] = [
        Arc::new(Native),
        Arc::new(NativeOnRedis::default()),
        Arc::new(Component::default()),
        Arc::new(Workerd::default()),
    ];
    for runtime in runtimes.iter().filter(|runtime| is_wanted(&***runtime, &cases, &arguments)) {
        if let Err(fault) = runtime.prepare() {
            eprintln!("{}: {fault}", runtime.name());
            return ExitCode::FAILURE;
        }
    }
    let (report, stage) = (Arc::new(Report::default()), Arc::new(RwLock::new(())));
    let names: Vec<&str> = runtimes.iter().map(|runtime| runtime.name()).collect();
    let strange = |name: &&String| !names.contains(&name.as_str());
    if let Some(name) = cases.iter().flat_map(|case| case.except.keys()).find(strange) {
        eprintln!("a case has an exception for {name}, which is no runtime");
        return ExitCode::FAILURE;
    }
    let trials =
        cases.iter().flat_map(|case| runtimes.iter().map(|runtime| trial(case, runtime, &report, &stage)));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    println!("{report}\n");
    for case in cases.iter().filter(|case| !case.except.is_empty()) {
        for (runtime, reason) in &case.except {
            println!("not on {runtime}: {}: {reason}", case.name);
        }
    }
    let stated: BTreeSet<u32> = cases.iter().flat_map(|case| case.states.iter().copied()).collect();
    println!("The corpus states the invariants {stated:?}.\n");
    // Who names cases by a part of their name may name none; the corpus as a whole may not be empty.
    let is_filtered = arguments.filter.is_some() || !arguments.skip.is_empty();
    if report.is_empty() && !is_filtered {
        eprintln!("no case ran");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Whether a case is selected that runs on it: what nobody asks for is not built.
fn is_wanted(runtime: &dyn Runtime, cases: &[Case], arguments: &Arguments) -> bool {
    !arguments.list && cases.iter().any(|case| is_selected(&named(case, runtime), arguments))
}

/// As the test harness selects.
fn is_selected(name: &str, arguments: &Arguments) -> bool {
    let is_match = |part: &String| if arguments.exact { name == part } else { name.contains(part.as_str()) };
    arguments.filter.as_ref().is_none_or(is_match) && !arguments.skip.iter().any(is_match)
}

fn named(case: &Case, runtime: &dyn Runtime) -> String {
    format!("{}/{}", runtime.name(), case.name)
}

/// `stage` is shared by those that play at the same time, and one's own in a rehearing.
fn trial(case: &Case, runtime: &Arc<dyn Runtime>, report: &Arc<Report>, stage: &Arc<RwLock<()>>) -> Trial {
    let (case, runtime, report) = (case.clone(), Arc::clone(runtime), Arc::clone(report));
    let stage = Arc::clone(stage);
    Trial::test(named(&case, &*runtime), move || {
        if case.except.contains_key(runtime.name()) {
            report.note(&case.name, runtime.name(), Verdict::Excepted, Duration::ZERO);
            return Ok(());
        }
        let started = Instant::now();
        let mut outcome = {
            let _shared = stage.read().unwrap_or_else(PoisonError::into_inner);
            caught(&case, &*runtime)
        };
        if let (Err(fault), true) = (&outcome, case.is_timed) {
            let _own = stage.write().unwrap_or_else(PoisonError::into_inner);
            println!("{}: played again, alone, for it is about time: {fault}", named(&case, &*runtime));
            outcome = caught(&case, &*runtime);
        }
        let verdict = if outcome.is_ok() { Verdict::Passed } else { Verdict::Failed };
        report.note(&case.name, runtime.name(), verdict, started.elapsed());
        outcome.map_err(Failed::from)
    })
}

/// A panic of the stage is a fault of the case.
fn caught(case: &Case, runtime: &dyn Runtime) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| play(case, runtime))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

fn play(case: &Case, runtime: &dyn Runtime) -> Result<(), String> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    executor.map_err(|e| e.to_string())?.block_on(stage::run(case, runtime))
}

//! Found cases first, then a thousand seeds. One that fails is shown with the command that runs it again.
#![cfg(test)]
#![expect(clippy::print_stdout, reason = "what a run has seen is for whoever watches it")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use weir_sim::case::{self, Case, State};
use weir_sim::{Profile, Report, Sabotage, Tally, Trace, run};

/// Of each profile. More of them: `WEIR_SIM_SEEDS=1000`; of one profile: `WEIR_SIM_PROFILE=flood`.
const SEEDS: u64 = 130;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn cases() -> Vec<Case> {
    case::parse(include_str!("../cases.txt")).unwrap_or_else(|fault| panic!("cases.txt: {fault}"))
}

/// The same run once more, with all that happened written down.
fn told(report: &Report) -> String {
    run(report.seed, report.profile, Trace::Kept, Sabotage::None).to_string()
}

/// Runs them all on all cores; gives those that fail, and what was seen.
fn failing(runs: &[(u64, Profile)]) -> (Vec<Report>, Tally) {
    let (next, failed, seen) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((seed, profile)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = run(*seed, *profile, Trace::Off, Sabotage::None);
                    *seen.lock().unwrap() += report.tally;
                    if report.violation.is_some() {
                        failed.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    (failed.into_inner().unwrap(), seen.into_inner().unwrap())
}

fn profile() -> Option<Profile> {
    let name = std::env::var("WEIR_SIM_PROFILE").ok()?;
    Some(Profile::parse(&name).unwrap_or_else(|| panic!("WEIR_SIM_PROFILE is no profile: {name}")))
}

#[test]
fn every_seed_holds() {
    if let (Some(seed), Some(profile)) = (number("WEIR_SIM_SEED"), profile()) {
        let report = run(seed, profile, Trace::Kept, Sabotage::None);
        println!("{report}");
        assert_eq!(report.violation, None);
        return;
    }
    let (found, began) = (cases(), Instant::now());
    let is_open = |seed, profile| {
        found.iter().any(|case| (case.seed, case.profile, case.state) == (seed, profile, State::Open))
    };
    let mended = found.iter().filter(|case| case.state == State::Mended);
    let mut runs: Vec<_> = mended.map(|case| (case.seed, case.profile)).collect();
    for seed in 0..number("WEIR_SIM_SEEDS").unwrap_or(SEEDS) {
        let profiles = Profile::ALL.into_iter().filter(|one| profile().is_none_or(|only| only == *one));
        runs.extend(profiles.filter(|one| !is_open(seed, *one)).map(|one| (seed, one)));
    }
    let (failed, seen) = failing(&runs);
    if let Some(first) = failed.first() {
        let others = failed.iter().filter_map(|report| Some((report.violation.as_ref()?, report.command())));
        let others: Vec<_> = others.map(|(wrong, command)| format!("{wrong:.200}\n{command}")).collect();
        panic!("{}\n\n{} of {} fail:\n{}", told(first), failed.len(), runs.len(), others.join("\n"));
    }
    let took = began.elapsed();
    println!(
        "{} runs in {took:.1?}, {} a second: {seen:?}",
        runs.len(),
        runs.len() as u128 * 1000 / took.as_millis().max(1)
    );
    let rare = [seen.shared, seen.from_cache, seen.repeated, seen.probes, seen.retries, seen.local];
    let rare = [rare.as_slice(), &[seen.left, seen.crashed, seen.panicked]].concat();
    let is_all = runs.len() >= 1_000 && profile().is_none();
    assert!(!is_all || rare.iter().all(|count| *count > 50), "too little happens: {seen:?}");
}

/// What is known and not mended stays in sight: whoever mends it says so in `cases.txt`.
#[test]
fn open_cases_are_still_open() {
    for case in cases().into_iter().filter(|case| case.state == State::Open) {
        let report = run(case.seed, case.profile, Trace::Off, Sabotage::None);
        let text = "holds now; say `mended` in cases.txt";
        assert!(report.violation.is_some(), "{} {} {text}: {}", case.profile, case.seed, case.why);
    }
}

#[test]
fn a_seed_says_all() {
    for profile in Profile::ALL {
        let [first, second] = [(); 2].map(|()| run(7, profile, Trace::Kept, Sabotage::None));
        assert_eq!(first.events, second.events, "{profile}");
        assert_eq!(first.tally, second.tally, "{profile}");
    }
}

//! A core that is broken on purpose is noticed, by the invariant that it breaks: the rules can fail.
#![cfg(test)]

use weir_sim::{Profile, Sabotage, Trace, run};

#[test]
fn what_is_broken_on_purpose_is_noticed() {
    for (sabotage, profile, invariants) in [
        (Sabotage::ForgetsToCount, Profile::Flood, &[1][..]),
        (Sabotage::LetsAllProbe, Profile::FailingUpstream, &[2]),
        (Sabotage::HidesOpenBreakers, Profile::FailingUpstream, &[2]),
        (Sabotage::GrantsAllRetries, Profile::RetryStorm, &[3]),
        (Sabotage::LosesBooks, Profile::Mixed, &[4]),
        // It refuses without a reason what should have been given back.
        (Sabotage::NeverSettles, Profile::Flood, &[1, 5]),
        (Sabotage::KeepsHalves, Profile::CacheStorm, &[6, 11]),
        (Sabotage::GivesForeignAnswers, Profile::CacheStorm, &[8]),
    ] {
        let reports = (0..40).map(|seed| run(seed, profile, Trace::Off, sabotage));
        let mut violations = reports.filter_map(|report| report.violation);
        let noticed = violations.any(|violation| invariants.contains(&violation.invariant));
        assert!(noticed, "{sabotage:?} is not noticed by {invariants:?}");
    }
}

//! The scripts in Redis and the steps in Rust: random operations in virtual time, applied to both, want equal
//! answers and leave equal state.
#![cfg(test)]

mod operations;

use operations::Twins;
use weir_redis_tests::Server;

/// What is tried unless `WEIR_SEED` names one.
const SEEDS: std::ops::Range<u64> = 0..24;

/// Operations of one seed.
const STEPS: usize = 200;

#[test]
fn scripts_and_steps_agree() {
    let server = Server::start();
    let seeds = match std::env::var("WEIR_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => SEEDS,
    };
    let mut seen = std::collections::BTreeMap::new();
    for seed in seeds {
        let mut twins = Twins::new(&server, seed);
        for step in 0..STEPS {
            if let Err(difference) = twins.step() {
                panic!("WEIR_SEED={seed}, step {step}: {difference}");
            }
        }
        twins.check_keys();
        for (what, count) in &twins.seen {
            *seen.entry(*what).or_insert(0) += count;
        }
    }
    if std::env::var("WEIR_SEED").is_err() {
        for what in operations::OUTCOMES {
            assert!(seen.contains_key(what), "no seed comes to: {what}; {seen:?}");
        }
    }
}

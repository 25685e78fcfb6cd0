//! Objects in virtual time: what many of them say together is what one store says.

mod believed;
mod garbled;
mod interleaved;
mod losses;
mod scene;
mod together;
mod world;
mod writing;

use std::collections::BTreeMap;
use std::ops::Range;

use self::world::{Lives, Spread, World};

/// Operations of one seed.
const STEPS: usize = 400;

/// What must come to pass at least once, or the test tests less than it seems to.
const OUTCOMES: &[&str] = &[
    "admitted",
    "an old one for who may not fetch a new one",
    "answered",
    "asked once more",
    "conflict",
    "denied: concurrent",
    "denied: never",
    "denied: requests",
    "denied: tokens",
    "fresh",
    "gate closed",
    "gate forced",
    "gate half-open",
    "gate open",
    "if-error",
    "led",
    "led by nobody",
    "led elsewhere",
    "mended",
    "nobody asked",
    "opened anew",
    "probe granted",
    "probe refused",
    "refreshed",
    "renewed",
    "renewed in vain",
    "revalidate",
    "running",
];

fn run(seeds: Range<u64>, spread: Spread, lives: Lives) -> BTreeMap<&'static str, usize> {
    let mut seen = BTreeMap::new();
    for seed in seeds {
        let mut world = World::new(seed, spread, lives);
        for step in 0..STEPS {
            if let Err(difference) = world.step() {
                panic!("{spread:?}, {lives:?}, seed {seed}, step {step}: {difference}");
            }
        }
        for (what, count) in world.seen {
            *seen.entry(what).or_insert(0) += count;
        }
    }
    seen
}

#[test]
fn many_objects_say_what_one_store_says() {
    let seen = run(0..24, Spread::Upstreams, Lives::One);
    for what in OUTCOMES {
        assert!(seen.contains_key(what), "no seed comes to: {what}; {seen:?}");
    }
}

/// With one upstream there is one budget, here as in a process.
#[test]
fn retries_are_budgeted_as_in_one_store() {
    let seen = run(100..116, Spread::OneUpstream, Lives::One);
    for what in ["retry granted", "retry refused"] {
        assert!(seen.contains_key(what), "no seed comes to: {what}; {seen:?}");
    }
}

/// All that was written is there again: what is said behind it is what would have been said.
#[test]
fn an_object_that_begins_again_has_forgotten_nothing_but_leases() {
    for (seeds, spread) in [(200..212, Spread::Upstreams), (300..308, Spread::OneUpstream)] {
        let seen = run(seeds, spread, Lives::Many);
        for what in
            ["begun again", "answered", "running", "denied: requests", "denied: tokens", "gate forced"]
        {
            assert!(seen.contains_key(what), "no seed comes to: {what}; {seen:?}");
        }
    }
}

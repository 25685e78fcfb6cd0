//! Each part of a deployment fails in each way it can, under a steady load of ten tenants, and must heal by itself within
//! half a minute: every caller has all of its places again, no breaker of a healthy upstream is open, nobody was admitted
//! beyond his limits by more than is stated, and no answer was wrong or came twice.
//!
//! `cargo xtask chaos` runs all and prints the table; the few of [`cell::short`] run with the tests.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a harness fails a test by panicking"
)]

mod act;
pub mod cell;
mod clock;
mod link;
mod load;
mod objects;
mod provider;
mod run;
mod stage;

use futures_util::StreamExt as _;
use weir_worker_tests::Built;

use crate::cell::{Cell, Part};
pub use crate::run::Outcome;

/// Of the table.
const HEAD: &str = "| part | fault | refused during | as | last refused after | breakers closed after | all places after | healed |\n\
    |---|---|---|---|---|---|---|---|";

/// Runs `cells`, so many at the same time, and prints what comes of each. Gives those that broke.
pub async fn try_all(cells: &[Cell], at_once: usize) -> Vec<Outcome> {
    let built = cells
        .iter()
        .any(|cell| cell.part == Part::Object)
        .then(|| Built::build().unwrap_or_else(|fault| panic!("{fault}")));
    let runs = futures_util::stream::iter(cells.iter().map(|cell| {
        let built = built.clone().filter(|_| cell.part == Part::Object);
        run::run(*cell, built)
    }));
    println!("{HEAD}");
    let outcomes = runs.buffered(at_once).inspect(|outcome| println!("{outcome}"));
    outcomes.filter(|outcome| std::future::ready(!outcome.faults.is_empty())).collect().await
}

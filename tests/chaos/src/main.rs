//! `cargo xtask chaos [--only PART] [--at-once 2]`: every fault of every part.
#![expect(clippy::print_stdout, reason = "it is a test for whoever runs it")]

use std::process::ExitCode;

use clap::Parser;
use weir_chaos::cell::{self, Cell};

#[derive(Debug, Parser)]
struct Flags {
    /// Cells whose name contains this: `Redis`, `replica: kill`.
    #[arg(long)]
    only: Option<String>,
    /// Cells at the same time. Most of them wait.
    #[arg(long, default_value_t = 3)]
    at_once: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let is_wanted = |cell: &Cell| flags.only.as_deref().is_none_or(|part| cell.to_string().contains(part));
    let cells: Vec<Cell> = cell::all().into_iter().filter(is_wanted).collect();
    let broken = weir_chaos::try_all(&cells, flags.at_once.max(1)).await;
    println!("\nchaos: {} healed, {} broke", cells.len() - broken.len(), broken.len());
    if broken.is_empty() && !cells.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

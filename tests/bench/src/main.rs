//! `weir-bench`: what the gateway costs, measured beside nginx.
//!
//! One run starts an upstream, nginx and Weir on loopback and asks all three with the same load generator, in
//! turns, so that a busy machine is busy for each of them. Every row is the median over the rounds, and a ratio
//! is taken within a round. Figures of one machine compare with each other and with nothing else.
//!
//! The upstream and the load are processes of their own: what is measured of the gateway is the gateway's. The
//! bench judges nothing by its exit status; a row that falls short says so.

mod ask;
mod bed;
mod child;
mod cli;
mod figure;
mod gateway;
mod instructions;
mod load;
mod peer;
mod process;
mod reply;
mod rounds;
mod rows;
mod sample;
mod table;
mod upstream;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let Cli { run, command } = Cli::parse();
    let outcome = match command {
        None => rows::run(&run),
        Some(Command::Upstream(capacity)) => upstream::serve(capacity),
        Some(Command::Load(load)) => load::run(&load),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            cli::complain(&failed);
            ExitCode::FAILURE
        }
    }
}

//! `weir`: the gateway on a native server.

mod body;
mod books;
mod check;
mod cli;
mod client;
mod connections;
mod crew;
mod document;
mod drain;
mod keys;
mod live;
mod logs;
mod metrics;
mod native;
mod reader;
mod serve;
mod store;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command, KeyCommand};

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let Cli { serve, command } = Cli::parse();
    let outcome = match command.unwrap_or(Command::Serve(serve)) {
        Command::Serve(flags) => serve::serve(flags),
        Command::Check(flags) => check::check(&flags),
        Command::Schema => check::print_schema(),
        Command::Key { command: KeyCommand::New(flags) } => keys::print_new(&flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            cli::complain(&fault);
            ExitCode::FAILURE
        }
    }
}

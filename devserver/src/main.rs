//! `weir`: the gateway on a native server.

mod body;
mod books;
mod check;
mod cli;
mod client;
mod computing;
mod connections;
mod crew;
mod crowd;
mod descriptors;
mod document;
mod drain;
mod flood;
mod framing;
#[cfg(feature = "wasm")]
mod host;
mod idle;
mod keys;
mod linger;
mod live;
mod logs;
mod manual;
mod metrics;
mod native;
mod race;
mod reader;
mod serve;
mod store;
mod websocket;
mod worker;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::cli::{Cli, Command, KeyCommand};

/// For the last log lines to be written, should somebody read them.
const LAST_LINES: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    let Cli { serve, command } = Cli::parse();
    let outcome = match command.unwrap_or(Command::Serve(serve)) {
        Command::Serve(flags) => match flags.hosting.component.clone() {
            Some(component) => host(&flags, &component),
            None => serve::serve(flags),
        },
        Command::Check(flags) => check::check(&flags),
        Command::Prepare(flags) => check::prepare(&flags),
        Command::Schema => check::print_schema(),
        Command::Key { command: KeyCommand::New(flags) } => keys::print_new(&flags),
        Command::Help(flags) => manual::help(&flags),
    };
    logs::finish(LAST_LINES);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            cli::complain(&fault);
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "wasm")]
fn host(flags: &cli::Serve, component: &Path) -> Result<(), cli::Failed> {
    host::serve(flags, component)
}

#[cfg(not(feature = "wasm"))]
fn host(_flags: &cli::Serve, component: &Path) -> Result<(), cli::Failed> {
    let component = component.display();
    let advice = format!("cargo run --features wasm -- serve --component {component}");
    Err(cli::Failed(format!("this weir was built without what serves components; build it with:\n{advice}")))
}

//! The command line, of the bench and of the processes it starts.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::ask::Ask;
use crate::rows::Row;

/// Measures Weir beside nginx and prints a table.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) run: Run,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Under a minute: short rounds, fewer held streams. For a look, not for a report.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only this row; may be given several times.
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Row>,
    /// Rounds of each row; 9, or 5 when quick.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// A `weir` to measure instead of building this tree's.
    #[arg(long, value_name = "FILE")]
    pub(crate) weir: Option<PathBuf>,
    /// Worker threads of Weir and worker processes of nginx; 0 is one a core.
    #[arg(long, default_value_t = 0)]
    pub(crate) workers: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answers like a provider; ends with its standard input. The bench starts it.
    #[command(hide = true)]
    Upstream(Capacity),
    /// Asks and measures; prints one line of JSON. The bench starts it.
    #[command(hide = true)]
    Load(Load),
}

/// How much the upstream can do. Without slots it answers everything at once.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Capacity {
    /// JSON calls that are worked on at the same time; others wait for them.
    #[arg(long, default_value_t = 0)]
    pub(crate) slots: usize,
    /// Milliseconds of work for each.
    #[arg(long, default_value_t = 0)]
    pub(crate) work: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    #[command(subcommand)]
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Kind {
    /// As many calls as can be, over so many connections.
    Throughput { ask: Ask, connections: usize, millis: u64 },
    /// One call after the other over one connection.
    Serial { ask: Ask, millis: u64 },
    /// Calls at a fixed rate, whether or not earlier ones are answered.
    Paced { ask: Ask, per_second: u32, millis: u64 },
    /// JSON calls at a fixed rate, each over a connection of its own if need be, and given up after so many
    /// milliseconds of patience.
    Flood { per_second: u32, patience: u64, millis: u64 },
    /// Streams that are begun and then held until standard input ends.
    Held { streams: usize },
}

impl Kind {
    /// The words that clap reads it from.
    pub(crate) fn to_args(&self) -> Vec<String> {
        match self {
            Self::Throughput { ask, connections, millis } => {
                vec!["throughput".into(), ask.to_string(), connections.to_string(), millis.to_string()]
            }
            Self::Serial { ask, millis } => vec!["serial".into(), ask.to_string(), millis.to_string()],
            Self::Paced { ask, per_second, millis } => {
                vec!["paced".into(), ask.to_string(), per_second.to_string(), millis.to_string()]
            }
            Self::Flood { per_second, patience, millis } => {
                vec!["flood".into(), per_second.to_string(), patience.to_string(), millis.to_string()]
            }
            Self::Held { streams } => vec!["held".into(), streams.to_string()],
        }
    }
}

/// Why it did not work, in words for the terminal.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    /// `what` could not be done because of `why`.
    pub(crate) fn because(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

/// Prints to standard output, at once. Nobody reading it is no reason to fail.
pub(crate) fn say(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints to standard error.
pub(crate) fn complain(Failed(text): &Failed) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

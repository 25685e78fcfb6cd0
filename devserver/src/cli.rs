//! The command line.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An LLM API gateway: OpenAI's API in front, many providers behind.
///
/// Without a command it is `weir serve`: a gateway on 127.0.0.1:8080 in front of a simulated provider that is
/// built in, to try things out with no account. With a weir.toml it stands in front of your own providers.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// Without a command: flags of `serve`.
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  weir                                  try it: simulated provider, no account, no key
  weir serve --config weir.toml         serve your own upstreams
  weir check weir.toml                  everything that is wrong with a file, at once
  weir key new --name team-a            a key, and the lines to paste into weir.toml
  weir schema > weir.schema.json        completion and checks in your editor";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the gateway (the default).
    Serve(Serve),
    /// Check a configuration and tell everything that is wrong with it.
    Check(Check),
    /// Print the JSON Schema of weir.toml.
    Schema,
    /// Keys that callers show.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration, TOML or JSON by its ending. It is read again when it changes and on SIGHUP; a bad
    /// one is refused and the last good one stays. Without it: a simulated provider, for trying things out.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen, in place of the configuration's `listen`. Port 0 takes a free one.
    #[arg(short, long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// How log lines are written to standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// What is logged: `info` has a line for each request.
    #[arg(long, value_enum, default_value_t = Level::Info)]
    pub(crate) log_level: Level,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file to check.
    #[arg(default_value = "weir.toml")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key: it is printed once, with the configuration that lets it in.
    New(NewKey),
}

#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// The caller's name: lower-case letters, digits, `.`, `_` and `-`.
    #[arg(long, default_value = "team-a", value_parser = caller_name)]
    pub(crate) name: String,
}

/// The rule that weir.toml has for names.
fn caller_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_good = text.len() <= 64
        && text.starts_with(is_plain)
        && text.chars().all(|c| is_plain(c) || matches!(c, '.' | '_' | '-'));
    if is_good {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 of a-z, 0-9, '.', '_', '-'; first a letter or digit".into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// Why a command failed, in words for the terminal.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    /// `what` could not be done because of `why`.
    pub(crate) fn because(what: &str, why: impl fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

/// Prints to standard output. Nobody reading it is no reason to fail.
pub(crate) fn say(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints to standard error.
pub(crate) fn complain(Failed(text): &Failed) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

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
#[command(
    name = "weir",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    // `weir help` also prints the manual.
    disable_help_subcommand = true
)]
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
  weir prepare weir.toml > weir.ready   the same for a Spin component, which reads it with every request
  weir key new --name team-a            a key, and the lines to paste into weir.toml
  weir schema > weir.schema.json        completion and checks in your editor
  weir help limits                      a page of the manual; `weir help` lists them";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the gateway (the default).
    Serve(Serve),
    /// Check a configuration and tell everything that is wrong with it.
    Check(Check),
    /// Print a configuration as a Spin component reads it in a few microseconds.
    Prepare(Prepare),
    /// Print the JSON Schema of weir.toml.
    Schema,
    /// Keys that callers show.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Print a page of the manual, or the help of a command; without a name, list them.
    Help(Help),
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
    #[command(flatten)]
    pub(crate) hosting: Hosting,
}

/// Of a component in place of the native gateway.
#[derive(Debug, Args)]
#[command(next_help_heading = "Serving a component")]
pub(crate) struct Hosting {
    /// Serve this component, the artefact that is deployed on Spin, in place of the native gateway. `--config`
    /// is then the value of its variable `config`. Needs a build with `--features wasm`.
    #[arg(long, value_name = "WASM")]
    pub(crate) component: Option<PathBuf>,
    /// Its manifest. Without this: the nearest spin.toml beside the component or above it.
    #[arg(long, value_name = "FILE", requires = "component")]
    pub(crate) manifest: Option<PathBuf>,
    /// Its Redis, the value of the variable `redis_url`: an address, or `spawn` for a redis-server that is
    /// started on a free port, keeps nothing and ends with this. One is also started where the component asks
    /// for a Redis and neither the configuration nor the environment says where one is.
    #[arg(long, value_name = "URL|spawn", value_parser = redis_source, requires = "component")]
    pub(crate) redis: Option<RedisSource>,
    /// How it connects to Redis.
    #[arg(long, value_enum, default_value_t = RedisConnection::PerOpen, requires = "component")]
    pub(crate) redis_connection: RedisConnection,
    /// Instances at the same time, one for each request; beyond them requests are refused with 503.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, requires = "component",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) instances: u32,
    /// Memory of one instance, in MiB; one that wants more is ended.
    #[arg(long, value_name = "MIB", default_value_t = 128, requires = "component",
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) instance_memory: u16,
    /// For how long one instance may compute, in milliseconds; waiting does not count.
    #[arg(long, value_name = "MS", default_value_t = 5000, requires = "component",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) instance_cpu: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file to check.
    #[arg(default_value = "weir.toml")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Prepare {
    /// The file to prepare: it stays what is edited, and this is done again whenever it or Weir has changed.
    #[arg(default_value = "weir.toml")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Help {
    /// A topic of the manual, or a command.
    #[arg(value_name = "TOPIC|COMMAND")]
    pub(crate) about: Vec<String>,
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

/// Where a component's Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RedisSource {
    /// `redis://` or `rediss://`.
    At(String),
    Spawn,
}

fn redis_source(text: &str) -> Result<RedisSource, String> {
    match text {
        "spawn" => Ok(RedisSource::Spawn),
        url if url.starts_with("redis://") || url.starts_with("rediss://") => {
            Ok(RedisSource::At(url.to_owned()))
        }
        _ => Err("`spawn`, or an address that begins with redis:// or rediss://".to_owned()),
    }
}

/// What a component gets when it opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RedisConnection {
    /// A new one, as on Spin.
    PerOpen,
    /// One that all instances of a thread share.
    Shared,
}

#[cfg(feature = "wasm")]
impl Hosting {
    /// In bytes.
    pub(crate) fn memory(&self) -> usize {
        usize::from(self.instance_memory) << 20
    }

    pub(crate) fn computing(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.instance_cpu.into())
    }
}

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

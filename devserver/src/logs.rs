//! Log lines: what happened, to whom and how long it took; never a body, a key or a query.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::cli::{Level, LogFormat};

/// Writes to standard error, so that standard output is for what a program may read.
pub(crate) fn init(format: LogFormat, level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let lines =
        fmt::Subscriber::builder().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

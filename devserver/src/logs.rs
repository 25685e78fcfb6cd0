//! Log lines: what happened, to whom and how long it took; never a body, a key or a query.
//!
//! Lines go into a bounded queue and a thread of their own writes them. Standard error may be a pipe that nobody
//! reads or a disk that is full: the lines are dropped and counted then, and nothing that serves waits or fails.

mod queue;

use std::sync::LazyLock;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use self::queue::Queue;
use crate::cli::{Level, LogFormat};

/// The process has one standard error, so it has one queue.
static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

/// Writes to standard error, so that standard output is for what a program may read.
pub(crate) fn init(format: LogFormat, level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    QUEUE.write_to(std::io::stderr(), told_of_dropped);
    // The subscriber would report its own errors to standard error itself, and panic where that fails.
    let lines = fmt::Subscriber::builder()
        .with_max_level(level)
        .with_writer(|| QUEUE.writer())
        .with_target(false)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    // A panic's own message would wait for whoever does not read.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Lines that were not written, from the start of the process.
pub(crate) fn dropped() -> u64 {
    QUEUE.dropped()
}

/// Waits until all lines are written, but no longer than `patience`.
pub(crate) fn finish(patience: Duration) {
    QUEUE.finish(patience);
}

fn told_of_dropped(lines: u64) {
    tracing::warn!(
        lines,
        "log lines were dropped: standard error was not read in time, or could not be written"
    );
}

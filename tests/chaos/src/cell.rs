//! The cells of the table: a part, and a fault of it.

use std::fmt;
use std::time::Duration;

/// A part that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Redis,
    /// The upstream, over HTTP/1.
    Http1,
    /// The upstream, over HTTP/2 and TLS.
    Http2,
    /// The name server that knows the upstream's address.
    Resolver,
    /// One of three gateways.
    Replica,
    /// The objects of the Worker, which hold its state.
    Object,
}

/// A way of failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Stops for so long, and loses nothing.
    Pause(Duration),
    /// Resets all connections, once.
    Cut,
    /// Dies, and is there again after [`SPAN`].
    Kill,
    /// Loses all that is sent to it, and tells nobody.
    BlackHole,
    /// Takes a fifth of a second longer for each piece.
    Slow,
    /// Jumps by so many seconds, and stays there.
    Clock(i32),
    /// Takes no more writes: Redis's disk, a replica's log.
    FullDisk,
    /// Leaves the pipe of the log unread.
    DeadReader,
    /// May open no more files.
    NoDescriptors,
    /// Moves to another address, and refuses at the old one.
    NewAddress,
}

/// Length of a fault that has none of its own.
pub const SPAN: Duration = Duration::from_secs(3);

/// Length of a black hole: long enough to be found out.
pub const HOLE: Duration = Duration::from_secs(12);

/// Length of an upstream's restart.
pub const RESTART: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub part: Part,
    pub fault: Fault,
}

/// All cells.
pub fn all() -> Vec<Cell> {
    use Fault::{BlackHole, Clock, Cut, DeadReader, FullDisk, Kill, NewAddress, NoDescriptors, Pause, Slow};
    let pauses = [300, 2_000, 10_000].map(|millis| Pause(Duration::from_millis(millis)));
    let clocks = [Clock(-300), Clock(300)];
    let faults = |part| -> Vec<Fault> {
        match part {
            Part::Redis => [&pauses[..], &[Cut, Kill, BlackHole, Slow], &clocks, &[FullDisk]].concat(),
            Part::Http1 | Part::Http2 => [&pauses[..], &[Cut, Kill, BlackHole, Slow, NewAddress]].concat(),
            Part::Resolver => [&pauses[..], &[Kill, BlackHole, Slow]].concat(),
            Part::Replica => [&pauses[..], &[Kill], &clocks, &[FullDisk, DeadReader, NoDescriptors]].concat(),
            Part::Object => [&pauses[..], &[Cut, Kill, BlackHole, Slow]].concat(),
        }
    };
    let parts = [Part::Redis, Part::Http1, Part::Http2, Part::Resolver, Part::Replica, Part::Object];
    parts
        .into_iter()
        .flat_map(|part| faults(part).into_iter().map(move |fault| Cell { part, fault }))
        .collect()
}

/// The cells that run with the tests: few, short, and of every part that needs no build of its own.
pub fn short() -> Vec<Cell> {
    let is_short = |cell: &Cell| match (cell.part, cell.fault) {
        (Part::Redis, Fault::Kill) | (Part::Http2, Fault::Cut) | (Part::Replica, Fault::NoDescriptors) => {
            true
        }
        (Part::Resolver, Fault::Pause(span)) => span.as_secs() == 2,
        _ => false,
    };
    all().into_iter().filter(is_short).collect()
}

impl Fault {
    /// Length of the fault. A clock that has jumped stays there.
    pub(crate) const fn span(self) -> Duration {
        match self {
            Self::Pause(span) => span,
            Self::Cut | Self::Clock(_) => Duration::ZERO,
            Self::BlackHole => HOLE,
            Self::Kill
            | Self::Slow
            | Self::FullDisk
            | Self::DeadReader
            | Self::NoDescriptors
            | Self::NewAddress => SPAN,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Http1 => "upstream, HTTP/1",
            Self::Http2 => "upstream, HTTP/2",
            Self::Resolver => "resolver",
            Self::Replica => "replica",
            Self::Object => "object (workerd)",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause(span) => write!(f, "pause of {} s", span.as_secs_f32()),
            Self::Cut => f.write_str("cut"),
            Self::Kill => f.write_str("kill -9"),
            Self::BlackHole => f.write_str("black hole"),
            Self::Slow => f.write_str("slow link"),
            Self::Clock(seconds) => write!(f, "clock {seconds:+} s"),
            Self::FullDisk => f.write_str("full disk"),
            Self::DeadReader => f.write_str("log unread"),
            Self::NoDescriptors => f.write_str("no descriptors"),
            Self::NewAddress => f.write_str("new address"),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.fault)
    }
}

//! The load: asks, and measures what it waits for. A process of its own that prints one [`Sample`].

mod flood;
mod held;
mod paced;
mod serial;
mod throughput;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::serial::Caller;
use crate::cli::{Failed, Kind, Load, say};
use crate::reply::Reply;
use crate::sample::Sample;

/// What a run may take beyond its own time; then something hangs, and the run is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time to open all streams that are held, and to hold them.
const HELD: Duration = Duration::from_secs(90);

pub(crate) fn run(load: &Load) -> Result<(), Failed> {
    let target = load.target;
    let sample = match load.kind {
        Kind::Throughput { ask, connections, millis } => {
            throughput::run(target, ask, connections, window(millis))?
        }
        Kind::Serial { ask, millis } => serial::run(target, ask, &window(millis))?,
        Kind::Paced { ask, per_second, millis } => paced::run(target, ask, per_second, window(millis))?,
        Kind::Flood { per_second, patience, millis } => {
            let patience = Duration::from_millis(patience);
            flood::run(target, per_second, patience, flood_window(patience, millis))?
        }
        Kind::Held { streams } => {
            watch(HELD);
            return held::run(target, streams);
        }
    };
    tell(&sample)
}

fn tell(sample: &Sample) -> Result<(), Failed> {
    say(serde_json::to_string(sample).map_err(|e| Failed::because("no sample", e))?);
    Ok(())
}

/// The time that counts: what comes before its start warms up.
#[derive(Clone, Copy, Debug)]
struct Window {
    opened: Instant,
    start: Instant,
    end: Instant,
}

/// A window of `millis` behind a fifth of it for warming up.
fn window(millis: u64) -> Window {
    let length = Duration::from_millis(millis);
    let opened = Instant::now();
    let start = opened + length / 5;
    watch(length * 2 + PATIENCE);
    Window { opened, start, end: start + length }
}

/// A window of `millis` behind a time in which everything that piles up without bounds has done so.
fn flood_window(patience: Duration, millis: u64) -> Window {
    let opened = Instant::now();
    let start = opened + patience * 3 / 2;
    let end = start + Duration::from_millis(millis);
    watch(end - opened + patience + PATIENCE);
    Window { opened, start, end }
}

impl Window {
    fn length(&self) -> u64 {
        u64::try_from((self.end - self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    fn counts(&self, at: Instant) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// Ends the process when it takes longer than it can.
fn watch(longest: Duration) {
    thread::spawn(move || {
        thread::sleep(longest);
        std::process::exit(3);
    });
}

fn wrong(target: SocketAddr, reply: &Reply) -> Failed {
    Failed(format!("{target} gave a wrong answer:\n{}", reply.excerpt()))
}

fn broken(target: SocketAddr, why: impl std::fmt::Display) -> Failed {
    Failed::because(format_args!("the connection to {target} broke"), why)
}

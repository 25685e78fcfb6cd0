//! The rows: what is measured, and what is aimed at.

mod cached;
mod component;
mod hashing;
mod memory;
mod overload;
mod protected;
mod shared;
mod worker;

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::ask::Ask;
use crate::bed::Bed;
use crate::cli::{Failed, Kind, Run, say};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::Setup;
use crate::rounds::{Round, Turn, rounds};
use crate::table::Table;

/// Calls that are sent at a fixed rate.
const RATE: u32 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// JSON answers over 16 connections.
    #[value(name = "json-16")]
    Json16,
    /// JSON answers over 32 connections.
    #[value(name = "json-32")]
    Json32,
    /// Latency that is added to a single call.
    Serial,
    /// Latency that is added at 1,000 calls a second.
    Paced,
    /// Wait that is added to a stream's first word.
    FirstToken,
    /// Streams of 20 chunks over 16 connections.
    #[value(name = "stream-20")]
    Stream20,
    /// Streams of 100 chunks over 16 connections.
    #[value(name = "stream-100")]
    Stream100,
    /// JSON answers out of the cache, over 16 and over 32 connections.
    Cached,
    /// JSON answers, out of the cache and not, of a Weir that keeps its state in Redis.
    Shared,
    /// The Spin component in its host, beside the native gateway on the same Redis.
    Component,
    /// The Cloudflare Worker on workerd, beside one in JavaScript that only forwards and one that reads.
    Worker,
    /// What limits and breakers cost a JSON call, beside a Weir that has none.
    Protected,
    /// Answers in time at five times what the upstream can do.
    Overload,
    /// The fingerprint of a prompt of 400 kB.
    Hashing,
    /// Memory before and after work.
    Idle,
    /// Memory for each stream that is held.
    Held,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: usize,
    millis: u64,
    held: usize,
    flood: Flood,
    counting: Counting,
}

/// How long a flood lasts, and how often there is one.
#[derive(Clone, Copy, Debug)]
struct Flood {
    rounds: usize,
    millis: u64,
    /// How long callers wait for their answers.
    patience: u64,
}

/// Whether instructions are counted; that takes half a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    Yes,
    No,
}

/// Measures and prints; a row that cannot be measured says why and the others go on.
pub(crate) fn run(run: &Run) -> Result<(), Failed> {
    // Many short rounds rather than few long ones: what else the machine does comes in bursts.
    let scale = if run.quick {
        Scale {
            rounds: run.rounds.unwrap_or(5),
            millis: 250,
            held: 2_000,
            flood: Flood { rounds: 1, millis: 1_000, patience: 1_000 },
            counting: Counting::No,
        }
    } else {
        Scale {
            rounds: run.rounds.unwrap_or(9),
            millis: 800,
            held: 10_000,
            flood: Flood { rounds: 3, millis: 3_000, patience: 2_000 },
            counting: Counting::Yes,
        }
    };
    let bed = Bed::start(run)?;
    let started = Instant::now();
    say(format_args!("{} workers each; load of the machine before: {}", bed.workers, machine_load()));
    let mut figures = Vec::new();
    for row in Row::value_variants().iter().filter(|row| run.only.is_empty() || run.only.contains(row)) {
        if Instant::now() > bed.deadline {
            say(format_args!("{row:?} left out: out of time"));
            continue;
        }
        match row.measure(&bed, scale) {
            Ok(lines) => {
                // Shown as they come; the table at the end has them aligned.
                for line in &lines {
                    say(format_args!("… {}: {:.1}", line.what, line.weir.median));
                }
                figures.extend(lines);
            }
            Err(Failed(why)) => say(format_args!("{row:?} failed: {why}")),
        }
    }
    say(format_args!("\n{}", Table(&figures)));
    let took = Duration::from_secs(started.elapsed().as_secs());
    let (rounds, floods) = (scale.rounds, scale.flood.rounds);
    let load = machine_load();
    say(format_args!("median of {rounds} rounds, of overload {floods}; {took:?}; load after: {load}"));
    Ok(())
}

impl Row {
    fn measure(self, bed: &Bed, scale: Scale) -> Result<Vec<Figure>, Failed> {
        let Scale { millis, rounds: count, held, flood, counting } = scale;
        let throughput = |ask, connections| {
            rounds(bed, count, &Kind::Throughput { ask, connections, millis })
                .map(|rounds| through(ask, connections, &rounds))
        };
        match self {
            Self::Json16 => throughput(Ask::Json, 16),
            Self::Json32 => throughput(Ask::Json, 32),
            Self::Stream20 => throughput(Ask::Stream(20), 16),
            Self::Stream100 => throughput(Ask::Stream(100), 16),
            Self::Serial => {
                let rounds = rounds(bed, count, &Kind::Serial { ask: Ask::Json, millis })?;
                Ok(added("JSON, one at a time", (60.0, 110.0), &rounds))
            }
            Self::Paced => {
                // At a fixed rate it is time that makes a p99.
                let millis = millis * 2;
                let rounds = rounds(bed, count, &Kind::Paced { ask: Ask::Json, per_second: RATE, millis })?;
                Ok(added(&format!("JSON, {RATE}/s"), (60.0, 110.0), &rounds))
            }
            Self::FirstToken => {
                let rounds = rounds(bed, count, &Kind::Serial { ask: Ask::Stream(20), millis })?;
                Ok(added("first token", (f64::INFINITY, 220.0), &rounds))
            }
            Self::Cached => cached::measure(bed, count, millis, counting),
            Self::Shared => shared::measure(bed, count, millis),
            Self::Component => component::measure(bed, count, millis),
            Self::Worker => worker::measure(bed, count, millis),
            Self::Protected => protected::measure(bed, count, millis, counting),
            Self::Overload => overload::measure(bed, flood),
            Self::Hashing => hashing::measure(count),
            Self::Idle => memory::idle(bed, millis),
            Self::Held => memory::held(bed, held),
        }
    }
}

fn through(ask: Ask, connections: usize, rounds: &[Round]) -> Vec<Figure> {
    let (name, aim) = match ask {
        Ask::Json => ("JSON".to_owned(), Aim::Share(0.7)),
        Ask::Stream(chunks) => (format!("streams of {chunks}"), Aim::Nothing),
        Ask::Hold | Ask::Health => (ask.to_string(), Aim::Nothing),
    };
    let rates: Vec<_> = rounds
        .iter()
        .map(|r| (Some(r.direct.per_second()), r.nginx.per_second(), r.weir.per_second()))
        .collect();
    let costs: Vec<_> = rounds
        .iter()
        .map(|r| (Some(r.direct.cpu_micros()), r.nginx.cpu_micros(), r.weir.cpu_micros()))
        .collect();
    vec![
        Figure::of_rounds(format!("{name}, c={connections}"), Unit::PerSecond, aim, &rates),
        Figure::of_rounds(format!("{name}, c={connections}: CPU of one"), Unit::Micros, Aim::Nothing, &costs),
    ]
}

/// Instructions of one call with each of `setups`, where they are counted; why not, where they are not.
fn instructions<const N: usize>(
    bed: &Bed,
    setups: [Setup; N],
    counting: Counting,
) -> Result<[f64; N], Failed> {
    if counting == Counting::No {
        return Err(Failed("a quick run has no time for it".into()));
    }
    let mut counts = [0.0; N];
    for (count, setup) in counts.iter_mut().zip(setups) {
        *count = bed.instructions(setup)?;
    }
    Ok(counts)
}

/// What a gateway adds to the direct call, at the median and at the 99th percentile.
fn added(name: &str, (p50, p99): (f64, f64), rounds: &[Round]) -> Vec<Figure> {
    let line = |what: &str, most: f64, of: fn(&Turn) -> f64| {
        let added = |r: &Round| {
            let direct = of(&r.direct);
            (Some(direct), of(&r.nginx) - direct, of(&r.weir) - direct)
        };
        let aim = if most.is_finite() { Aim::Most(most) } else { Aim::Nothing };
        let rounds: Vec<_> = rounds.iter().map(added).collect();
        Figure::of_differences(format!("{name}: added {what}"), Unit::Micros, aim, &rounds)
    };
    vec![line("p50", p50, Turn::p50_micros), line("p99", p99, Turn::p99_micros)]
}

/// Processes that wanted to run in the last minute; more than there are cores makes every figure noisy.
fn machine_load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

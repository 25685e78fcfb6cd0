//! The rows: what is measured, and what is aimed at.

mod memory;

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::ask::Ask;
use crate::bed::Bed;
use crate::cli::{Failed, Kind, Run, say};
use crate::figure::{Aim, Figure, Unit};
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
}

/// Measures and prints; a row that cannot be measured says why and the others go on.
pub(crate) fn run(run: &Run) -> Result<(), Failed> {
    // Many short rounds rather than few long ones: what else the machine does comes in bursts.
    let scale = if run.quick {
        Scale { rounds: run.rounds.unwrap_or(5), millis: 250, held: 2_000 }
    } else {
        Scale { rounds: run.rounds.unwrap_or(9), millis: 800, held: 10_000 }
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
    say(format_args!("median of {} rounds; {took:?}; load after: {}", scale.rounds, machine_load()));
    Ok(())
}

impl Row {
    fn measure(self, bed: &Bed, scale: Scale) -> Result<Vec<Figure>, Failed> {
        let Scale { millis, rounds: count, held } = scale;
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
            Self::Idle => memory::idle(bed, millis),
            Self::Held => memory::held(bed, held),
        }
    }
}

fn through(ask: Ask, connections: usize, rounds: &[Round]) -> Vec<Figure> {
    let (name, aim) = match ask {
        Ask::Json => ("JSON".to_owned(), Aim::Share(0.7)),
        Ask::Stream(chunks) => (format!("streams of {chunks}"), Aim::Nothing),
        Ask::Hold => ("held".to_owned(), Aim::Nothing),
    };
    let rate = |turn: &Turn| turn.sample.per_second();
    let rates: Vec<_> =
        rounds.iter().map(|r| (Some(rate(&r.direct)), rate(&r.nginx), rate(&r.weir))).collect();
    let costs: Vec<_> = rounds
        .iter()
        .map(|r| (Some(r.direct.cpu_micros()), r.nginx.cpu_micros(), r.weir.cpu_micros()))
        .collect();
    vec![
        Figure::of_rounds(format!("{name}, c={connections}"), Unit::PerSecond, aim, &rates),
        Figure::of_rounds(format!("{name}, c={connections}: CPU of one"), Unit::Micros, Aim::Nothing, &costs),
    ]
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

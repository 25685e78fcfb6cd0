//! The Cloudflare Worker on workerd. Beside it, in the same process and the same rounds, stands a Worker in JavaScript
//! that only forwards.

use super::cached::filled;
use crate::ask::Ask;
use crate::bed::Bed;
use crate::cli::{Failed, Kind};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::Setup;
use crate::rounds::{turn, turns};
use crate::worker;

const CONNECTIONS: usize = 16;

/// Milliseconds of load before anything is measured.
const WARM_UP: u64 = 3000;

/// The peer of every line.
const FORWARDER: &str = "JS proxy";

pub(super) fn measure(bed: &Bed, count: usize, millis: u64) -> Result<Vec<Figure>, Failed> {
    let built = worker::build()?;
    let mut figures = Vec::new();
    for (name, ask, setup, aim) in [
        ("cache hits", Ask::Json, Setup::Cached, Aim::Nothing),
        ("JSON", Ask::Json, Setup::Usual, Aim::Share(0.8)),
        ("streams of 100", Ask::Stream(100), Setup::Usual, Aim::Share(0.5)),
    ] {
        let pair = bed.worker(&built, setup)?;
        if matches!(setup, Setup::Cached) {
            filled(pair.weir().address, "x-cache")?;
        }
        let doors = [pair.forwarder(), pair.weir()];
        // V8 compiles what is used much a second time: a young isolate is several times slower.
        for door in doors {
            turn(door, &Kind::Throughput { ask, connections: CONNECTIONS, millis: WARM_UP })?;
        }
        let rounds = turns(doors, count, &Kind::Throughput { ask, connections: CONNECTIONS, millis })?;
        let rates: Vec<_> = rounds.iter().map(|[f, w]| (None, f.per_second(), w.per_second())).collect();
        let costs: Vec<_> = rounds.iter().map(|[f, w]| (None, f.cpu_micros(), w.cpu_micros())).collect();
        let name = format!("worker: {name}, c={CONNECTIONS}");
        let cpu = format!("{name}: CPU of one");
        figures.push(Figure::of_rounds(name, Unit::PerSecond, aim, &rates).beside(FORWARDER));
        figures.push(Figure::of_rounds(cpu, Unit::Micros, Aim::Nothing, &costs).beside(FORWARDER));
        if ask == Ask::Json && matches!(setup, Setup::Usual) {
            let rounds = turns(doors, count, &Kind::Serial { ask, millis })?;
            let waits = rounds.iter().map(|[f, w]| (None, f.p50_micros(), w.p50_micros()));
            let waits: Vec<_> = waits.collect();
            let what = "worker: JSON, one at a time, p50";
            figures.push(Figure::of_rounds(what, Unit::Micros, Aim::Nothing, &waits).beside(FORWARDER));
        }
    }
    Ok(figures)
}

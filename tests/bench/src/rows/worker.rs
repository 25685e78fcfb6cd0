//! The Cloudflare Worker on workerd. Beside it, in the same process and the same rounds, stand two Workers in JavaScript:
//! one that only forwards, and one that asks an object and reads what goes through, as every gateway has to.

use super::cached::filled;
use crate::ask::Ask;
use crate::bed::Bed;
use crate::cli::{Failed, Kind};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::Setup;
use crate::rounds::{Turn, turn, turns};
use crate::worker;

const CONNECTIONS: usize = 16;

/// Milliseconds of load before anything is measured.
const WARM_UP: u64 = 3000;

/// Passes everything on as it is: the platform does it all.
const FORWARDER: &str = "JS proxy";

/// Asks an object, and reads what goes through.
const READER: &str = "JS gateway";

pub(super) fn measure(bed: &Bed, count: usize, millis: u64) -> Result<Vec<Figure>, Failed> {
    let built = worker::build()?;
    let mut figures = Vec::new();
    for (name, ask, setup, aim) in [
        ("cache hits", Ask::Json, Setup::Cached, Aim::Nothing),
        ("JSON", Ask::Json, Setup::Usual, Aim::Share(0.8)),
        ("streams of 100", Ask::Stream(100), Setup::Usual, Aim::Share(0.5)),
    ] {
        let workers = bed.worker(&built, setup)?;
        let doors = workers.doors();
        if matches!(setup, Setup::Cached) {
            let [.., weir] = doors;
            filled(weir.address, "x-cache")?;
        }
        // V8 compiles what is used much a second time: a young isolate is several times slower.
        for door in doors {
            turn(door, &Kind::Throughput { ask, connections: CONNECTIONS, millis: WARM_UP })?;
        }
        let rounds = turns(doors, count, &Kind::Throughput { ask, connections: CONNECTIONS, millis })?;
        let name = format!("worker: {name}, c={CONNECTIONS}");
        figures.extend(beside(&name, Unit::PerSecond, aim, &rounds, Turn::per_second));
        figures.extend(beside(
            &format!("{name}: CPU of one"),
            Unit::Micros,
            Aim::Nothing,
            &rounds,
            Turn::cpu_micros,
        ));
        if ask == Ask::Json && matches!(setup, Setup::Usual) {
            let rounds = turns(doors, count, &Kind::Serial { ask, millis })?;
            let what = "worker: JSON, one at a time, p50";
            figures.extend(beside(what, Unit::Micros, Aim::Nothing, &rounds, Turn::p50_micros));
        }
    }
    Ok(figures)
}

/// Weir's beside each of its peers; `aim` is a share of the first.
fn beside(
    what: &str,
    unit: Unit,
    aim: Aim,
    rounds: &[[Turn; 3]],
    read: impl Fn(&Turn) -> f64,
) -> [Figure; 2] {
    [(0, FORWARDER, aim), (1, READER, Aim::Nothing)].map(|(peer, name, aim)| {
        let rounds: Vec<_> = rounds.iter().map(|turns| (None, read(&turns[peer]), read(&turns[2]))).collect();
        Figure::of_rounds(what, unit, aim, &rounds).beside(name)
    })
}

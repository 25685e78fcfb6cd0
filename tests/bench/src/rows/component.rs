//! The Spin component as its host serves it: a fresh instance for each request, state in Redis. Beside it stands the
//! native gateway on a Redis, in the same rounds.

use super::cached::filled;
use super::memory;
use crate::ask::Ask;
use crate::bed::Bed;
use crate::cli::{Failed, Kind};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::{self, Setup};
use crate::rounds::turns;

const CONNECTIONS: usize = 16;

/// Streams that are held for their memory.
const HELD: usize = 300;

/// The peer of every line.
const NATIVE: &str = "native";

pub(super) fn measure(bed: &Bed, count: usize, millis: u64) -> Result<Vec<Figure>, Failed> {
    let hosted = gateway::build_hosted()?;
    let mut figures = Vec::new();
    for (name, ask, setup) in [
        ("nothing but an instance", Ask::Health, Setup::Usual),
        ("cache hits", Ask::Json, Setup::Cached),
        ("JSON", Ask::Json, Setup::Usual),
        ("streams of 20", Ask::Stream(20), Setup::Usual),
    ] {
        // Nothing is left in one by what was measured before.
        let (ones, others) = (bed.redis()?, bed.redis()?);
        let native = bed.weir_on(&ones, setup)?;
        let component = bed.component_on(&hosted, &others, setup)?;
        if matches!(setup, Setup::Cached)
            && filled(native.address, "x-cache")? != filled(component.address, "x-cache")?
        {
            return Err(Failed("the two shells give different bytes".into()));
        }
        let kind = Kind::Throughput { ask, connections: CONNECTIONS, millis };
        let rounds = turns([&native, &component], count, &kind)?;
        let rates: Vec<_> = rounds.iter().map(|[n, c]| (None, n.per_second(), c.per_second())).collect();
        let costs: Vec<_> = rounds.iter().map(|[n, c]| (None, n.cpu_micros(), c.cpu_micros())).collect();
        let name = format!("component: {name}, c={CONNECTIONS}");
        let cpu = format!("{name}: CPU of one");
        figures.push(Figure::of_rounds(name, Unit::PerSecond, Aim::Nothing, &rates).beside(NATIVE));
        figures.push(Figure::of_rounds(cpu, Unit::Micros, Aim::Nothing, &costs).beside(NATIVE));
        if ask == Ask::Health {
            let rounds = turns([&native, &component], count, &Kind::Serial { ask, millis })?;
            let waits: Vec<_> = rounds.iter().map(|[n, c]| (None, n.p50_micros(), c.p50_micros())).collect();
            let what = "component: an instance and its answer, p50";
            figures.push(Figure::of_rounds(what, Unit::Micros, Aim::Most(1000.0), &waits).beside(NATIVE));
        }
    }
    let (redis, setup) = (bed.redis()?, Setup::Usual);
    let native = memory::of_each(&bed.weir_on(&redis, setup)?, HELD)?;
    let component = memory::of_each(&bed.component_on(&hosted, &redis, setup)?, HELD)?;
    let what = format!("component: each of {HELD} streams held");
    let kibibytes = (native / memory::KIB, component / memory::KIB);
    figures.push(Figure::once(what, Unit::Kibibytes, Aim::Nothing, kibibytes.0, kibibytes.1).beside(NATIVE));
    Ok(figures)
}

//! State that replicas share: what a trip to Redis costs, beside a Weir that keeps everything in itself.

use super::cached::filled;
use crate::ask::Ask;
use crate::bed::Bed;
use crate::child::{Cores, Door};
use crate::cli::{Failed, Kind};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::{Setup, Store};
use crate::rounds::turns;

const CONNECTIONS: usize = 16;

/// The peer of every line.
const EMBEDDED: &str = "embedded";

/// A hit is one round trip, a miss two.
pub(super) fn measure(bed: &Bed, count: usize, millis: u64) -> Result<Vec<Figure>, Failed> {
    let mut figures = Vec::new();
    for (name, setup, aim) in [
        ("cache hits on Redis", Setup::Cached, Aim::Share(0.5)),
        ("JSON on Redis", Setup::Usual, Aim::Nothing),
    ] {
        // Nothing is left in one by what was measured before.
        let redis = bed.redis()?;
        let (embedded, shared) = (bed.fresh_weir(setup)?, bed.weir_on(&redis, setup)?);
        if matches!(setup, Setup::Cached)
            && filled(embedded.address, "x-cache")? != filled(shared.address, "x-cache")?
        {
            return Err(Failed("the two stores give different bytes".into()));
        }
        let kind = Kind::Throughput { ask: Ask::Json, connections: CONNECTIONS, millis };
        let rounds = turns([&embedded, &shared], count, &kind)?;
        let rates: Vec<_> = rounds.iter().map(|[e, s]| (None, e.per_second(), s.per_second())).collect();
        let costs: Vec<_> = rounds.iter().map(|[e, s]| (None, e.cpu_micros(), s.cpu_micros())).collect();
        let name = format!("{name}, c={CONNECTIONS}");
        let cpu = format!("{name}: CPU of one");
        figures.push(Figure::of_rounds(name, Unit::PerSecond, aim, &rates).beside(EMBEDDED));
        figures.push(Figure::of_rounds(cpu, Unit::Micros, Aim::Nothing, &costs).beside(EMBEDDED));
    }
    figures.push(apart(bed, count, millis)?);
    Ok(figures)
}

/// Hits of a gateway that has a core for itself, as it does where Redis is another machine's: Redis and whoever asks
/// share the next one. On the same cores all three take from each other, and the figure above is mostly Redis's.
fn apart(bed: &Bed, count: usize, millis: u64) -> Result<Figure, Failed> {
    const GATEWAY: usize = 0;
    let others = Cores::Only(1);
    let redis = bed.redis_on(others)?;
    let embedded = bed.weir_on_core(GATEWAY, Store::Embedded, Setup::Cached)?;
    let shared = bed.weir_on_core(GATEWAY, Store::Redis(redis.address), Setup::Cached)?;
    for gateway in [&embedded, &shared] {
        filled(gateway.address, "x-cache")?;
    }
    let kind = Kind::Throughput { ask: Ask::Json, connections: CONNECTIONS, millis };
    let doors = [&embedded, &shared].map(|server| Door { askers: others, ..server.into() });
    let rounds = turns(doors, count, &kind)?;
    let rates: Vec<_> = rounds.iter().map(|[e, s]| (None, e.per_second(), s.per_second())).collect();
    let name = format!("cache hits on Redis, the gateway on a core of its own, c={CONNECTIONS}");
    Ok(Figure::of_rounds(name, Unit::PerSecond, Aim::Share(0.5), &rates).beside(EMBEDDED))
}

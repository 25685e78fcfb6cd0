//! Goodput under overload: answers in time, when five times as many are asked for as the upstream can give.
//!
//! What the upstream can give is measured first, by itself. Then each way of asking it has an upstream of its
//! own, for one that has taken on too much works at that for long after: directly, by way of nginx with a
//! bound on connections that holds as many calls as Weir does, by way of Weir with a fixed bound, and by way
//! of Weir that has to find it.

use super::Flood;
use crate::ask::Ask;
use crate::bed::{self, Bed};
use crate::child::{self, Server};
use crate::cli::{Capacity, Failed, Kind};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::Setup;
use crate::peer::Serving;
use crate::process;
use crate::sample::{Sample, float};

/// A thousand calls a second.
const CAPACITY: Capacity = Capacity { slots: 50, work: 50 };

/// Calls that wait at the gateway.
const QUEUE: usize = 100;

const OVERLOAD: u32 = 5;

/// Callers that wait for one another keep the slots busy.
const CLOSED_LOOP: usize = CAPACITY.slots * 2;

const WORKER_CONNECTIONS: usize = 16_384;

/// Files of any process here that are no connections.
const OTHER_FILES: u64 = 200;

/// One round.
struct Flooded {
    /// Calls a second.
    peak: f64,
    direct: Sample,
    nginx: Sample,
    weir: Sample,
    adaptive: Sample,
}

pub(super) fn measure(bed: &Bed, flood: Flood) -> Result<Vec<Figure>, Failed> {
    let rounds: Vec<Flooded> = (0..flood.rounds).map(|_| round(bed, flood)).collect::<Result<_, Failed>>()?;
    let figure = |what: &str, unit, aim, of: fn(&Flooded) -> (Option<f64>, f64, f64)| {
        let rounds: Vec<_> = rounds.iter().map(of).collect();
        Figure::of_rounds(what, unit, aim, &rounds)
    };
    let share = |what: &str, aim, of| figure(what, Unit::Percent, aim, of);
    let millis = |what: &str, aim, of| figure(what, Unit::Millis, aim, of);
    let alone = |what: &str, unit, aim, of: fn(&Flooded) -> f64| {
        Figure::alone(what, unit, aim, rounds.iter().map(of))
    };
    Ok(vec![
        alone("peak of the upstream", Unit::PerSecond, Aim::Nothing, |r| r.peak),
        share("goodput at 5× of it", Aim::Least(90.0), |r| {
            (Some(r.goodput(&r.direct)), r.goodput(&r.nginx), r.goodput(&r.weir))
        }),
        millis("… p99 of answers", Aim::Nothing, |r| {
            (Some(ms(r.direct.p99_nanos)), ms(r.nginx.p99_nanos), ms(r.weir.p99_nanos))
        }),
        millis("… p50 of 503s", Aim::Nothing, |r| {
            (None, ms(r.nginx.refused_p50_nanos), ms(r.weir.refused_p50_nanos))
        }),
        millis("… p99 of 503s", Aim::Most(10.0), |r| {
            (None, ms(r.nginx.refused_p99_nanos), ms(r.weir.refused_p99_nanos))
        }),
        alone("goodput at 5×, adaptive limit", Unit::Percent, Aim::Nothing, |r| r.goodput(&r.adaptive)),
        alone("… p99 of answers", Unit::Millis, Aim::Nothing, |r| ms(r.adaptive.p99_nanos)),
        alone("… p99 of 503s", Unit::Millis, Aim::Most(10.0), |r| ms(r.adaptive.refused_p99_nanos)),
    ])
}

fn round(bed: &Bed, Flood { millis, patience, .. }: Flood) -> Result<Flooded, Failed> {
    let kind = Kind::Throughput { ask: Ask::Json, connections: CLOSED_LOOP, millis };
    let peak = child::load(&bed::upstream(CAPACITY)?, &kind)?.done * 1000 / millis;
    let per_second = u32::try_from(peak).unwrap_or(u32::MAX).saturating_mul(OVERLOAD);
    let kind = Kind::Flood { per_second, patience, millis };
    // Without bounds there is a connection for each call that was not given up yet.
    process::raise_files(u64::from(per_second) * patience / 1000 * 2 + OTHER_FILES);
    let by_way_of = |gateway: &dyn Fn(&Server) -> Result<Server, Failed>| {
        let upstream = bed::upstream(CAPACITY)?;
        child::load(&gateway(&upstream)?, &kind)
    };
    let weir = |setup| by_way_of(&|upstream| bed.weir_before(upstream, setup));
    let nginx = Serving::Bounded(CAPACITY.slots + QUEUE);
    Ok(Flooded {
        peak: float(peak),
        direct: child::load(&bed::upstream(CAPACITY)?, &kind)?,
        nginx: by_way_of(&|upstream| bed.nginx_before(upstream, nginx, WORKER_CONNECTIONS))?,
        weir: weir(Setup::Bounded { calls: CAPACITY.slots, queue: QUEUE })?,
        adaptive: weir(Setup::Adaptive { queue: QUEUE })?,
    })
}

impl Flooded {
    /// Answers in time as a share of the peak, in percent.
    fn goodput(&self, sample: &Sample) -> f64 {
        sample.per_second() * 100.0 / self.peak.max(1.0)
    }
}

fn ms(nanos: u64) -> f64 {
    float(nanos) / 1e6
}

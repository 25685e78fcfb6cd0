//! A flood against an autoscaler, second by second.
//!
//! The autoscaler is the real one; the world around it is a model, and every assumption of the model is a field of
//! [`Assumptions`]. Load is spread evenly over the ready pods, what they cannot serve is refused at once, and a
//! pod's CPU is its share of the load up to its limit: past that, a flood ten times as large looks the same, which
//! is why no autoscaler on CPU can jump to the right size. That CPU follows the load at all is kind to it: a stream
//! waits for seconds and computes for microseconds. What is not modelled: queueing, the cost of refusing,
//! pods that crash, and draining, which holds capacity a little longer than here.

mod assumptions;
mod fleet;
mod report;
pub mod table;

use std::{collections::BTreeMap, time::Duration};

pub use assumptions::Assumptions;
pub use report::{Report, Share, WayDown};

use self::fleet::Fleet;
use crate::{
    autoscaler::Autoscaler,
    observation::{Observation, Reading, Sample},
    quantity::Milli,
    settings::Settings,
    spec::{Metric, Resource, Spec},
};

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// What the autoscaler last asked for.
    pub replicas: u32,
    pub ready: u32,
    /// Requests that came for the first time.
    pub fresh: u64,
    pub served: u64,
    /// Thousandths of a core that each ready pod used.
    pub cpu: i64,
}

/// A run: quiet, the flood, and quiet again.
#[derive(Clone, Debug)]
pub struct Run {
    /// One for each second.
    pub moments: Vec<Moment>,
    /// When the flood comes, just after a sync: it is seen at the next one.
    pub begins: usize,
    pub ends: usize,
    pub minimum: u32,
}

/// Why a profile cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmeasured {
    /// What the model measures nothing of.
    pub metric: String,
}

impl std::fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the flood model measures CPU and memory of whole pods, and no {}", self.metric)
    }
}

impl std::error::Error for Unmeasured {}

/// Runs a flood of `times` the base load.
pub fn run(spec: &Spec, assumptions: &Assumptions, times: u64) -> Result<Run, Unmeasured> {
    spec.metrics.iter().try_for_each(is_measured)?;
    let (before, length) = (seconds(assumptions.before), seconds(assumptions.length));
    let run = Run { moments: Vec::new(), begins: before, ends: before + length, minimum: spec.minimum };
    let world = World {
        autoscaler: Autoscaler::new(spec.clone()),
        fleet: Fleet::with(spec.minimum),
        returning: BTreeMap::new(),
        assumptions,
        run,
    };
    Ok(world.run(times))
}

fn is_measured(metric: &Metric) -> Result<(), Unmeasured> {
    match metric {
        Metric::Resource { container: None, .. } => Ok(()),
        Metric::Resource { container: Some(name), .. }
        | Metric::Pods { name, .. }
        | Metric::Total { name, .. } => Err(Unmeasured { metric: name.clone() }),
    }
}

/// All that changes during a run.
struct World<'a> {
    autoscaler: Autoscaler,
    fleet: Fleet,
    /// Refused requests by the second that they come again in.
    returning: BTreeMap<usize, u64>,
    assumptions: &'a Assumptions,
    run: Run,
}

impl World<'_> {
    fn run(mut self, times: u64) -> Run {
        let Settings { sync, .. } = *self.autoscaler.settings();
        for second in 0..self.run.ends + seconds(self.assumptions.after) {
            if second % seconds(sync) == 0 {
                let decision = self.autoscaler.step(instant(second), &self.observe(second));
                self.fleet.scale(decision.replicas, second, self.assumptions);
            }
            let flooded = (self.run.begins..self.run.ends).contains(&second);
            self.serve(second, if flooded { times } else { 1 });
        }
        self.run
    }

    fn serve(&mut self, second: usize, times: u64) {
        let Assumptions { base, capacity, cpu_limit, retries, backoff, .. } = self.assumptions;
        let ready = self.fleet.ready(second);
        let fresh = base * times;
        let load = fresh + self.returning.remove(&second).unwrap_or(0);
        let most = u64::from(ready) * capacity;
        let served = load.min(most);
        let again = (load - served) * u64::from(*retries) / 100;
        *self.returning.entry(second + seconds(*backoff).max(1)).or_default() += again;
        let cpu = if most == 0 { 0 } else { share(cpu_limit.0, served, most) };
        self.run.moments.push(Moment { replicas: self.fleet.wanted(), ready, fresh, served, cpu });
    }

    fn observe(&self, second: usize) -> Observation {
        let readings = self.autoscaler.spec().metrics.iter().map(|metric| self.read(metric, second));
        Observation {
            replicas: self.fleet.wanted(),
            existing: self.fleet.wanted(),
            pods: self.fleet.pods(second, self.assumptions),
            readings: readings.collect(),
        }
    }

    /// What metrics-server tells of each pod that it has anything of.
    fn read(&self, metric: &Metric, second: usize) -> Reading {
        let Assumptions { age, window, first_sample, memory_used, .. } = self.assumptions;
        let Some(taken) = second.checked_sub(seconds(*age)) else { return Reading::Unavailable };
        let sampled = self.fleet.ready_times().filter(|(_, ready)| ready + seconds(*first_sample) <= taken);
        let samples = sampled.map(|(name, ready)| {
            let value = match metric {
                Metric::Resource { resource: Resource::Cpu, .. } => self.mean_cpu(taken, ready),
                _ => *memory_used,
            };
            (name, Sample { value, at: instant(taken), window: *window })
        });
        Reading::Pods(samples.collect())
    }

    /// A pod's CPU in the mean over the window up to `taken`; nothing of the time before it was `ready`.
    fn mean_cpu(&self, taken: usize, ready: usize) -> Milli {
        let window = seconds(self.assumptions.window).max(1);
        let moments = self.run.moments.iter().enumerate().take(taken).skip(taken.saturating_sub(window));
        let used: i64 = moments.filter(|(second, _)| *second >= ready).map(|(_, moment)| moment.cpu).sum();
        Milli(used / i64::try_from(window).unwrap_or(i64::MAX))
    }
}

fn share(whole: i64, part: u64, of: u64) -> i64 {
    i64::try_from(i128::from(whole) * i128::from(part) / i128::from(of)).unwrap_or(whole)
}

fn seconds(duration: Duration) -> usize {
    usize::try_from(duration.as_secs()).unwrap_or(usize::MAX)
}

fn instant(second: usize) -> Duration {
    Duration::from_secs(u64::try_from(second).unwrap_or(u64::MAX))
}

//! Rounds: the same load on each target in turn, so that noise meets all of them.

use std::time::Duration;

use crate::bed::{Bed, Target};
use crate::child::Door;
use crate::cli::{Failed, Kind};
use crate::sample::{Sample, float};
use crate::{child, process};

/// One target's part of a round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) sample: Sample,
    cpu: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) direct: Turn,
    pub(crate) nginx: Turn,
    pub(crate) weir: Turn,
}

pub(crate) fn rounds(bed: &Bed, count: usize, kind: &Kind) -> Result<Vec<Round>, Failed> {
    let turn = |target| turn(bed.server(target).into(), kind);
    let round = |_| {
        Ok(Round { direct: turn(Target::Direct)?, nginx: turn(Target::Nginx)?, weir: turn(Target::Weir)? })
    };
    (0..count.max(1)).map(round).collect()
}

/// Rounds in which other servers take turns, every other time from the last to the first.
pub(crate) fn turns<'a, const N: usize>(
    servers: [impl Into<Door<'a>>; N],
    count: usize,
    kind: &Kind,
) -> Result<Vec<[Turn; N]>, Failed> {
    let doors = servers.map(Into::into);
    let round = |number: usize| {
        let mut turns = [Turn::default(); N];
        for step in 0..N {
            let at = if number.is_multiple_of(2) { step } else { N - 1 - step };
            turns[at] = turn(doors[at], kind)?;
        }
        Ok(turns)
    };
    (0..count.max(1)).map(round).collect()
}

pub(crate) fn turn(door: Door<'_>, kind: &Kind) -> Result<Turn, Failed> {
    let pids = door.server.pids();
    let before = process::cpu(&pids);
    let sample = child::load(door, kind)?;
    Ok(Turn { sample, cpu: process::cpu(&pids).saturating_sub(before) })
}

impl Turn {
    /// Processor time of a call, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / float(self.sample.answered.max(1))
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.sample.per_second()
    }

    pub(crate) fn p50_micros(&self) -> f64 {
        float(self.sample.p50_nanos) / 1e3
    }

    pub(crate) fn p99_micros(&self) -> f64 {
        float(self.sample.p99_nanos) / 1e3
    }
}

/// Some figure over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return Spread::default() };
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    Spread { least: *least, median: f64::midpoint(low, high), most: *most }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(spread([3.0, 1.0, 2.0]), Spread { least: 1.0, median: 2.0, most: 3.0 });
        assert_eq!(spread([4.0, 1.0]), Spread { least: 1.0, median: 2.5, most: 4.0 });
        assert_eq!(spread([]), Spread::default());
    }
}

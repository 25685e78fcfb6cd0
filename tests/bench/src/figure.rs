//! A line of the table: a figure of Weir's beside its aim and its peer's.

use crate::rounds::{Spread, spread};

/// What the figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// At least this share of the peer's.
    Share(f64),
    /// No less than this.
    Least(f64),
    /// No more than this.
    Most(f64),
    /// Nothing; it is told to explain another.
    Nothing,
}

/// What is counted, and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Micros,
    Millis,
    Mebibytes,
    Kibibytes,
    /// 10⁶ bytes.
    MegabytesPerSecond,
    Percent,
    Instructions,
}

impl Unit {
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Mebibytes => "MiB",
            Self::Kibibytes => "KiB",
            Self::MegabytesPerSecond => "MB/s",
            Self::Percent => "%",
            Self::Instructions => "instructions",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) aim: Aim,
    pub(crate) weir: Spread,
    /// What it is measured beside.
    pub(crate) peer: &'static str,
    pub(crate) beside: Option<Spread>,
    pub(crate) direct: Option<Spread>,
    /// Weir's over the peer's, mostly round by round.
    pub(crate) ratio: Option<Spread>,
}

impl Figure {
    /// A figure taken in rounds: for each, what it was directly, by way of nginx and by way of Weir.
    pub(crate) fn of_rounds(
        what: impl Into<String>,
        unit: Unit,
        aim: Aim,
        rounds: &[(Option<f64>, f64, f64)],
    ) -> Self {
        let direct: Vec<f64> = rounds.iter().filter_map(|(direct, ..)| *direct).collect();
        Self {
            what: what.into(),
            unit,
            aim,
            weir: spread(rounds.iter().map(|(.., weir)| *weir)),
            peer: "nginx",
            beside: Some(spread(rounds.iter().map(|(_, nginx, _)| *nginx))),
            direct: (!direct.is_empty()).then(|| spread(direct)),
            ratio: Some(spread(rounds.iter().map(|(_, nginx, weir)| weir / nginx))),
        }
    }

    /// Figures that may be near zero or below it, where a ratio means something only for the medians.
    pub(crate) fn of_differences(
        what: impl Into<String>,
        unit: Unit,
        aim: Aim,
        rounds: &[(Option<f64>, f64, f64)],
    ) -> Self {
        let mut figure = Self::of_rounds(what, unit, aim, rounds);
        let ratio = figure.beside.map(|beside| figure.weir.median / beside.median);
        figure.ratio = ratio.map(|ratio| spread([ratio]));
        figure
    }

    /// A figure taken once.
    pub(crate) fn once(what: impl Into<String>, unit: Unit, aim: Aim, nginx: f64, weir: f64) -> Self {
        Self::of_rounds(what, unit, aim, &[(None, nginx, weir)])
    }

    /// A figure that nothing is beside.
    pub(crate) fn alone(
        what: impl Into<String>,
        unit: Unit,
        aim: Aim,
        rounds: impl IntoIterator<Item = f64>,
    ) -> Self {
        let (what, weir) = (what.into(), spread(rounds));
        Self { what, unit, aim, weir, peer: "", beside: None, direct: None, ratio: None }
    }

    /// The peer is not nginx.
    pub(crate) fn beside(self, peer: &'static str) -> Self {
        Self { peer, ..self }
    }

    /// `None` when nothing is aimed at.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.aim {
            Aim::Share(least) => Some(self.ratio.is_some_and(|ratio| ratio.median >= least)),
            Aim::Least(least) => Some(self.weir.median >= least),
            Aim::Most(most) => Some(self.weir.median <= most),
            Aim::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_same_round() {
        let rounds = [(None, 100.0, 80.0), (None, 10.0, 8.0), (None, 1000.0, 790.0)];
        let figure = Figure::of_rounds("x", Unit::PerSecond, Aim::Share(0.8), &rounds);
        assert_eq!(figure.is_met(), Some(true));
        let figure = Figure::once("x", Unit::Micros, Aim::Most(60.0), 20.0, 60.5);
        assert_eq!(figure.is_met(), Some(false));
    }
}

//! The table.

use std::fmt::{self, Write as _};

use crate::figure::{Aim, Figure, Unit};
use crate::rounds::Spread;

/// Lines of figures, aligned; each is the median over the rounds, with the least and the most beside it.
#[derive(Debug)]
pub(crate) struct Table<'a>(pub(crate) &'a [Figure]);

const HEAD: [&str; 8] = ["", "aim", "weir", "least … most", "beside", "direct", "weir/beside", ""];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 8]> =
            [HEAD.map(str::to_owned)].into_iter().chain(self.0.iter().map(cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        for row in &rows {
            let mut line = format!("{:<w$}", row[0], w = widths[0]);
            for (cell, w) in row[1..].iter().zip(&widths[1..]) {
                write!(line, "  {cell:>w$}")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn cells(figure: &Figure) -> [String; 8] {
    let unit = figure.unit;
    let shown = |spread: Option<Spread>| spread.map(|spread| number(spread.median, unit)).unwrap_or_default();
    let aim = match figure.aim {
        Aim::Share(share) => format!("≥ {share:.2} of {}", figure.peer),
        Aim::Least(least) => format!("≥ {} {}", number(least, unit), unit.symbol()),
        Aim::Most(most) => format!("≤ {} {}", number(most, unit), unit.symbol()),
        Aim::Nothing => String::new(),
    };
    let verdict = match figure.is_met() {
        Some(true) => "ok",
        Some(false) => "short",
        None => "",
    };
    let ratio = figure.ratio.map(|ratio| match range(ratio, |value| format!("{value:.2}")) {
        Some(range) => format!("{:.2} ({range})", ratio.median),
        None => format!("{:.2}", ratio.median),
    });
    [
        figure.what.clone(),
        aim,
        format!("{} {}", number(figure.weir.median, unit), unit.symbol()),
        range(figure.weir, |value| number(value, unit)).unwrap_or_default(),
        figure
            .beside
            .map(|beside| format!("{} {}", figure.peer, number(beside.median, unit)))
            .unwrap_or_default(),
        shown(figure.direct),
        ratio.unwrap_or_default(),
        verdict.to_owned(),
    ]
}

/// The least and the most, where they differ.
fn range(spread: Spread, show: impl Fn(f64) -> String) -> Option<String> {
    (spread.least < spread.most).then(|| format!("{} … {}", show(spread.least), show(spread.most)))
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond | Unit::MegabytesPerSecond | Unit::Instructions => format!("{value:.0}"),
        Unit::Micros | Unit::Millis | Unit::Mebibytes | Unit::Kibibytes | Unit::Percent => {
            format!("{value:.1}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_verdict_stands_last() {
        let figures = [
            Figure::once("short name", Unit::Micros, Aim::Most(60.0), 20.0, 61.25),
            Figure::once("a longer name", Unit::PerSecond, Aim::Share(0.7), 1000.0, 800.0),
        ];
        let text = Table(&figures).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("short name   ") && lines[1].ends_with("short"), "{text}");
        assert!(lines[2].contains("≥ 0.70 of nginx") && lines[2].ends_with("0.80     ok"), "{text}");
    }
}

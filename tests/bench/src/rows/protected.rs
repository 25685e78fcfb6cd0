//! What limits and breakers cost a call that none of them holds up.

use super::{Counting, instructions};
use crate::ask::Ask;
use crate::bed::Bed;
use crate::cli::{Failed, Kind, say};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::Setup;
use crate::rounds::turns;

const CONNECTIONS: usize = 16;

/// At most 5 % of the calls a second.
const AIM: Aim = Aim::Share(0.95);

/// The peer of every line.
const BARE: &str = "without";

const USUAL: &str = "JSON with limits and breakers";
const LIMITED: &str = "JSON with limits of every kind";

pub(super) fn measure(
    bed: &Bed,
    count: usize,
    millis: u64,
    counting: Counting,
) -> Result<Vec<Figure>, Failed> {
    let [bare, usual, limited] = [Setup::Bare, Setup::Usual, Setup::Limited].map(|s| bed.fresh_weir(s));
    let (bare, usual, limited) = (bare?, usual?, limited?);
    // Of what is to differ by so little many short turns tell more than a few long ones.
    let kind = Kind::Throughput { ask: Ask::Json, connections: CONNECTIONS, millis: millis / 2 };
    let rounds = turns([&bare, &usual, &limited], count * 2, &kind)?;
    let mut figures = Vec::new();
    for (name, aim, at) in [(USUAL, AIM, 1), (LIMITED, Aim::Nothing, 2)] {
        let rates: Vec<_> = rounds.iter().map(|r| (None, r[0].per_second(), r[at].per_second())).collect();
        let costs: Vec<_> = rounds.iter().map(|r| (None, r[0].cpu_micros(), r[at].cpu_micros())).collect();
        let name = format!("{name}, c={CONNECTIONS}");
        let cpu = format!("{name}: CPU of one");
        figures.push(Figure::of_rounds(name, Unit::PerSecond, aim, &rates).beside(BARE));
        figures.push(Figure::of_rounds(cpu, Unit::Micros, Aim::Nothing, &costs).beside(BARE));
    }
    match instructions(bed, [Setup::Bare, Setup::Usual, Setup::Limited], counting) {
        Ok([bare, usual, limited]) => {
            for (name, count) in [(USUAL, usual), (LIMITED, limited)] {
                let figure = Figure::once(name, Unit::Instructions, Aim::Nothing, bare, count);
                figures.push(figure.beside(BARE));
            }
        }
        Err(Failed(why)) => say(format_args!("instructions of a call are NOT counted: {why}")),
    }
    Ok(figures)
}

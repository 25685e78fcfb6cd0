//! What the profiles do in a flood, as Markdown.

use super::{Assumptions, Report, Unmeasured, WayDown, run};
use crate::spec::Spec;

/// An autoscaler under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub name: String,
    pub spec: Spec,
}

/// Multiples of the base load.
pub const FLOODS: [u64; 4] = [2, 10, 50, 500];

/// The chapter's tables: each flood against each profile, then what a worse cluster makes of the largest two.
pub fn render(profiles: &[Profile]) -> Result<String, Unmeasured> {
    Ok(format!("{}\n{}", floods(profiles)?, variations(profiles)?))
}

fn floods(profiles: &[Profile]) -> Result<String, Unmeasured> {
    let assumptions = Assumptions::default();
    let mut table = String::from(
        "| autoscaler | flood | served | enough pods after | most pods | turns | first pod gone after | at the minimum \
         after |\n|---|---|---|---|---|---|---|---|\n",
    );
    for Profile { name, spec } in profiles {
        for times in FLOODS {
            let Report { served, enough, peak, turns, way_down } =
                run(spec, &assumptions, times)?.report(assumptions.capacity);
            let down =
                |of: fn(WayDown) -> Option<usize>| way_down.map_or("–".to_owned(), |down| time(of(down)));
            let (gone, minimum) = (down(|down| down.first_removed), down(|down| down.at_minimum));
            let enough = time(enough);
            let row = format!(
                "| {name} | {times}× | {served} | {enough} | {peak} | {turns} | {gone} | {minimum} |"
            );
            line(&mut table, &row);
        }
    }
    Ok(table)
}

fn variations(profiles: &[Profile]) -> Result<String, Unmeasured> {
    let floods = FLOODS.into_iter().skip(FLOODS.len() - 2);
    let columns: Vec<(&Profile, u64)> =
        profiles.iter().flat_map(|profile| floods.clone().map(move |times| (profile, times))).collect();
    let heads: Vec<String> =
        columns.iter().map(|(profile, times)| format!("{}, {times}×", profile.name)).collect();
    let mut table =
        format!("| served with | {} |\n|---{}|\n", heads.join(" | "), "|---".repeat(columns.len()));
    for (name, assumptions) in Assumptions::variations() {
        let served = |(profile, times): &(&Profile, u64)| {
            let run = run(&profile.spec, &assumptions, *times)?;
            Ok(run.report(assumptions.capacity).served.to_string())
        };
        let cells = columns.iter().map(served).collect::<Result<Vec<_>, _>>()?;
        line(&mut table, &format!("| {name} | {} |", cells.join(" | ")));
    }
    Ok(table)
}

fn time(seconds: Option<usize>) -> String {
    match seconds {
        None => "never".to_owned(),
        Some(seconds) if seconds >= 120 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        Some(seconds) => format!("{seconds} s"),
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

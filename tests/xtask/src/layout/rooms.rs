//! The order of the core's rooms: what a file of `shared/src` may import.
//!
//! A room imports rooms on the lines below its own. Inside `pipeline/` the steps of a request stand in an order as well:
//! a step imports those behind it. In every other room its parts, files and folders, form no circle. Children may import
//! from the module they are part of, and it from them.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{Core, Import};

/// From the top; rooms on one line do not import each other.
const ROOMS: [&[&str]; 12] = [
    &["pipeline"],
    &["operator"],
    &["platform"],
    &["store"],
    &["config", "telemetry"],
    &["routing"],
    &["identity", "cache"],
    &["dialect"],
    &["refusal"],
    &["limits"],
    &["wire", "ledger"],
    &["random", "secret", "time"],
];

/// The room whose files stand in the order of the request.
const ORDERED: &str = "pipeline";

/// Its steps, in the order of the request: `settlement` runs what the others have left to it, and last stands what
/// several of them need.
const STEPS: [&str; 27] = [
    "dispatch",
    "settlement",
    "models",
    "arrival",
    "call",
    "passthrough",
    "route",
    "ownership",
    "access",
    "share",
    "open",
    "failover",
    "delivery",
    "attempt",
    "request_body",
    "cache",
    "websocket",
    "exchange",
    "reply",
    "accounting",
    "sent",
    "answer_stream",
    "charge",
    "explanation",
    "admission",
    "read",
    "heavy",
];

/// What is wrong, each with its file, its line and the rule.
pub(super) fn faults(core: &Core) -> Vec<String> {
    let rooms: BTreeSet<&str> =
        core.modules.iter().filter_map(|module| module.first()).map(String::as_str).collect();
    let unplanned = rooms.into_iter().filter(|room| line_of(room).is_none());
    let mut faults: Vec<String> =
        unplanned.map(|room| format!("{room} stands on no line of rooms")).collect();
    faults.extend(core.imports.iter().filter_map(|import| Some(told(import, &upwards(import)?))));
    faults.extend(circles(core));
    faults
}

fn told(import: &Import, why: &str) -> String {
    format!("{}:{} imports {}: {why}", import.file, import.line, import.path.join("::"))
}

/// The line of a room, from the top.
fn line_of(room: &str) -> Option<usize> {
    ROOMS.iter().position(|line| line.contains(&room))
}

/// Why a file may not import that; `None` where it may.
fn upwards(import: &Import) -> Option<String> {
    // The crate's root shows what is beneath it.
    let here = import.from.first()?;
    let Some(there) = import.path.first() else { return Some("that is everything".to_owned()) };
    if here == there {
        return if here == ORDERED { earlier(import) } else { None };
    }
    let Some(below) = line_of(there) else {
        return Some("it is no room; what the crate shows has a room of its own".to_owned());
    };
    match below.cmp(&line_of(here)?) {
        std::cmp::Ordering::Less => Some(format!("{there} stands above {here}")),
        std::cmp::Ordering::Equal => Some(format!("{there} stands on one line with {here}")),
        std::cmp::Ordering::Greater => None,
    }
}

/// The same between two steps.
fn earlier(import: &Import) -> Option<String> {
    // The room's root shows what is beneath it.
    let here = import.from.get(1)?;
    let place = |step: &String| STEPS.iter().position(|known| known == step);
    let Some(there) = import.path.get(1) else { return Some(format!("that is all of {ORDERED}")) };
    if here == there {
        return None;
    }
    let Some(at) = place(here) else { return Some(format!("{here} is no step of {ORDERED} that is known")) };
    match place(there) {
        Some(to) if to > at => None,
        Some(_) => Some(format!("{there} is an earlier step than {here}")),
        None => Some(format!("{there} is no step of {ORDERED} that is known")),
    }
}

/// Circles among the parts of each folder, but for the one that has an order.
fn circles(core: &Core) -> Vec<String> {
    let mut by_folder: BTreeMap<&[String], BTreeMap<(&str, &str), &Import>> = BTreeMap::new();
    for import in &core.imports {
        let shared = import.from.iter().zip(&import.path).take_while(|(here, there)| here == there).count();
        let (Some(here), Some(there)) = (import.from.get(shared), import.path.get(shared)) else { continue };
        let folder = &import.from[..shared];
        let is_part = core.modules.contains(&import.path[..=shared]);
        if is_part && !folder.is_empty() && folder != [ORDERED] {
            by_folder.entry(folder).or_default().entry((here, there)).or_insert(import);
        }
    }
    by_folder
        .into_iter()
        .filter_map(|(folder, imports)| circle(&imports).map(|way| shown(folder, &way)))
        .collect()
}

fn shown(folder: &[String], way: &[&Import]) -> String {
    let steps: Vec<String> = way
        .iter()
        .map(|import| format!("{}:{} imports {}", import.file, import.line, import.path.join("::")))
        .collect();
    format!("parts of {} form a circle: {}", folder.join("/"), steps.join(", "))
}

/// A way from a part back to itself.
fn circle<'a>(imports: &BTreeMap<(&'a str, &'a str), &'a Import>) -> Option<Vec<&'a Import>> {
    let parts: BTreeSet<&str> = imports.keys().map(|(from, _)| *from).collect();
    parts.into_iter().find_map(|part| way(imports, part, part, &mut BTreeSet::new()))
}

fn way<'a>(
    imports: &BTreeMap<(&'a str, &'a str), &'a Import>,
    from: &'a str,
    to: &str,
    seen: &mut BTreeSet<&'a str>,
) -> Option<Vec<&'a Import>> {
    for ((_, next), import) in imports.iter().filter(|((here, _), _)| *here == from) {
        if *next == to {
            return Some(vec![import]);
        }
        if seen.insert(next)
            && let Some(behind) = way(imports, next, to, seen)
        {
            return Some([vec![*import], behind].concat());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: BTreeMap<_, _> =
            files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        faults(&Core::read(&files).unwrap())
    }

    #[test]
    fn a_room_imports_what_stands_below_it_and_nothing_else() {
        let root =
            ("lib.rs", "mod config; mod limits; mod telemetry; mod time;\npub use crate::limits::Limits;");
        let others = [("telemetry.rs", ""), ("time.rs", "")];
        let with =
            |config, limits| [root, ("config.rs", config), ("limits.rs", limits), others[0], others[1]];
        assert_eq!(found(&with("use crate::limits::Limits;\nuse crate::time;", "")), [""; 0]);
        assert_eq!(
            found(&with("", "\nuse crate::time::Instant;\nfn f() -> crate::config::Config {}")),
            ["limits.rs:3 imports config::Config: config stands above limits"]
        );
        assert_eq!(
            found(&with("use crate::telemetry::A;", "")),
            ["config.rs:1 imports telemetry::A: telemetry stands on one line with config"]
        );
        assert_eq!(
            found(&with("use crate::Limits;", "")),
            ["config.rs:1 imports Limits: it is no room; what the crate shows has a room of its own"]
        );
    }

    #[test]
    fn a_room_that_nobody_has_planned_is_told() {
        assert_eq!(
            found(&[("lib.rs", "mod attic;"), ("attic.rs", "")]),
            ["attic stands on no line of rooms"]
        );
    }

    #[test]
    fn a_circle_among_the_parts_of_a_folder_is_found_with_its_lines() {
        let files = |c| {
            [
                ("lib.rs", "mod config;"),
                ("config.rs", "mod a; mod b; mod c; struct A;"),
                ("config/a.rs", "use super::b::B;\nuse super::A;"),
                ("config/b.rs", "mod d;"),
                ("config/b/d.rs", "\nuse crate::config::c;"),
                ("config/c.rs", c),
            ]
        };
        assert_eq!(found(&files("use super::A;")), [""; 0]);
        assert_eq!(
            found(&files("fn f() {\n    super::a::g();\n}")),
            ["parts of config form a circle: config/a.rs:1 imports config::b::B, \
              config/b/d.rs:2 imports config::c, config/c.rs:2 imports config::a::g"]
        );
    }

    #[test]
    fn a_step_imports_those_behind_it() {
        let files = |charge, attempt| {
            [
                ("lib.rs", "mod pipeline;"),
                ("pipeline.rs", "mod attempt; mod charge;\npub use self::charge::A;"),
                ("pipeline/attempt.rs", attempt),
                ("pipeline/charge.rs", charge),
            ]
        };
        assert_eq!(found(&files("", "use super::charge::A;")), [""; 0]);
        assert_eq!(
            found(&files("\nuse super::attempt::B;", "")),
            ["pipeline/charge.rs:2 imports pipeline::attempt::B: attempt is an earlier step than charge"]
        );
        assert_eq!(
            found(&files("", "use super::A;")),
            ["pipeline/attempt.rs:1 imports pipeline::A: A is no step of pipeline that is known"]
        );
    }
}

//! One word, one thing: names of types that stand for two in the core.
//!
//! A document's raw shape, in `config/raw`, is called what it becomes, and counts as the same thing.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Core;

/// Shapes of a document before it is checked.
const RAW: &str = "config/raw";

/// Names that stand for several things today. The list only gets shorter.
const KNOWN: [&str; 74] = [
    "Access",
    "Answer",
    "Answered",
    "Asked",
    "At",
    "Bound",
    "Bounds",
    "Broken",
    "Call",
    "Cause",
    "Choice",
    "Clock",
    "Dialect",
    "End",
    "Ends",
    "Entry",
    "ErrorBody",
    "Event",
    "Fault",
    "Fields",
    "Frame",
    "Full",
    "Garbled",
    "Grant",
    "Head",
    "Held",
    "Item",
    "Kept",
    "Key",
    "Lead",
    "Left",
    "Line",
    "Lines",
    "List",
    "Meter",
    "Named",
    "Names",
    "Next",
    "Object",
    "Open",
    "Opened",
    "Opening",
    "Pace",
    "Part",
    "Pick",
    "Piece",
    "Place",
    "Policy",
    "Progress",
    "Reader",
    "Reading",
    "Record",
    "Relay",
    "Report",
    "Said",
    "Search",
    "Session",
    "Stage",
    "Standing",
    "State",
    "Step",
    "Store",
    "Tally",
    "Task",
    "Terms",
    "Told",
    "TooLarge",
    "Transport",
    "Turn",
    "Upstream",
    "Value",
    "Waiting",
    "Window",
    "Written",
];

/// What is wrong, each with its files and lines.
pub(super) fn faults(core: &Core) -> Vec<String> {
    faults_beside(core, &KNOWN)
}

fn faults_beside(core: &Core, known: &[&str]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let types: BTreeSet<_> = core.types.iter().filter(|(_, file, _)| !file.starts_with(RAW)).collect();
    for (name, file, line) in types {
        places.entry(name).or_default().push(format!("{file}:{line}"));
    }
    let several: BTreeMap<&str, Vec<String>> =
        places.into_iter().filter(|(_, places)| places.len() > 1).collect();
    let known: BTreeSet<&str> = known.iter().copied().collect();
    let new = several.iter().filter(|(name, _)| !known.contains(*name));
    let new = new.map(|(name, places)| format!("`{name}` stands for several things: {}", places.join(", ")));
    let old = known.iter().filter(|name| !several.contains_key(*name));
    let old =
        old.map(|name| format!("`{name}` stands for one thing now: take it off the list of {}", file!()));
    new.chain(old).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], known: &[&str]) -> Vec<String> {
        let files: BTreeMap<_, _> =
            files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        faults_beside(&Core::read(&files).unwrap(), known)
    }

    #[test]
    fn a_name_of_two_things_is_told_with_its_lines() {
        let files = [
            ("lib.rs", "mod cache; mod limits; mod config;"),
            ("cache.rs", "pub struct Entry;\n#[cfg(test)]\nmod tests { struct Policy; }"),
            ("limits.rs", "\nfn f() { enum Entry {} }\ntype Policy = u8;"),
            ("config.rs", "mod raw;"),
            ("config/raw.rs", "struct Policy;"),
        ];
        assert_eq!(found(&files, &[]), ["`Entry` stands for several things: cache.rs:1, limits.rs:2"]);
        assert_eq!(found(&files, &["Entry"]), [""; 0]);
    }

    #[test]
    fn a_name_on_the_list_that_stands_for_one_thing_is_told() {
        let told = found(&[("lib.rs", "struct Entry;")], &["Entry"]);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("`Entry` stands for one thing now"), "{told:?}");
    }
}

//! The README and the manual's pages say what there is, and their links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;
use weir::Config;
use weir::config::{Document, Format};
use weir::telemetry::metrics::{Family, Kind};

use super::*;
use crate::document::Machine;

/// A front door is read at once, a page in a few minutes.
const LONGEST_FRONT: usize = 250;
const LONGEST_PAGE: usize = 160;

/// What else is linked from the manual or links to it.
const BESIDE: [&str; 5] = [
    "edge/README.md",
    "edge/cloudflare/README.md",
    "edge/spin/README.md",
    "k8s/README.md",
    "tests/conformance/README.md",
];

/// The root of the tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The README and every page, as they lie in the tree: paths from the root, and texts.
fn front_and_pages() -> Vec<(String, String)> {
    let pages = entries("shared/manual").into_iter().map(|name| format!("shared/manual/{name}"));
    let paths = ["README.md".to_owned()].into_iter().chain(pages);
    paths.map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap())).collect()
}

fn events(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Code blocks of one of `languages`.
fn blocks(text: &str, languages: &[&str]) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), None::<String>);
    for event in events(text) {
        match (event, &mut open) {
            (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))), _)
                if languages.contains(&&*language) =>
            {
                open = Some(String::new());
            }
            (Event::Text(text), Some(block)) => block.push_str(&text),
            (Event::End(TagEnd::CodeBlock), _) => found.extend(open.take()),
            _ => {}
        }
    }
    found
}

/// What a heading is linked by, as GitHub makes it.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), None::<String>);
    for event in events(text) {
        match (event, &mut open) {
            (Event::Start(Tag::Heading { .. }), _) => open = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.push_str(&text),
            (Event::End(TagEnd::Heading(_)), _) => {
                let heading = open.take().unwrap_or_default().to_lowercase();
                let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
                let anchor = heading.chars().filter(kept).collect::<String>().replace(' ', "-");
                assert!(found.insert(anchor.clone()), "two headings are called {anchor}");
            }
            _ => {}
        }
    }
    found
}

fn links(text: &str) -> Vec<String> {
    events(text)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.to_string())
            }
            _ => None,
        })
        .collect()
}

/// Names of the files and folders of a folder, from the root.
fn entries(folder: &str) -> BTreeSet<String> {
    fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_page_of_the_folder_is_a_topic_and_no_other() {
    let topics: BTreeSet<String> = PAGES.iter().map(|page| format!("{}.md", page.topic)).collect();
    assert_eq!(topics, entries("shared/manual"));
}

#[test]
fn every_page_begins_with_its_name_and_a_line_on_what_it_is_about() {
    for Page { topic, text } in PAGES {
        let [title, empty, summary, behind] = *text.lines().take(4).collect::<Vec<_>>() else {
            panic!("{topic} is empty")
        };
        let name = title.strip_prefix("# ").unwrap().to_lowercase();
        assert!(name.split(' ').next() == Some(topic) && empty.is_empty(), "{topic}: {title}");
        assert!(summary.ends_with('.') && summary.len() <= 120 && behind.is_empty(), "{topic}: {summary}");
    }
}

#[test]
fn no_page_is_named_like_a_command() {
    let cli = Cli::command();
    for Page { topic, .. } in PAGES {
        assert!(cli.find_subcommand(topic).is_none(), "`weir help {topic}` would hide a command");
    }
}

#[test]
fn every_configuration_in_the_readme_and_the_manual_is_good() {
    let machine = Machine { simulated: http::Uri::from_static("http://127.0.0.1:1/v1") };
    let mut checked = 0;
    for (path, text) in front_and_pages() {
        for block in blocks(&text, &["toml"]) {
            let document = Document { name: &path, text: &block, format: Format::Toml };
            Config::load(&document, &machine).unwrap_or_else(|faults| panic!("{faults}\n{block}"));
            checked += 1;
        }
    }
    assert!(checked >= 18, "{checked}");
}

#[test]
fn the_front_door_and_the_pages_stay_short() {
    for (path, text) in front_and_pages() {
        let longest = if path == "README.md" { LONGEST_FRONT } else { LONGEST_PAGE };
        let lines = text.lines().count();
        assert!(lines <= longest, "{path} has {lines} lines, and {longest} are the most");
    }
}

#[test]
fn every_page_is_reached_from_the_front_door() {
    let front = fs::read_to_string(root().join("README.md")).unwrap();
    let linked: BTreeSet<String> = links(&front).into_iter().collect();
    for Page { topic, .. } in PAGES {
        assert!(linked.contains(&format!("shared/manual/{topic}.md")), "README.md has no link to {topic}");
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let beside = BESIDE.map(|path| (path.to_owned(), fs::read_to_string(root().join(path)).unwrap()));
    let mut followed = 0;
    for (path, text) in front_and_pages().into_iter().chain(beside) {
        let folder = root().join(&path).parent().map(Path::to_owned).unwrap();
        for link in links(&text).iter().filter(|link| !link.starts_with("https://")) {
            let (file, anchor) =
                link.split_once('#').map_or((&**link, None), |(file, anchor)| (file, Some(anchor)));
            let target: PathBuf = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            assert!(target.exists(), "{path}: {link} leads to no file");
            if let Some(anchor) = anchor {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{path}: {link} leads to no heading; there are {there:?}");
            }
            followed += 1;
        }
    }
    assert!(followed > 60, "{followed}");
}

/// Words behind `weir` or `cargo run … --` in the shell blocks, with what a shell takes out of them.
fn commands(text: &str) -> Vec<Vec<String>> {
    let blocks = blocks(text, &["sh", "console"]).concat().replace("\\\n", " ");
    let plain = |line: &str| -> Option<Vec<String>> {
        let line = line.split(" #").next()?.split(" > ").next()?.trim_start_matches("$ ");
        let line = line.rsplit("&& ").next()?;
        let mut words = line.split_whitespace().skip_while(|word| word.contains('='));
        let own: Vec<&str> = match words.next()? {
            "weir" => words.collect(),
            "cargo" if words.next() == Some("run") => {
                words.skip_while(|word| *word != "--").skip(1).collect()
            }
            _ => return None,
        };
        Some(own.into_iter().map(str::to_owned).collect())
    };
    blocks.lines().filter_map(plain).collect()
}

#[test]
fn every_command_of_the_manual_is_understood() {
    let mut understood = 0;
    for (path, text) in front_and_pages() {
        for words in commands(&text) {
            let parsed = Cli::try_parse_from(["weir".to_owned()].into_iter().chain(words.clone()));
            assert!(parsed.is_ok(), "{path}: weir {}\n{}", words.join(" "), parsed.unwrap_err());
            understood += 1;
        }
    }
    assert!(understood >= 10, "{understood}");
}

/// Names of the document's settings, wherever in the schema they stand.
fn settings(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| settings(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| settings(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether `word` stands in `text` with nothing of a word around it.
fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|found| found == word)
}

#[test]
fn every_setting_stands_in_the_manual() {
    let mut names = BTreeSet::new();
    settings(&weir::config::schema(), &mut names);
    assert!(names.len() > 80, "{names:?}");
    let manual = front_and_pages().into_iter().map(|(_, text)| text).collect::<String>();
    let untold: Vec<_> = names.iter().filter(|name| !has_word(&manual, name)).collect();
    assert!(untold.is_empty(), "no page has {untold:?}");
}

#[test]
fn every_metric_stands_on_its_page() {
    let page = Page::of("observability").unwrap();
    for family in Family::ALL {
        let name = match family.kind() {
            Kind::Counter => format!("{}_total", family.name()),
            Kind::Gauge | Kind::Histogram(_) => family.name().to_owned(),
        };
        assert!(page.text.contains(&format!("`{name}`")), "{name}");
    }
}

/// The chapter of the README that says where things are.
fn map() -> String {
    let front = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, behind) = front.split_once("\n## The map\n").unwrap();
    behind.split_once("\n## ").unwrap().0.to_owned()
}

#[test]
fn the_map_names_every_room_of_the_core_and_every_suite() {
    let map = map();
    let named: BTreeSet<&str> = map
        .split(|c: char| !(c.is_ascii_alphanumeric() || "_/".contains(c)))
        .filter_map(|word| word.strip_suffix('/'))
        .collect();
    for folder in ["shared/src", "tests"] {
        for name in entries(folder).iter().filter(|name| root().join(folder).join(name).is_dir()) {
            assert!(named.contains(name.as_str()), "{folder}/{name} is not on the map: {named:?}");
        }
    }
}

#[test]
fn every_place_of_a_request_on_the_map_exists() {
    let map = map();
    let rows = map.lines().filter(|line| line.starts_with("| ")).filter_map(|row| row.rsplit('|').nth(1));
    let places: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    for place in &places {
        let is_there = |folder: &str| root().join("shared/src").join(folder).join(place).exists();
        assert!(is_there("pipeline") || is_there(""), "{place} is on the map alone");
    }
    assert!(places.len() > 15, "{places:?}");
}

#[test]
fn a_topic_is_its_page_and_a_command_its_help() {
    assert_eq!(answer(&["limits"]).unwrap(), Page::of("limits").unwrap().text);
    for (words, part) in [
        (&["serve"][..], "Usage: weir serve"),
        (&["key", "new"], "Usage: weir key new"),
        (&["help"], "Usage: weir help"),
    ] {
        assert!(answer(words).unwrap().contains(part), "{words:?}");
    }
}

#[test]
fn what_is_no_topic_is_told_with_the_nearest_names() {
    for (word, near) in
        [("limit", "limits"), ("cahce", "cache"), ("Breaker", "breakers"), ("idempotent", "idempotency")]
    {
        let Failed(told) = answer(&[word]).unwrap_err();
        assert!(told.contains(&format!("did you mean {near}")), "{told}");
    }
    let Failed(told) = answer(&["zzzz"]).unwrap_err();
    assert!(told.contains("\"zzzz\"") && !told.contains("did you mean"), "{told}");
    assert!(answer(&["limits", "cache"]).is_err() && answer(&["key", "old"]).is_err());
}

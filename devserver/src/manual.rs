//! `weir help`: the manual's pages, which are part of the program, and the commands.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use crate::cli::{Cli, Failed, Help, say};

/// A page of `shared/manual`: a title, a line on what it is about, and the rest.
#[derive(Clone, Copy, Debug)]
struct Page {
    topic: &'static str,
    text: &'static str,
}

macro_rules! pages {
    ($($topic:literal),+ $(,)?) => {
        [$(Page { topic: $topic, text: include_str!(concat!("../../shared/manual/", $topic, ".md")) }),+]
    };
}

/// In the order in which they are listed: from what every document has to what only some readers need.
const PAGES: [Page; 24] = pages![
    "upstreams",
    "keys",
    "routes",
    "defaults",
    "limits",
    "overload",
    "breakers",
    "control",
    "cache",
    "coalescing",
    "idempotency",
    "store",
    "failures",
    "server",
    "observability",
    "endpoints",
    "errors",
    "streams",
    "passthrough",
    "realtime",
    "security",
    "spin",
    "cloudflare",
    "tests",
];

impl Page {
    fn of(topic: &str) -> Option<Self> {
        PAGES.into_iter().find(|page| page.topic == topic)
    }

    /// The line under the title.
    fn summary(&self) -> &'static str {
        self.text.lines().nth(2).unwrap_or_default()
    }
}

/// Prints a page, the help of a command, or the list of both.
pub(crate) fn help(flags: &Help) -> Result<(), Failed> {
    let about: Vec<&str> = flags.about.iter().map(String::as_str).collect();
    say(answer(&about)?.trim_end());
    Ok(())
}

fn answer(about: &[&str]) -> Result<String, Failed> {
    match about {
        [] => Ok(overview()),
        [topic] if let Some(page) = Page::of(topic) => Ok(page.text.to_owned()),
        command => of_command(command),
    }
}

/// The commands, and the topics with a line each.
fn overview() -> String {
    let mut text = Cli::command().render_help().to_string();
    text.push_str("\n\nPages of the manual, by `weir help TOPIC`:\n");
    let width = PAGES.iter().map(|page| page.topic.len()).max().unwrap_or_default();
    for page in PAGES {
        let _ = writeln!(text, "  {:width$}  {}", page.topic, page.summary());
    }
    text
}

/// Help of a command, as `weir COMMAND --help` prints it.
fn of_command(words: &[&str]) -> Result<String, Failed> {
    let cli = Cli::command();
    let mut command = &cli;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| unknown(word))?;
    }
    let line = ["weir"].iter().chain(words).chain(&["--help"]);
    match cli.clone().try_get_matches_from(line) {
        Ok(_) => Ok(String::new()),
        Err(help) => Ok(help.render().to_string()),
    }
}

/// Names of pages and commands that look less like a word are not what was meant by it.
const LIKE: f64 = 0.75;

/// At most so many are offered.
const MOST_OFFERED: usize = 3;

fn unknown(word: &str) -> Failed {
    let commands = Cli::command();
    let commands = commands.get_subcommands().map(|command| command.get_name().to_owned());
    let names = PAGES.iter().map(|page| page.topic.to_owned()).chain(commands);
    let mut near: Vec<_> = names
        .map(|name| (strsim::jaro_winkler(&word.to_lowercase(), &name), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let near: Vec<_> = near.into_iter().take(MOST_OFFERED).map(|(_, name)| name).collect();
    let hint = match near.as_slice() {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(", ")),
    };
    Failed(format!("no topic and no command is named {word:?}{hint}\n`weir help` lists them all"))
}

#[cfg(test)]
mod tests;

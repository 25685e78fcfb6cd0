//! The `curl` lines of documents, as a shell and curl would read them.

use http::Request;

use crate::{Outgoing, whole};

/// One `curl` command.
#[derive(Debug, Default)]
pub struct Curl {
    /// Behind the host.
    pub path: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// `None` is a GET.
    pub body: Option<String>,
}

impl Curl {
    /// Reads a command up to a pipe or a comment; `host` is where it goes.
    pub fn parse(command: &str, host: &str) -> Self {
        let command = command.split(" | ").next().unwrap();
        let words = shell_words(command.split("  #").next().unwrap().trim());
        let mut curl = Self::default();
        let mut words = words.into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"), "another command: {command}");
        while let Some(word) = words.next() {
            match word.as_str() {
                "-H" => {
                    let header = words.next().expect("a header");
                    let (name, value) = header.split_once(": ").expect("a name and a value");
                    curl.headers.push((name.to_owned(), value.to_owned()));
                }
                "-d" => curl.body = Some(words.next().expect("a body")),
                "--json" => {
                    curl.headers.push(("content-type".into(), "application/json".into()));
                    curl.body = Some(words.next().expect("a body"));
                }
                "-s" | "-si" | "-sN" => {}
                url => {
                    let path = url.strip_prefix(host);
                    path.unwrap_or_else(|| panic!("{url} is not at {host}")).clone_into(&mut curl.path);
                }
            }
        }
        curl
    }

    pub fn request(&self) -> Request<Outgoing> {
        let Self { path, headers, body } = self;
        let request = if body.is_some() { Request::post(path) } else { Request::get(path) };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body(whole(body.clone().unwrap_or_default())).unwrap()
    }
}

/// Splits a command as a shell does, as far as quotes and continued lines go.
fn shell_words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => assert_eq!(letters.next(), Some('\n'), "only lines are continued"),
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (_, _) => word.get_or_insert_default().push(letter),
        }
    }
    assert_eq!(quote, None, "a quote is open: {command}");
    words.extend(word);
    words
}

//! The commands of the README and the manual do what is written beside them.

use serde_json::Value;
use weir_native_tests::{Curl, Gateway, Launch, hash};

const README: &str = include_str!("../../../../README.md");
const CONTROL: &str = include_str!("../../../../shared/manual/control.md");
const HOST: &str = "http://127.0.0.1:8080";
const ADMIN: &str = "sk-admin-canary-5e0b7d";

/// Blocks of `language`.
fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect::<Vec<_>>().into_iter()
}

/// Each `curl` of the tour with what it is said to print.
fn tour() -> Vec<(Curl, &'static str)> {
    let commands = blocks(README, "console").flat_map(|block| block.split("$ ").skip(1));
    let read = |command: &'static str| {
        let mut end = 0;
        for line in command.split_inclusive('\n') {
            end += line.len();
            if !line.ends_with("\\\n") {
                break;
            }
        }
        let (command, printed) = command.split_at(end);
        (Curl::parse(command, HOST), printed)
    };
    commands.filter(|command| command.starts_with("curl ")).map(read).collect()
}

#[tokio::test]
async fn the_tour_prints_what_the_readme_says() {
    let gateway = Launch::trial().start().await;
    let mut kinds = 0;
    for (curl, printed) in tour() {
        let mut flow = gateway.flow(curl.request()).await;
        assert_eq!(flow.status, 200, "{curl:?}");
        if let Some(event) = printed.strip_prefix("data: ") {
            assert_eq!(flow.events().await.last().map(String::as_str), Some(event.trim()));
            kinds |= 1;
        } else if let Some(explanation) = printed.strip_prefix("x-weir-explain: ") {
            let keys = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            let (told, found) = (keys(explanation), keys(flow.headers["x-weir-explain"].to_str().unwrap()));
            assert_eq!((&told["route"], &told["candidates"]), (&found["route"], &found["candidates"]));
            for (told, found) in
                told["attempts"].as_array().unwrap().iter().zip(found["attempts"].as_array().unwrap())
            {
                assert_eq!((&told["status"], &told["failure"]), (&found["status"], &found["failure"]));
            }
            kinds |= 2;
        } else {
            let answer = gateway.send(curl.request()).await.json();
            let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
            let (_, told) = printed.split_once(r#""content":"This"#).unwrap();
            let told = format!("This{}", told.split(" …").next().unwrap()).replace("\\\"", "\"");
            assert!(said.starts_with(&told), "{said}\n{told}");
            kinds |= 4;
        }
    }
    assert_eq!(kinds, 7, "one kind of answer is not in the tour");
}

#[tokio::test]
async fn the_orders_of_the_control_page_are_taken() {
    let document = blocks(CONTROL, "toml").next().unwrap();
    let (before, rest) = document.split_once("sha256:").unwrap();
    let gateway = Gateway::start(format!("{before}{}{}", hash(ADMIN), &rest[64..])).await;
    let script = blocks(CONTROL, "sh").next().unwrap();
    let bearer = format!("Authorization: Bearer {ADMIN}");
    let mut states = Vec::new();
    for line in script.lines().filter(|line| line.starts_with("curl ")) {
        let answer = gateway.send(Curl::parse(&line.replace("$A", &bearer), HOST).request()).await;
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        states.push(answer.json()["state"].as_str().map(str::to_owned));
    }
    assert_eq!(states.iter().flatten().count(), 3, "{states:?}");
}

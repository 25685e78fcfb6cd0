//! A real browser, for what only a browser decides.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::program::Program;

/// Time to start it, to load a page and to wait for all that the page asks.
const PATIENCE: Duration = Duration::from_mins(2);

/// Opens `page`, waits until nothing more is asked, and gives the JSON that stands in its element `out`.
pub async fn shown(page: &str) -> Value {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new("chromium");
    let quiet = ["background-networking", "component-update", "sync", "gpu", "quic", "extensions"];
    command
        .args(["--headless", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage"])
        .args(quiet.map(|what| format!("--disable-{what}")))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=20000", "--dump-dom", page]);
    assert!(
        Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success()),
        "there is no browser to test with; install it with `apt-get install chromium`"
    );
    let mut browser = Program::run(command);
    let status = browser.end(PATIENCE).await;
    let (dom, said) = (browser.stdout.text(), browser.stderr.text());
    let told = dom.split_once("<pre id=\"out\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((text, _)) = told else { panic!("{status}: the page told nothing: {dom}\n{said}") };
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}\n{said}"))
}

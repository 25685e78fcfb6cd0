//! A log that is not read or cannot be written is in nobody's way.

use std::fs::OpenOptions;
use std::io::pipe;
use std::process::Stdio;
use std::time::Duration;

use weir_native_tests::{Gateway, Launch, SIMULATED, Signal};

const SOON: Duration = Duration::from_secs(8);

/// Lines of so many calls do not fit into a pipe.
const MANY: usize = 400;

async fn start(stderr: impl Into<Stdio>) -> Gateway {
    Launch::of(SIMULATED).stderr(stderr).say_listening().await
}

/// Answers and refusals are what they are with a log.
async fn serves_as_ever(gateway: &Gateway) {
    for _ in 0..MANY {
        assert_eq!(gateway.chat("sim").await.status, 200);
    }
    assert_eq!(gateway.chat("no-such-model").await.status, 404);
    assert_eq!(gateway.get("/health").await.status, 200);
}

/// A stream that runs when the end is asked for is finished, and the exit code says so.
async fn ends_as_ever(mut gateway: Gateway) {
    let mut flow = gateway.stream("sim-pace-20ms-tokens-20").await;
    assert!(flow.event().await.is_some());
    gateway.signal(Signal::Terminate);
    assert_eq!(flow.events().await.last().map(String::as_str), Some("[DONE]"));
    drop(flow);
    assert_eq!(gateway.end(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_stops_nothing() {
    let (unread, log) = pipe().unwrap();
    let gateway = start(log).await;
    serves_as_ever(&gateway).await;
    ends_as_ever(gateway).await;
    drop(unread);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_changes_no_answer_and_is_counted() {
    let (reader, broken) = pipe().unwrap();
    drop(reader);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (what, stderr) in [("a broken pipe", Stdio::from(broken)), ("a full disk", Stdio::from(full))] {
        let gateway = start(stderr).await;
        serves_as_ever(&gateway).await;
        let dropped = gateway.metrics().await.sum("weir_log_lines_dropped_total", &[]);
        assert!(dropped >= 400.0, "{what}: {dropped}");
        ends_as_ever(gateway).await;
    }
}

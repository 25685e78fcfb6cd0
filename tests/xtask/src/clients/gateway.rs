//! A gateway as a user starts it, for the length of a suite.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{program::Program, step::Failure, workspace::Workspace};

/// May call everything.
const KEY: &str = "sk-weir-tests-of-clients-all-models-5d1c0f7a";
/// May call `gpt-*` only.
const RESTRICTED_KEY: &str = "sk-weir-tests-of-clients-gpt-only-b20e94c3";

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(30);

/// Stopped when dropped, by force if [`Gateway::stop`] was not reached.
#[derive(Debug)]
pub(super) struct Gateway {
    child: Child,
    url: String,
    _directory: TempDir,
}

impl Gateway {
    pub(super) fn start() -> Result<Self, Failure> {
        let io = |error| Failure::new(format!("cannot start the gateway: {error}"));
        let directory = TempDir::with_prefix("weir-clients-").map_err(io)?;
        let config = directory.path().join("weir.toml");
        fs::write(&config, document()).map_err(io)?;
        let child = Command::new(Workspace::built("weir")?)
            .args(["serve", "--log-level", "warn", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let mut gateway = Self { child, url: String::new(), _directory: directory };
        gateway.url = gateway.address()?;
        println!("the gateway listens on {}", gateway.url);
        Ok(gateway)
    }

    /// `program`, told where the gateway is and by which keys it lets in.
    pub(super) fn name_to(&self, program: Program) -> Program {
        program
            .env("WEIR_BASE_URL", &self.url)
            .env("WEIR_API_KEY", KEY)
            .env("WEIR_RESTRICTED_KEY", RESTRICTED_KEY)
            .env("NO_PROXY", "127.0.0.1")
    }

    /// Asks it to end as a container runtime does.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| Failure::new(format!("cannot signal the gateway: {error}")))?;
        let status = self.ended()?;
        if status.success() {
            println!("the gateway has stopped on SIGTERM with {status}");
            return Ok(());
        }
        Err(Failure::new(format!("the gateway ended with {status} on SIGTERM")))
    }

    /// Waits for the line that says where it listens, and keeps its output flowing after that.
    fn address(&mut self) -> Result<String, Failure> {
        let (found, address) = mpsc::channel();
        let output = self.child.stdout.take();
        thread::spawn(move || {
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
                let Ok(line) = line else { return };
                if let Some(url) = line.trim().strip_prefix("listening on ") {
                    let _ = found.send(url.to_owned());
                }
                // A closed pipe of ours must not become a full one of the gateway's.
                let _ = writeln!(std::io::stdout(), "weir: {line}");
            }
        });
        address.recv_timeout(START).map_err(|error| {
            let happened = match error {
                RecvTimeoutError::Disconnected => "ended before it said".to_owned(),
                RecvTimeoutError::Timeout => format!("did not within {START:?} say"),
            };
            Failure::new(format!("the gateway {happened} `listening on http://…`"))
        })
    }

    fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                Err(error) => return Err(Failure::new(format!("lost the gateway: {error}"))),
            }
        }
        Err(Failure::new(format!("the gateway did not end within {STOP:?} of SIGTERM")))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn document() -> String {
    format!(
        r#"auth = "keys"
passthrough = "simulated"

# Both suites ask for the same faults again and again: nothing but the fault itself may answer.
[upstream.simulated]
dialect = "simulated"
tenant = "tests"
breaker = {{ consecutive = 1000000, minimum = 1000000, on_rate_limit = "ignore" }}

[limits.default]
requests = "unlimited"

[alias]
"gpt-4o" = "sim"
"text-embedding-3-small" = "sim-embedding"

[[route]]
model = "sim*"
to = [{{ upstream = "simulated" }}]

# What is asked for again is answered from the cache.
[[route]]
model = "kept"
to = [{{ upstream = "simulated", model = "sim-pace-1ms" }}]
cache = true

[[route]]
model = "kept-embedding"
to = [{{ upstream = "simulated", model = "sim-embedding" }}]
cache = true

# One call at a time, and nobody waits.
[upstream.narrow]
dialect = "simulated"
concurrency = {{ limit = 1, queue = 0 }}

[[route]]
model = "narrow"
to = [{{ upstream = "narrow", model = "sim-latency-500ms" }}]

[key.all-models]
passthrough = ["**"]
hash = "{}"
tenant = "tests"
models = ["*"]

[key.gpt-only]
hash = "{}"
tenant = "tests"
models = ["gpt-*"]
"#,
        hash(KEY),
        hash(RESTRICTED_KEY)
    )
}

/// As `weir key new` prints it.
fn hash(key: &str) -> String {
    Sha256::digest(key).iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

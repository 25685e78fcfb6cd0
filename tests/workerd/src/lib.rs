//! Runs the built Worker on the real workerd, as miniflare sets it up, and looks at it from outside.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use weir_native_tests::Lines;

/// What `cargo xtask worker build` says of where its tools are.
const TOOLS: &str = "the Worker's tools: ";

/// The Worker of the working tree, built, and what runs it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The directory that holds `node_modules`.
    tools: PathBuf,
}

impl Built {
    /// Builds it as it is in the working tree; fails above the size that it may have.
    pub fn build() -> Result<Self, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["xtask", "worker", "build"]).current_dir(root()).stderr(Stdio::inherit());
        let built = build.output().map_err(|e| format!("cargo xtask worker build: {e}"))?;
        let said = String::from_utf8_lossy(&built.stdout);
        if !built.status.success() {
            return Err(format!("cargo xtask worker build: {}\n{said}", built.status));
        }
        let tools = said.lines().find_map(|line| line.strip_prefix(TOOLS));
        let tools = tools.ok_or_else(|| format!("it does not say where its tools are:\n{said}"))?;
        Ok(Self { tools: tools.into() })
    }

    /// Its files.
    pub fn folder(&self) -> PathBuf {
        root().join("edge/cloudflare/build")
    }

    /// The workerd that runs it, which lies in a package of its own for each kind of machine.
    pub fn workerd(&self) -> Result<PathBuf, String> {
        let folder = self.tools.join("node_modules/@cloudflare");
        let packages = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let programs = packages.filter_map(|package| Some(package.ok()?.path().join("bin/workerd")));
        let mut programs = programs.filter(|program| program.exists());
        programs.next().ok_or_else(|| format!("no workerd below {}", folder.display()))
    }

    pub fn node(&self) -> PathBuf {
        let pinned = self.tools.join("node_modules/.bin/node");
        if pinned.exists() { pinned } else { "node".into() }
    }

    /// What [`Self::node`] is told to run it.
    pub fn arguments(&self) -> [PathBuf; 3] {
        [root().join("tests/workerd/gateway.mjs"), self.tools.clone(), self.folder()]
    }

    /// Starts one of its own. What may be given stands in `tests/workerd/gateway.mjs`.
    pub fn start(&self, given: &Value) -> Result<Gateway, String> {
        let mut node = Command::new(self.node());
        node.args(self.arguments());
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = node.spawn().map_err(|e| format!("node: {e}"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err("node has no pipes".into());
        };
        // From here on it is ended whatever happens.
        let mut gateway = Gateway {
            address: ([127, 0, 0, 1], 0).into(),
            log: Lines::follow(stderr),
            said: BufReader::new(stdout),
            stdin: Some(stdin),
            child: Some(child),
        };
        let line = gateway.say(given)?;
        let address = line.strip_prefix("listening on http://").unwrap_or_default();
        gateway.address = address.parse().map_err(|e| gateway.fault(&e))?;
        Ok(gateway)
    }
}

/// A miniflare with its workerd. Dropped, its standard input ends, and so does it.
#[derive(Debug)]
pub struct Gateway {
    pub address: SocketAddr,
    /// What the Worker has logged.
    pub log: Lines,
    said: BufReader<ChildStdout>,
    stdin: Option<ChildStdin>,
    child: Option<Child>,
}

impl Gateway {
    /// Says one line to it, and gives the line that it answers.
    pub fn say(&mut self, what: &Value) -> Result<String, String> {
        let written = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{what}"));
        if let Some(Err(e)) = written {
            return Err(self.fault(&e));
        }
        let mut line = String::new();
        self.said.read_line(&mut line).map_err(|e| self.fault(&e))?;
        Ok(line.trim().to_owned())
    }

    /// Ends it, and gives it time to put everything away.
    pub fn end(mut self) {
        drop(self.stdin.take());
        if let Some(mut child) = self.child.take() {
            // One that cannot be waited for is one that is not there.
            let _ = child.wait();
        }
    }

    /// SIGKILL, to the workerd that it runs and then to itself: nothing is put away.
    pub fn kill(mut self) {
        if let Some(mut child) = self.child.take() {
            let id = child.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            for process in children.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)) {
                // It may have ended by itself.
                let _ = kill_process(process, Signal::KILL);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn fault(&self, why: &dyn std::fmt::Display) -> String {
        format!("miniflare: {why}\n{}", self.log.text())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It puts its workerd away first, which no test has to wait for.
        let child = self.child.take();
        thread::spawn(move || child.map(|mut child| child.wait()));
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

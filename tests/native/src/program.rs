//! A process that is always reaped.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, geteuid, kill_process, prlimit};

use crate::{binary, wait};

/// What a process can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Hangup,
    Interrupt,
    Terminate,
    /// It cannot be heeded.
    Kill,
}

/// Variables that it would heed.
const HEEDED: [&str; 12] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_LOG",
    "REQUEST_METHOD",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// The command `weir`, with nothing of this process's environment that it would heed.
pub fn weir(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary::path());
    command.args(arguments);
    for name in HEEDED {
        command.env_remove(name);
    }
    command
}

/// The same where names are resolved as `file` says, in place of `/etc/resolv.conf`: in a mount namespace of its own, and
/// where this process may not make one, in a namespace of users as well.
pub(crate) fn weir_that_resolves(arguments: &[&str], file: &Path) -> Command {
    let plain = weir(arguments);
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(file);
    command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Lines that a process writes, as they come.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    kept: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Lines {
    /// Reads `output` to its end on a thread of its own.
    pub fn follow(output: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let Self { kept, is_over } = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                kept.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
            is_over.store(true, Ordering::SeqCst);
        });
        lines
    }

    /// Of what is not read.
    fn none() -> Self {
        let none = Self::default();
        none.is_over.store(true, Ordering::SeqCst);
        none
    }

    pub fn now(&self) -> Vec<String> {
        self.kept.lock().unwrap().clone()
    }

    /// All of them.
    pub fn text(&self) -> String {
        self.now().join("\n")
    }
}

/// A running process. Dropped, it is killed and reaped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Program {
    pub fn run(command: Command) -> Self {
        Self::run_with(command, Stdio::piped())
    }

    /// With a standard error of the test's own, unless it is piped; nothing is read of it then.
    pub fn run_with(mut command: Command, stderr: Stdio) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("the program starts");
        let stdout = Lines::follow(child.stdout.take().unwrap());
        let stderr = child.stderr.take().map_or_else(Lines::none, Lines::follow);
        Self { child, stdout, stderr }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Hangup => rustix::process::Signal::HUP,
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        // It has not been waited for, so its number is still its own.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end, and for the last of what it said.
    pub async fn end(&mut self, patience: Duration) -> ExitStatus {
        let what = format!("the end of process {}", self.id());
        let status = wait::until_within(patience, &what, async || self.ended()).await;
        let said_all =
            || [&self.stdout, &self.stderr].iter().all(|lines| lines.is_over.load(Ordering::SeqCst));
        wait::until("its last words", async || said_all().then_some(())).await;
        status
    }

    /// Soft and hard limit on open files.
    pub fn file_limits(&self) -> (u64, u64) {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    /// Leaves no descriptor but those in use.
    pub fn exhaust_files(&self) {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap();
        let open: Vec<u64> =
            folder.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect();
        let next = (0..=u64::MAX).find(|number| !open.contains(number)).unwrap();
        self.limit_files(next);
    }

    /// Allows as many descriptors as there may be.
    pub fn allow_files(&self) {
        self.limit_files(self.file_limits().1);
    }

    fn limit_files(&self, most: u64) {
        let limit = Rlimit { current: Some(most), maximum: Some(self.file_limits().1) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    /// Bytes of its memory that are resident.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most there ever were.
    pub fn most_resident(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

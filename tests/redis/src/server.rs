//! The process.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Connection;

/// Until it answers.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(4);

/// A Redis of one test. Dropped, it is killed and reaped.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    child: Child,
    folder: TempDir,
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With more arguments: `["--requirepass", "secret"]`.
    pub fn with(arguments: &[&str]) -> Self {
        Self::started(arguments, &[])
    }

    /// With variables of its own as well.
    pub fn started(arguments: &[&str], environment: &[(&'static str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>();
        let environment = environment.to_vec();
        let address = free();
        let child = run(address, &arguments, &environment, &folder);
        let mut server = Self { address, arguments, environment, child, folder };
        let deadline = Instant::now() + PATIENCE;
        while !server.answers(deadline) {
            // Somebody else was given the port meanwhile.
            assert!(Instant::now() < deadline, "no redis-server that answers");
            server.address = free();
            server.child = run(server.address, &server.arguments, &server.environment, &server.folder);
        }
        server
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it would save what it keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs it again where it was; it has forgotten everything.
    pub fn restart(&mut self) {
        self.kill();
        self.child = run(self.address, &self.arguments, &self.environment, &self.folder);
        assert!(self.answers(Instant::now() + PATIENCE), "it does not come back");
    }

    /// `false` when the process has ended.
    fn answers(&mut self, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if Connection::try_open(self.address).is_some() {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    free().port()
}

fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn run(
    address: SocketAddr,
    arguments: &[String],
    environment: &[(&'static str, String)],
    folder: &TempDir,
) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port"])
        .arg(address.port().to_string())
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => {
            panic!("redis-server is missing; `apt-get install -y redis-server` installs it")
        }
        _ => panic!("redis-server does not start: {error}"),
    })
}

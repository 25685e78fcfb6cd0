//! A Redis for a developer who has none at hand: `redis-server` from the path, on a free port of this machine.
//!
//! It writes nothing to disk and ends with this process, whatever ends that: a shell stands between the two and
//! stops it when the pipe from here closes. It is in a group of its own, so that Ctrl-C at the terminal does not
//! take it away from requests that are being finished.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::Failed;

/// Until it answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Somebody else may take the port meanwhile.
const ATTEMPTS: u32 = 3;

/// Runs the server until it is told, by the end of its input, that nobody needs it.
const WATCH: &str = "redis-server \"$@\" </dev/null >/dev/null 2>&1 & server=$!; cat >/dev/null; kill -9 $server; \
                     wait $server";

/// Dropped, it is stopped and reaped.
#[derive(Debug)]
pub(super) struct Spawned {
    address: SocketAddr,
    shell: Child,
}

impl Spawned {
    pub(super) fn start() -> Result<Self, Failed> {
        is_installed()?;
        for _ in 0..ATTEMPTS {
            let address = free_address().map_err(|e| Failed::because("no port for a Redis", e))?;
            let spawned = Self { address, shell: run(address)? };
            if spawned.answers() {
                return Ok(spawned);
            }
        }
        Err(Failed("a redis-server was started and does not answer; --redis names another one".to_owned()))
    }

    /// `redis://ADDRESS`.
    pub(super) fn address(&self) -> String {
        format!("redis://{}", self.address)
    }

    fn answers(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if ping(self.address).is_ok_and(|pong| pong) {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn is_installed() -> Result<(), Failed> {
    let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    match version {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Failed(
            "the component asks for a Redis, nothing says where one is, and there is no redis-server to start.\n\
             Either install it: sudo apt-get install -y redis-server   (brew install redis)\n\
             or say where one is: --redis redis://HOST:6379"
                .to_owned(),
        )),
        Err(error) => Err(Failed::because("redis-server", error)),
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn run(address: SocketAddr) -> Result<Child, Failed> {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            WATCH,
            "weir-redis",
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            "127.0.0.1",
            "--port",
        ])
        .arg(address.port().to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        // It tells whom it has killed.
        .stderr(Stdio::null())
        .process_group(0);
    command.spawn().map_err(|e| Failed::because("redis-server cannot be started", e))
}

fn ping(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, LOOK)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"PING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    Ok(&reply == b"+PONG\r\n")
}

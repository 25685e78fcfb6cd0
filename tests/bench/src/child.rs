//! Processes that the bench starts, and ends by their ids.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{Failed, Kind};
use crate::process;
use crate::sample::Sample;

/// Under valgrind on a busy machine it takes long.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(5);

/// Where a process may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    All,
    /// This one, counted from 0.
    Only(usize),
}

/// A program that ends with the bench, however that ends.
pub(crate) fn program(path: &Path) -> Command {
    program_on(path, Cores::All)
}

/// Both `exec` the program, so its process id is the child's.
pub(crate) fn program_on(path: &Path, cores: Cores) -> Command {
    let mut command = match cores {
        Cores::All => Command::new("setpriv"),
        Cores::Only(core) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &core.to_string(), "setpriv"]);
            command
        }
    };
    command.args(["--pdeathsig", "TERM", "--"]).arg(path);
    command
}

/// A process that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a program that says where it listens.
    pub(crate) fn start(name: &'static str, command: Command) -> Result<Self, Failed> {
        let (server, [_]) = Self::start_with(name, command, "")?;
        Ok(server)
    }

    /// Starts a program that is told something and then says where it listens; so many times, at so many addresses.
    pub(crate) fn start_with<const N: usize>(
        name: &'static str,
        mut command: Command,
        told: &str,
    ) -> Result<(Self, [SocketAddr; N]), Failed> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Failed::because(format_args!("{name} does not start"), e))?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, address: nowhere };
        if let Some(input) = &mut server.child.stdin {
            input
                .write_all(told.as_bytes())
                .map_err(|e| Failed::because(format_args!("{name} is deaf"), e))?;
        }
        let mut addresses = [nowhere; N];
        let found = server.listening();
        for address in &mut addresses {
            let said = found.recv_timeout(START).map_err(|_| Failed(format!("{name} does not listen")))?;
            *address =
                said.parse().map_err(|e| Failed::because(format_args!("{name} listens nowhere"), e))?;
        }
        server.address = addresses[0];
        Ok((server, addresses))
    }

    /// Takes a program that was told where to listen, and waits until it does.
    pub(crate) fn start_at(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
    ) -> Result<Self, Failed> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| Failed::because(format_args!("{name} does not start"), e))?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + START;
        while Instant::now() < deadline && matches!(server.child.try_wait(), Ok(None)) {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(Failed(format!("{name} does not listen on {address}")))
    }

    /// Where it says that it listens.
    fn listening(&mut self) -> mpsc::Receiver<String> {
        let (found, addresses) = mpsc::channel();
        let out = self.child.stdout.take();
        // It reads on to the end: a program whose output nobody takes would stop.
        thread::spawn(move || {
            for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    let _ = found.send(address.to_owned());
                }
            }
        });
        addresses
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        process::family(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Upstreams end with their standard input.
        drop(self.child.stdin.take());
        let Ok(None) = self.child.try_wait() else { return };
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// An address of a server, and the processes behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    pub(crate) server: &'a Server,
    pub(crate) address: SocketAddr,
    /// Where those who ask run.
    pub(crate) askers: Cores,
}

impl<'a> From<&'a Server> for Door<'a> {
    fn from(server: &'a Server) -> Self {
        Self { server, address: server.address, askers: Cores::All }
    }
}

/// Runs the load generator to its end.
pub(crate) fn load<'a>(door: impl Into<Door<'a>>, kind: &Kind) -> Result<Sample, Failed> {
    let door = door.into();
    let output = load_command(door.address, kind, door.askers)?
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|e| Failed::because("the load does not start", e))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Failed(format!("the load failed ({}): {}", output.status, why.trim())));
    }
    sample(&String::from_utf8_lossy(&output.stdout))
}

/// A load that holds what it has opened until it is dropped.
#[derive(Debug)]
pub(crate) struct Holder {
    child: Child,
}

impl Holder {
    /// Gives the number of streams that are open, too.
    pub(crate) fn start(target: SocketAddr, streams: usize) -> Result<(Self, u64), Failed> {
        let child = load_command(target, &Kind::Held { streams }, Cores::All)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Failed::because("the load does not start", e))?;
        let mut holder = Self { child };
        let mut line = String::new();
        if let Some(out) = holder.child.stdout.take() {
            // The load ends by itself when this takes too long.
            let read = BufReader::new(out).read_line(&mut line);
            read.map_err(|e| Failed::because("the load says nothing", e))?;
        }
        let open = sample(&line).map_err(|_| Failed("the streams could not be opened".into()))?.done;
        Ok((holder, open))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn load_command(target: SocketAddr, kind: &Kind, cores: Cores) -> Result<Command, Failed> {
    let mut command = match cores {
        Cores::All => Command::new(this_program()?),
        Cores::Only(_) => program_on(&this_program()?, cores),
    };
    command.arg("load").arg(target.to_string()).args(kind.to_args());
    Ok(command)
}

pub(crate) fn this_program() -> Result<std::path::PathBuf, Failed> {
    std::env::current_exe().map_err(|e| Failed::because("no path to this program", e))
}

fn sample(line: &str) -> Result<Sample, Failed> {
    serde_json::from_str(line).map_err(|e| Failed::because("the load told no sample", e))
}

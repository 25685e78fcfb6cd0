//! Everything a run needs, started: upstream, nginx, Weir.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::child::{self, Server};
use crate::cli::{Failed, Run};
use crate::{gateway, peer};

/// The whole run is to take less than five minutes, and a quick one less than one.
const LONGEST: Duration = Duration::from_secs(280);
const LONGEST_QUICK: Duration = Duration::from_secs(55);

/// Connections of an nginx worker, but for held streams.
const CONNECTIONS: usize = 1024;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Direct,
    Nginx,
    Weir,
}

/// What stands while the rows are measured.
#[derive(Debug)]
pub(crate) struct Bed {
    upstream: Server,
    nginx: Server,
    weir: Server,
    programs: Programs,
    folder: TempDir,
    pub(crate) workers: usize,
    pub(crate) deadline: Instant,
}

#[derive(Debug)]
struct Programs {
    nginx: PathBuf,
    weir: PathBuf,
}

impl Bed {
    pub(crate) fn start(run: &Run) -> Result<Self, Failed> {
        let nginx = peer::find()?;
        let weir = run.weir.clone().map_or_else(gateway::build, Ok)?;
        let programs = Programs { nginx, weir };
        let folder = tempfile::tempdir().map_err(|e| Failed::because("no temporary folder", e))?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = if run.workers == 0 { cores } else { run.workers };
        let mut upstream = child::program(&child::this_program()?);
        upstream.arg("upstream");
        let upstream = Server::start("the upstream", upstream)?;
        let to = upstream.address;
        Ok(Self {
            nginx: peer::start(&programs.nginx, folder.path(), to, workers, CONNECTIONS)?,
            weir: gateway::start(&programs.weir, folder.path(), to, workers)?,
            upstream,
            programs,
            folder,
            workers,
            deadline: Instant::now() + if run.quick { LONGEST_QUICK } else { LONGEST },
        })
    }

    pub(crate) fn address(&self, target: Target) -> SocketAddr {
        self.server(target).address
    }

    /// The processes whose cost a call by way of `target` has. The upstream's own is nobody's.
    pub(crate) fn pids(&self, target: Target) -> Vec<u32> {
        self.server(target).pids()
    }

    fn server(&self, target: Target) -> &Server {
        match target {
            Target::Direct => &self.upstream,
            Target::Nginx => &self.nginx,
            Target::Weir => &self.weir,
        }
    }

    /// Another Weir, which has served nothing yet.
    pub(crate) fn fresh_weir(&self) -> Result<Server, Failed> {
        gateway::start(&self.programs.weir, self.folder.path(), self.upstream.address, self.workers)
    }

    /// Another nginx, which has served nothing yet and can hold so many streams.
    pub(crate) fn fresh_nginx(&self, streams: usize) -> Result<Server, Failed> {
        // The kernel does not spread connections evenly over the workers.
        let connections = CONNECTIONS + streams * 2;
        let (nginx, folder) = (&self.programs.nginx, self.folder.path());
        peer::start(nginx, folder, self.upstream.address, self.workers, connections)
    }
}

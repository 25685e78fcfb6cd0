//! Everything a run needs, started: upstream, nginx, Weir.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use weir_worker_tests::Built;

use crate::child::{self, Cores, Server};
use crate::cli::{Capacity, Failed, Run};
use crate::gateway::{self, Hosted, Setup, Store, Wanted};
use crate::instructions;
use crate::peer::{self, Peer, Serving};
use crate::worker;

/// The whole run is to take less than ten minutes, and a quick one little more than one.
const LONGEST: Duration = Duration::from_mins(9);
const LONGEST_QUICK: Duration = Duration::from_mins(1);

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
        let to = upstream(Capacity::default())?;
        let peer = Peer {
            program: &programs.nginx,
            folder: folder.path(),
            workers,
            connections: CONNECTIONS,
            serving: Serving::Proxy,
        };
        let wanted = Wanted {
            folder: folder.path(),
            setup: Setup::Usual,
            store: Store::Embedded,
            upstream: to.address,
            workers,
        };
        Ok(Self {
            nginx: peer::start(peer, to.address)?,
            weir: gateway::start_native(child::program(&programs.weir), wanted)?,
            upstream: to,
            programs,
            folder,
            workers,
            deadline: Instant::now() + if run.quick { LONGEST_QUICK } else { LONGEST },
        })
    }

    pub(crate) fn server(&self, target: Target) -> &Server {
        match target {
            Target::Direct => &self.upstream,
            Target::Nginx => &self.nginx,
            Target::Weir => &self.weir,
        }
    }

    /// Another Weir, which has served nothing yet.
    pub(crate) fn fresh_weir(&self, setup: Setup) -> Result<Server, Failed> {
        self.weir_before(&self.upstream, setup)
    }

    pub(crate) fn weir_before(&self, upstream: &Server, setup: Setup) -> Result<Server, Failed> {
        gateway::start_native(child::program(&self.programs.weir), self.wanted(upstream, setup))
    }

    /// Another Weir that keeps everything in a Redis.
    pub(crate) fn weir_on(&self, redis: &Server, setup: Setup) -> Result<Server, Failed> {
        let store = Store::Redis(redis.address);
        let wanted = Wanted { store, ..self.wanted(&self.upstream, setup) };
        gateway::start_native(child::program(&self.programs.weir), wanted)
    }

    /// The component, which keeps everything in a Redis, in a host.
    pub(crate) fn component_on(
        &self,
        hosted: &Hosted,
        redis: &Server,
        setup: Setup,
    ) -> Result<Server, Failed> {
        gateway::start_hosted(hosted, redis.address, self.wanted(&self.upstream, setup))
    }

    /// The Worker in a workerd, and its peers.
    pub(crate) fn worker(&self, built: &Built, setup: Setup) -> Result<worker::Workers, Failed> {
        let config = gateway::document(self.wanted(&self.upstream, setup));
        worker::Workers::start(built, &config, self.upstream.address)
    }

    fn wanted(&self, upstream: &Server, setup: Setup) -> Wanted<'_> {
        let (folder, upstream) = (self.folder.path(), upstream.address);
        Wanted { folder, setup, store: Store::Embedded, upstream, workers: self.workers }
    }

    /// An empty Redis that keeps nothing on disk.
    pub(crate) fn redis(&self) -> Result<Server, Failed> {
        self.redis_on(Cores::All)
    }

    pub(crate) fn redis_on(&self, cores: Cores) -> Result<Server, Failed> {
        peer::redis(self.folder.path(), cores)
    }

    /// A Weir of one thread on one core.
    pub(crate) fn weir_on_core(&self, core: usize, store: Store, setup: Setup) -> Result<Server, Failed> {
        let wanted = Wanted { store, workers: 1, ..self.wanted(&self.upstream, setup) };
        gateway::start_native(child::program_on(&self.programs.weir, Cores::Only(core)), wanted)
    }

    /// Instructions of one JSON call.
    pub(crate) fn instructions(&self, setup: Setup) -> Result<f64, Failed> {
        let start = |mut counting: Command| {
            counting.arg(&self.programs.weir);
            gateway::start_native(counting, Wanted { workers: 1, ..self.wanted(&self.upstream, setup) })
        };
        instructions::of_a_call(self.folder.path(), start)
    }

    /// Another nginx, which has served nothing yet and can hold so many streams.
    pub(crate) fn fresh_nginx(&self, streams: usize) -> Result<Server, Failed> {
        // The kernel does not spread connections evenly over the workers.
        self.nginx_before(&self.upstream, Serving::Proxy, CONNECTIONS + streams * 2)
    }

    pub(crate) fn nginx_before(
        &self,
        upstream: &Server,
        serving: Serving,
        connections: usize,
    ) -> Result<Server, Failed> {
        let (program, folder) = (self.programs.nginx.as_path(), self.folder.path());
        peer::start(Peer { program, folder, workers: self.workers, connections, serving }, upstream.address)
    }
}

/// An upstream of its own.
pub(crate) fn upstream(capacity: Capacity) -> Result<Server, Failed> {
    let mut upstream = child::program(&child::this_program()?);
    upstream.arg("upstream");
    upstream.args(["--slots", &capacity.slots.to_string(), "--work", &capacity.work.to_string()]);
    Server::start("the upstream", upstream)
}

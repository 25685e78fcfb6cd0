//! The configuration in force, and how it is replaced: whole, or not at all.

mod secrets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use weir::Config;
use weir::config::Fault;
use weir::identity::access::Auth;
use weir::telemetry::metrics::Family;

use self::secrets::SecretFiles;
use crate::cli::Failed;
use crate::client::{EnvironmentProxies, ProxyRoute};
use crate::document::{self, Machine};
use crate::native::Process;

/// Editors write a file in several steps; one reading for all of them.
const SETTLE: Duration = Duration::from_millis(100);

/// How often files are looked at that no event tells of: secrets lie anywhere, and links may lead to all of them.
const LOOK: Duration = Duration::from_secs(2);

/// The addresses that the process listens on, whatever a document says later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) callers: SocketAddr,
    pub(crate) operators: Option<SocketAddr>,
}

impl Bound {
    fn check(self, config: &Config) -> Result<(), Fault> {
        let all = [Some(self.callers), self.operators].into_iter().flatten();
        all.into_iter().try_for_each(|address| config.check_listen(address, "the address that is bound"))
    }
}

/// Every request takes one configuration when it comes and keeps it to its end.
#[derive(Debug)]
pub(crate) struct Live {
    current: ArcSwap<Config>,
    file: Option<PathBuf>,
    /// What the file held just before it was first read.
    first: Option<Vec<u8>>,
    machine: Machine,
    secrets: SecretFiles,
    proxies: Arc<EnvironmentProxies>,
}

impl Live {
    /// Loads the first configuration, which has to be good.
    pub(crate) fn load(
        file: Option<PathBuf>,
        machine: Machine,
        proxies: Arc<EnvironmentProxies>,
    ) -> Result<Self, Failed> {
        let first = file.as_deref().and_then(fingerprint);
        let secrets = SecretFiles::default();
        let surroundings = secrets.through(&machine);
        let loaded = document::load(file.as_deref(), &surroundings).map_err(|e| Failed(e.to_string()))?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        proxies.routes(&loaded.config).iter().for_each(ProxyRoute::log);
        Ok(Self { current: ArcSwap::from_pointee(loaded.config), file, first, machine, secrets, proxies })
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Reads the file again; a bad one changes nothing, nor does one that would open more than a start with it had.
    fn reload(&self, process: &Process, bound: Bound) {
        let refused = |why: &dyn std::fmt::Display| {
            tracing::error!("configuration refused, the last good one stays:\n{why}");
            process.metrics.count(Family::Reloads, &["refused"], 1);
        };
        let loaded = match document::load(self.file.as_deref(), &self.secrets.through(&self.machine)) {
            Ok(loaded) => loaded,
            Err(why) => return refused(&why),
        };
        if let Err(fault) = bound.check(&loaded.config) {
            return refused(&fault);
        }
        let (old, new) = (self.config(), &loaded.config);
        if matches!(new.auth, Auth::Open { .. }) && matches!(old.auth, Auth::Keys) {
            tracing::warn!("authentication is now open: whoever reaches the gateway may call");
        }
        if new.listen != old.listen {
            tracing::warn!(from = %old.listen, to = %new.listen, "`listen` needs a restart");
        }
        if new.admin.listen != old.admin.listen {
            tracing::warn!("the operators' address, `admin.listen`, needs a restart");
        }
        if new.store.kind != old.store.kind {
            tracing::warn!("where state is kept, `store`, needs a restart");
        }
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let known = self.proxies.routes(&old);
        self.proxies.routes(new).iter().filter(|route| !known.contains(route)).for_each(ProxyRoute::log);
        process.follow(&loaded.config);
        self.current.store(Arc::new(loaded.config));
        process.metrics.count(Family::Reloads, &["taken"], 1);
        tracing::info!("configuration taken");
    }

    /// Reads the file again whenever it or a secret that it names changes, and on SIGHUP.
    pub(crate) async fn follow(self: Arc<Self>, process: Arc<Process>, bound: Bound) -> Result<(), Failed> {
        let mut hangup = signal(SignalKind::hangup()).map_err(|e| Failed::because("no signal handler", e))?;
        let changed = Arc::new(Notify::new());
        let watcher = self.watch(&changed);
        if let Err(Failed(why)) = &watcher {
            tracing::error!("{why}; it is read again on SIGHUP only");
        }
        let mut seen = self.first.clone();
        let read = || self.file.as_deref().and_then(fingerprint);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = changed.notified() => tokio::time::sleep(SETTLE).await,
                received = hangup.recv() => if received.is_none() { return Ok(()) },
                _ = look.tick() => if read() == seen && !self.secrets.have_changed() { continue },
            }
            seen = read();
            self.reload(&process, bound);
        }
    }

    /// Watches the folder, not the file: editors and Kubernetes replace files by renaming.
    fn watch(&self, changed: &Arc<Notify>) -> Result<Option<RecommendedWatcher>, Failed> {
        let Some(file) = &self.file else { return Ok(None) };
        let failed = |e: notify::Error| Failed::because("the configuration cannot be watched", e);
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => std::path::Path::new("."),
        };
        let notified = Arc::clone(changed);
        let mut seen = self.first.clone();
        let path = file.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading is an access as well.
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            let now = fingerprint(&path);
            if now != seen {
                seen = now;
                notified.notify_one();
            }
        })
        .map_err(failed)?;
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(failed)?;
        // What was written before the watch began is told by no event.
        if fingerprint(file) != self.first {
            changed.notify_one();
        }
        Ok(Some(watcher))
    }
}

/// What the file holds, so that other files of its folder and our own reading cause nothing.
fn fingerprint(file: &std::path::Path) -> Option<Vec<u8>> {
    std::fs::read(file).ok()
}

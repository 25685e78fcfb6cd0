//! wasmtime, set up once for the process.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cli::{Failed, Hosting};

/// How long an instance computes before others of its thread get their turn.
const TICK: Duration = Duration::from_millis(10);

/// What one instance of a component may be made of. A component that Rust's toolchain makes has a memory, two or
/// three tables and a handful of core instances.
const MEMORIES: u32 = 1;
const TABLES: u32 = 4;
const CORE_INSTANCES: u32 = 8;

/// Memory for all instances is reserved at once, so that making one asks the kernel for nothing.
pub(super) fn engine(hosting: &Hosting) -> Result<Engine, Failed> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(hosting.instances)
        .total_core_instances(hosting.instances.saturating_mul(CORE_INSTANCES))
        .total_memories(hosting.instances.saturating_mul(MEMORIES))
        .total_tables(hosting.instances.saturating_mul(TABLES))
        .total_stacks(hosting.instances)
        .max_memory_size(hosting.memory());
    let mut config = wasmtime::Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        // A trap is one line of the log; the functions of a stripped component have no names to tell.
        .wasm_backtrace_max_frames(None)
        .cache(cache());
    Engine::new(&config).map_err(|e| Failed::because("wasmtime cannot be set up", format!("{e:#}")))
}

/// Machine code of components that were compiled before. wasmtime names an entry by the component, by its own
/// version and by all that bears on the code; it writes to another file and renames, so none is ever half
/// there. What it reads it runs, so nobody else may be able to write there.
fn cache() -> Option<Cache> {
    let folder = folder()?;
    let made = own(&folder).and_then(|()| {
        let mut config = CacheConfig::new();
        config.with_directory(&folder);
        Cache::new(config).map_err(|e| format!("{e:#}"))
    });
    match made {
        Ok(cache) => Some(cache),
        Err(why) => {
            tracing::warn!("compiled code is not kept in {}: {why}", folder.display());
            None
        }
    }
}

fn folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("weir"))
}

/// Makes sure that a folder is there and that nobody but this user writes in it.
fn own(folder: &Path) -> Result<(), String> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|e| e.to_string())?;
    let is = std::fs::metadata(folder).map_err(|e| e.to_string())?;
    let myself = std::fs::metadata("/proc/self").map_err(|e| e.to_string())?.uid();
    if is.uid() != myself || is.mode() & 0o022 != 0 {
        return Err("others may write in it".to_owned());
    }
    Ok(())
}

/// Makes time pass for instances that compute, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    _until_dropped: mpsc::Sender<()>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> Result<Self, Failed> {
        let (until_dropped, is_dropped) = mpsc::channel();
        let engine = engine.weak();
        let tick = move || {
            while is_dropped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        };
        let thread = thread::Builder::new().name("ticker".to_owned()).spawn(tick);
        thread.map_err(|e| Failed::because("no thread", e))?;
        Ok(Self { _until_dropped: until_dropped })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_others_write_in_keeps_no_code() {
        let place = std::env::temp_dir().join(format!("weir-engine-{}", std::process::id()));
        let folder = place.join("cache");
        assert_eq!(own(&folder), Ok(()));
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(own(&folder), Err("others may write in it".to_owned()));
        std::fs::remove_dir_all(place).unwrap();
    }
}

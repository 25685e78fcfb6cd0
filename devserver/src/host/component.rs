//! The component: compiled, its imports found, ready to be instantiated.

use std::fmt;
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::bindings::fermyon::spin;
use super::guest::Guest;
use super::key_value::Stores;
use super::redis::Redis;
use crate::cli::Failed;

/// The name of the interface by which a component speaks to Redis.
const REDIS: &str = "fermyon:spin/redis@2.0.0";

/// A clone is the same program.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) proxy: ProxyPre<Guest>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

impl Program {
    /// Compiles it, or takes what was compiled before.
    pub(super) fn load(engine: &Engine, file: &Path) -> Result<Self, Failed> {
        let failed = |e: wasmtime::Error| Failed(format!("{}: {e:#}", file.display()));
        let component = Component::from_file(engine, file).map_err(failed)?;
        let linker = linker(engine).map_err(failed)?;
        let proxy = linker.instantiate_pre(&component).and_then(ProxyPre::new).map_err(failed)?;
        Ok(Self { proxy })
    }

    /// Whether it can ask for a Redis at all.
    pub(super) fn wants_redis(&self) -> bool {
        let component = self.proxy.instance_pre().component();
        component.component_type().imports(self.proxy.engine()).any(|(name, _)| name == REDIS)
    }
}

/// Everything that this host offers. Whatever else a component imports is named when it is loaded.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    spin::variables::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    spin::redis::add_to_linker::<_, HasSelf<Redis>>(&mut linker, |guest| &mut guest.redis)?;
    spin::key_value::add_to_linker::<_, HasSelf<Stores>>(&mut linker, |guest| &mut guest.stores)?;
    Ok(linker)
}

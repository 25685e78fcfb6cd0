//! What belongs to one instance, and goes with it.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::key_value::Stores;
use super::outbound::Outbound;
use super::output::Output;
use super::redis::Redis;
use super::server::Settings;
use crate::cli::Failed;

pub(super) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outbound: Outbound,
    pub(super) limits: StoreLimits,
    pub(super) redis: Redis,
    pub(super) stores: Stores,
    settings: Arc<Settings>,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

impl Guest {
    pub(super) fn new(settings: &Arc<Settings>, outbound: Outbound, redis: Redis) -> Result<Self, Failed> {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Output::new("stdout", &settings.pace)).stderr(Output::new("stderr", &settings.pace));
        for (name, value) in settings.manifest.environment() {
            wasi.env(name, value);
        }
        for (source, destination) in settings.files.folders() {
            let opened = wasi.preopened_dir(source, destination, FsPerms::ReadOnly);
            opened.map_err(|e| Failed::because(&source.display().to_string(), e))?;
        }
        Ok(Self {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outbound,
            // Nothing good comes of a program that is told that there is no memory and goes on.
            limits: StoreLimitsBuilder::new().memory_size(settings.memory).trap_on_grow_failure(true).build(),
            redis,
            stores: Stores::new(Arc::clone(settings)),
            settings: Arc::clone(settings),
        })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound }
    }
}

//! The native server with its state in a Redis, which all cases share: each has a namespace of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::LocalBoxFuture;
use weir_redis_tests::Server;

use super::{Given, Native, Running, Runtime};

#[derive(Debug, Default)]
pub struct NativeOnRedis {
    stores: Stores,
}

/// A Redis, and a namespace in it for each gateway.
#[derive(Debug, Default)]
pub(super) struct Stores {
    server: OnceLock<Server>,
    /// Gateways that were started.
    started: AtomicU64,
}

impl Stores {
    pub(super) fn prepare(&self) {
        self.server.get_or_init(Server::start);
    }

    /// What is given, with a store of its own.
    pub(super) fn give(&self, given: &Given) -> Result<Given, String> {
        let url = self.server.get().ok_or("it was not prepared")?.url();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let store = format!("[store]\nkind = \"redis\"\nurl = \"{url}\"\nnamespace = \"case-{number}\"\n");
        let config = format!("{}\n{store}", given.config);
        Ok(Given { config, environment: given.environment.clone() })
    }
}

impl Runtime for NativeOnRedis {
    fn name(&self) -> &'static str {
        "native on redis"
    }

    fn prepare(&self) -> Result<(), String> {
        Native.prepare()?;
        self.stores.prepare();
        Ok(())
    }

    fn start<'a>(&'a self, given: &'a Given) -> LocalBoxFuture<'a, Result<Box<dyn Running>, String>> {
        Box::pin(async move { Native.start(&self.stores.give(given)?).await })
    }
}

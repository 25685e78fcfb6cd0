//! The Cloudflare Worker as it is deployed, on the real workerd: one for each case, set up by miniflare.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread;

use futures_util::future::LocalBoxFuture;
use serde_json::json;
use tokio::sync::Semaphore;
use weir_worker_tests::{Built, Gateway};

use super::{Given, Running, Runtime};

#[derive(Debug, Default)]
pub struct Workerd {
    built: OnceLock<Built>,
    /// Starting one keeps a core busy for most of a second. Half of the cores are left to the cases that run
    /// meanwhile, for which time counts.
    starting: OnceLock<Semaphore>,
}

impl Runtime for Workerd {
    fn name(&self) -> &'static str {
        "workerd"
    }

    /// Builds the Worker as it is in the working tree.
    fn prepare(&self) -> Result<(), String> {
        let built = Built::build()?;
        self.built.get_or_init(|| built);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        self.starting.get_or_init(|| Semaphore::new(cores.div_ceil(2)));
        Ok(())
    }

    fn start<'a>(&'a self, given: &'a Given) -> LocalBoxFuture<'a, Result<Box<dyn Running>, String>> {
        Box::pin(async move {
            let (built, starting) = self.built.get().zip(self.starting.get()).ok_or("it was not prepared")?;
            let built = built.clone();
            let _turn = starting.acquire().await.map_err(|e| e.to_string())?;
            let mut bindings = given.environment.clone();
            bindings.insert("WEIR_CONFIG".into(), given.config.clone());
            let given = json!({ "bindings": bindings });
            let started = tokio::task::spawn_blocking(move || built.start(&given));
            Ok(Box::new(started.await.map_err(|e| e.to_string())??) as Box<dyn Running>)
        })
    }
}

impl Running for Gateway {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> String {
        self.log.text()
    }
}

//! The Cloudflare Worker as it is deployed, on the real workerd: one for each case, set up by miniflare.

use std::net::SocketAddr;
use std::sync::OnceLock;

use futures_util::future::LocalBoxFuture;
use serde_json::json;
use weir_worker_tests::{Built, Gateway};

use super::{Given, Running, Runtime};

#[derive(Debug, Default)]
pub struct Workerd {
    built: OnceLock<Built>,
}

impl Runtime for Workerd {
    fn name(&self) -> &'static str {
        "workerd"
    }

    /// Builds the Worker as it is in the working tree.
    fn prepare(&self) -> Result<(), String> {
        let built = Built::build()?;
        self.built.get_or_init(|| built);
        Ok(())
    }

    fn start<'a>(&'a self, given: &'a Given) -> LocalBoxFuture<'a, Result<Box<dyn Running>, String>> {
        Box::pin(async move {
            let built = self.built.get().ok_or("it was not prepared")?.clone();
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

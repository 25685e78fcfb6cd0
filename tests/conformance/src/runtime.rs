//! What the corpus is run against.

mod component;
mod native;
mod redis;
mod workerd;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::LocalBoxFuture;

pub use self::component::Component;
pub use self::native::Native;
pub use self::redis::NativeOnRedis;
pub use self::workerd::Workerd;

/// One way to run the gateway.
pub trait Runtime: Send + Sync {
    /// As the report calls it.
    fn name(&self) -> &'static str;

    /// Counters that it does not keep; it says why not.
    fn untold(&self) -> &'static [&'static str] {
        &[]
    }

    /// Builds what cases will start, once.
    fn prepare(&self) -> Result<(), String>;

    /// Starts a gateway of its own, and gives it when it listens. One that cannot be started is a failure of
    /// the case, never a case less.
    fn start<'a>(&'a self, given: &'a Given) -> LocalBoxFuture<'a, Result<Box<dyn Running>, String>>;
}

/// What a gateway is started with.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The text of a `weir.toml` that says nothing of where it listens.
    pub config: String,
    pub environment: BTreeMap<String, String>,
}

/// A gateway that runs. Dropped, it ends.
pub trait Running {
    /// Where its API is: `http://ADDRESS`.
    fn address(&self) -> SocketAddr;

    /// What it has logged, for whoever looks into a failure.
    fn log(&self) -> String;
}

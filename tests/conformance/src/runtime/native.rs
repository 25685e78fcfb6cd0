//! The native server: the binary as it is in the working tree.

use std::net::SocketAddr;

use futures_util::future::LocalBoxFuture;
use weir_native_tests::{Gateway, Launch, weir};

use super::{Given, Running, Runtime};

#[derive(Clone, Copy, Debug)]
pub struct Native;

impl Runtime for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn prepare(&self) -> Result<(), String> {
        let said = weir(&["--version"]).output().map_err(|e| format!("weir: {e}"))?;
        if said.status.success() { Ok(()) } else { Err(format!("weir --version: {}", said.status)) }
    }

    fn start<'a>(&'a self, given: &'a Given) -> LocalBoxFuture<'a, Result<Box<dyn Running>, String>> {
        Box::pin(async move {
            let mut launch = Launch::of(&given.config);
            for (name, value) in &given.environment {
                launch = launch.env(name, value);
            }
            Ok(Box::new(launch.say_listening().await) as Box<dyn Running>)
        })
    }
}

impl Running for Gateway {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> String {
        self.program.stderr.text()
    }
}

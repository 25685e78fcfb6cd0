//! Both connections of a websocket, as the core relays them.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use tokio_util::sync::CancellationToken;
use weir::wire::websocket::tunnel::{Connection, Opening, Tunnel};

/// `stop` says that the process is to end.
pub(crate) fn tunnel(client: OnUpgrade, upstream: OnUpgrade, stop: CancellationToken) -> Tunnel {
    Tunnel {
        client: opening(client),
        upstream: opening(upstream),
        going_away: Box::pin(stop.cancelled_owned()),
    }
}

fn opening(upgrade: OnUpgrade) -> Opening {
    Box::pin(async {
        let upgraded = upgrade.await.map_err(std::io::Error::other)?;
        Ok(Box::new(TokioIo::new(upgraded).compat()) as Connection)
    })
}

//! The listening socket and its connections.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    pin,
    task::JoinSet,
};

use crate::{provider::Provider, wire::Wire};

/// How long open answers may go on after the shutdown; a stalled one would never end.
const FAREWELL: Duration = Duration::from_secs(1);
/// The pause after a failed accept, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A provider that listens and does not answer yet.
#[derive(Debug)]
pub struct Simulated {
    listener: TcpListener,
    addr: SocketAddr,
}

/// Listens on `addr`; port 0 takes any free one.
pub async fn bind(addr: SocketAddr) -> io::Result<Simulated> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    Ok(Simulated { listener, addr })
}

impl Simulated {
    /// Where it listens, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown` resolves, then gives open answers a second to end.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let provider = Arc::new(Provider::default());
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve(stream, Arc::clone(&provider), graceful.watcher()));
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        drop(self.listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        let farewell = async { tokio::join!(graceful.shutdown(), ended) };
        // What is still open after that is dropped with `connections`.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

async fn serve(stream: TcpStream, provider: Arc<Provider>, watcher: hyper_util::server::graceful::Watcher) {
    // Tokens are small writes; Nagle's algorithm would hold them back. A socket that cannot have
    // it off is already dead, and the first read will say so.
    let _ = stream.set_nodelay(true);
    let wire = Wire::new(stream);
    let reset = wire.reset_switch();
    let service = service_fn(move |request| {
        let provider = Arc::clone(&provider);
        let reset = reset.clone();
        async move { Ok::<_, Infallible>(provider.respond(request, reset).await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let connection = server.serve_connection(TokioIo::new(wire), service);
    // A connection ends in an error whenever a fault or the client ends it.
    let _ = watcher.watch(connection).await;
}

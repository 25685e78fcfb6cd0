//! A way to a server that can be made slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes bytes on, both ways, late by as much as it is told. Dropped, it takes nobody new.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    millis: Arc<AtomicU64>,
    /// Connections that came before are forgotten.
    forgotten: Arc<AtomicU64>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().unwrap();
        let millis = Arc::new(AtomicU64::new(0));
        let forgotten = Arc::new(AtomicU64::new(0));
        let (delay, gone) = (Arc::clone(&millis), Arc::clone(&forgotten));
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = Way {
                    delay: Arc::clone(&delay),
                    born: gone.load(Ordering::SeqCst),
                    gone: Arc::clone(&gone),
                };
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, way.clone()));
                tokio::spawn(pass(from_server, to_client, way));
            }
        });
        Self { address, millis, forgotten, acceptor }
    }

    /// Nothing goes over the connections that there are any more, and nobody is told: as a firewall forgets them.
    pub fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on each piece takes this much longer.
    pub fn delay(&self, delay: Duration) {
        self.millis.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// What becomes of the bytes of a connection.
#[derive(Clone, Debug)]
struct Way {
    delay: Arc<AtomicU64>,
    /// How often all were forgotten before it came.
    born: u64,
    gone: Arc<AtomicU64>,
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(Duration::from_millis(way.delay.load(Ordering::SeqCst))).await;
        if way.gone.load(Ordering::SeqCst) > way.born {
            continue;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}

//! An upstream that does byte for byte what a test says, for all that the simulated provider is too polite to
//! do.

pub mod reply;
mod request;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use self::request::Seen;
use crate::wait;

/// A step of an answer. After the last one the connection waits for its next request.
#[derive(Clone, Debug)]
pub enum Act {
    Send(Bytes),
    Pause(Duration),
    /// Waits until the test lets one through.
    Gate(Arc<Semaphore>),
    /// TCP RST.
    Reset,
    Close,
    /// Reads on until the gateway closes or resets.
    UntilGone,
    /// Sends this again and again until the gateway has gone, or takes nothing more for ever.
    Flood(Bytes),
}

/// What a document says beside where its models lead.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'a> {
    /// For the route's table.
    pub route: &'a str,
    /// For the upstream's.
    pub upstream: &'a str,
    /// Other tables. With a `[key.…]` among them, callers need a key.
    pub tables: &'a str,
}

#[derive(Debug, Default)]
struct Notes {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    gone: AtomicUsize,
    flooded: AtomicU64,
    heard: Mutex<Vec<u8>>,
}

/// A listening upstream; it ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    pub address: SocketAddr,
    notes: Arc<Notes>,
    acceptor: JoinHandle<()>,
}

impl Upstream {
    /// Answers each request by the steps that `script` gives for it.
    pub async fn start(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// The same at an address of its own.
    pub async fn start_at(
        address: SocketAddr,
        script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().unwrap();
        let notes = Arc::new(Notes::default());
        let (script, kept) = (Arc::new(script), Arc::clone(&notes));
        let acceptor = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = kept.connections.fetch_add(1, Ordering::SeqCst);
                let (script, notes) = (Arc::clone(&script), Arc::clone(&kept));
                connections.spawn(async move {
                    notes.open.fetch_add(1, Ordering::SeqCst);
                    if !serve(stream, number, &*script, &notes).await {
                        notes.gone.fetch_add(1, Ordering::SeqCst);
                    }
                    notes.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, notes, acceptor }
    }

    /// The base URL of its API.
    pub fn base(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// A document in which every model leads here. `more` is for the upstream's table. No breaker opens, for
    /// tests that fail again and again.
    pub fn document(&self, more: &str) -> String {
        self.document_with(&Extra { upstream: more, ..Extra::default() })
    }

    /// The same with more to say.
    pub fn document_with(&self, extra: &Extra<'_>) -> String {
        let Extra { route, upstream, tables } = extra;
        let base = self.base();
        let auth = if tables.contains("[key.") { "keys" } else { "open" };
        format!(
            "auth = \"{auth}\"\npassthrough = \"up\"\n\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\n{route}\n\n\
             [upstream.up]\ndialect = \"openai\"\nbase_url = \"{base}\"\n\
             breaker = {{ consecutive = 100000, minimum = 100000 }}\n{upstream}\n\n{tables}\n"
        )
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.notes.seen.lock().unwrap().clone()
    }

    /// Connections that were made in all.
    pub fn connections(&self) -> usize {
        self.notes.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.notes.open.load(Ordering::SeqCst)
    }

    /// Answers whose reader went away before their end.
    pub fn gone(&self) -> usize {
        self.notes.gone.load(Ordering::SeqCst)
    }

    /// Bytes that [`Act::UntilGone`] has read.
    pub fn heard(&self) -> Vec<u8> {
        self.notes.heard.lock().unwrap().clone()
    }

    /// Bytes that [`Act::Flood`] was rid of.
    pub fn flooded(&self) -> u64 {
        self.notes.flooded.load(Ordering::SeqCst)
    }

    pub async fn until_seen(&self, count: usize) -> Vec<Seen> {
        wait::until("a request at the upstream", async || {
            let seen = self.seen();
            (seen.len() >= count).then_some(seen)
        })
        .await
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Serves one connection to its end; `false` when its reader left in the middle of an answer.
async fn serve(
    mut stream: TcpStream,
    number: usize,
    script: &(impl Fn(&Seen) -> Vec<Act> + ?Sized),
    notes: &Notes,
) -> bool {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    loop {
        let mut seen = match request::read(&mut stream, &mut buffer).await {
            Ok(Some(seen)) => seen,
            Ok(None) => return true,
            Err(_) => return false,
        };
        seen.connection = number;
        notes.seen.lock().unwrap().push(seen.clone());
        for act in script(&seen) {
            let went_well = match act {
                Act::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
                Act::Pause(pause) => {
                    tokio::time::sleep(pause).await;
                    true
                }
                Act::Gate(gate) => {
                    gate.acquire().await.unwrap().forget();
                    true
                }
                Act::Reset => {
                    stream.set_zero_linger().unwrap();
                    return true;
                }
                Act::Close => {
                    let _ = stream.shutdown().await;
                    return true;
                }
                Act::UntilGone => {
                    let mut more = [0; 1024];
                    while let Ok(read @ 1..) = stream.read(&mut more).await {
                        notes.heard.lock().unwrap().extend_from_slice(&more[..read]);
                    }
                    false
                }
                Act::Flood(bytes) => {
                    while stream.write_all(&bytes).await.is_ok() {
                        notes.flooded.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                    }
                    false
                }
            };
            if !went_well {
                return false;
            }
        }
    }
}

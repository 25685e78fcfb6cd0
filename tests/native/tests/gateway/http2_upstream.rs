//! An upstream of HTTP/2 that does with each call what a test says, behind a way that can be cut or made silent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::Response;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use weir_native_tests::reply;

use weir_native_tests::secure::{Asks, Authority, server};

/// What becomes of a call.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    Answer,
    /// Answers once the test lets it.
    Gate(Arc<Semaphore>),
    /// A stream: its first word, and the rest once the test lets it.
    Stream(Arc<Semaphore>),
    /// `REFUSED_STREAM`.
    Refuse,
    Silence,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    connections: AtomicUsize,
    calls: AtomicUsize,
}

impl Counts {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

pub(crate) struct Http2 {
    pub(crate) address: SocketAddr,
    pub(crate) authority: PathBuf,
    pub(crate) counts: Arc<Counts>,
    way: watch::Sender<Way>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

/// What the way to it does with the connections that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Way {
    cut: usize,
    silent: usize,
}

impl Http2 {
    /// Takes `streams` calls at the same time on each connection.
    pub(crate) async fn start(streams: u32, script: impl Fn(usize) -> Turn + Send + Sync + 'static) -> Self {
        let script: Arc<dyn Fn(usize) -> Turn + Send + Sync> = Arc::new(script);
        Self::serving(move |stream, counts| {
            let script = Arc::clone(&script);
            async move { serve(stream, streams, &*script, &counts).await }
        })
        .await
    }

    /// Sends the first connection away below its first call, and answers on all others.
    pub(crate) async fn going_away() -> Self {
        let script: Arc<dyn Fn(usize) -> Turn + Send + Sync> = Arc::new(|_| Turn::Answer);
        Self::serving(move |stream, counts| {
            let script = Arc::clone(&script);
            async move {
                if counts.connections() == 1 {
                    send_away(stream, &counts).await;
                } else {
                    serve(stream, 100, &*script, &counts).await;
                }
            }
        })
        .await
    }

    async fn serving<F>(connection: impl Fn(TlsStream<TcpStream>, Arc<Counts>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let authority = Authority::new();
        let mut config = server(&authority, Asks::Nothing, "127.0.0.1");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority.pem");
        std::fs::write(&path, &authority.pem).unwrap();
        let (counts, acceptor) = (Arc::new(Counts::default()), TlsAcceptor::from(Arc::new(config)));
        let (inner, outer) = (listener().await, listener().await);
        let (behind, address) = (inner.local_addr().unwrap(), outer.local_addr().unwrap());
        let (way, ways) = watch::channel(Way::default());
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&counts);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = inner.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                kept.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection(stream, Arc::clone(&kept)));
            }
        });
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = outer.accept().await {
                connections.spawn(lead(stream, behind, ways.clone()));
            }
        });
        Self { address, authority: path, counts, way, _tasks: tasks, _folder: folder }
    }

    /// Cuts all connections that there are.
    pub(crate) fn cut(&self) {
        self.way.send_modify(|way| way.cut += 1);
    }

    /// From now on nothing comes or goes on those that there are, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.way.send_modify(|way| way.silent += 1);
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

async fn lead(mut stream: TcpStream, to: SocketAddr, mut ways: watch::Receiver<Way>) {
    let Ok(mut behind) = TcpStream::connect(to).await else { return };
    let at_first = *ways.borrow_and_update();
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut behind) => return,
        _ = ways.wait_for(|way| *way != at_first) => {}
    }
    if ways.borrow().cut != at_first.cut {
        stream.set_zero_linger().unwrap();
        return;
    }
    std::future::pending::<()>().await;
}

async fn serve(
    stream: TlsStream<TcpStream>,
    streams: u32,
    script: &(dyn Fn(usize) -> Turn + Send + Sync),
    counts: &Counts,
) {
    let begun =
        h2::server::Builder::new().max_concurrent_streams(streams).handshake::<_, Bytes>(stream).await;
    let Ok(mut connection) = begun else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let turn = script(counts.calls.fetch_add(1, Ordering::SeqCst));
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
            }
            answer(respond, turn).await;
        });
    }
}

async fn answer(mut respond: SendResponse<Bytes>, turn: Turn) {
    let head = |kind: &str| Response::builder().header("content-type", kind).body(()).unwrap();
    let message = r#"{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}"#;
    let whole = format!(r#"{{"object":"chat.completion","choices":[{message}]}}"#);
    match turn {
        Turn::Refuse => return respond.send_reset(Reason::REFUSED_STREAM),
        Turn::Silence => std::future::pending().await,
        Turn::Answer => {}
        Turn::Gate(gate) => gate.acquire().await.unwrap().forget(),
        Turn::Stream(gate) => {
            let Ok(mut body) = respond.send_response(head("text/event-stream"), false) else { return };
            let _ = body.send_data(reply::event("one").into(), false);
            gate.acquire().await.unwrap().forget();
            let rest = format!("{}data: [DONE]\n\n", reply::finish());
            let _ = body.send_data(rest.into(), true);
            return;
        }
    }
    let Ok(mut body) = respond.send_response(head("application/json"), false) else { return };
    let _ = body.send_data(whole.into(), true);
}

/// Frame by frame: settings, and on the first request a GOAWAY that names no stream as taken.
async fn send_away(mut stream: TlsStream<TcpStream>, counts: &Counts) {
    const HEADERS: u8 = 1;
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ACKNOWLEDGED: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut preface = [0; 24];
    let read = async {
        stream.read_exact(&mut preface).await?;
        stream.write_all(&SETTINGS).await?;
        stream.write_all(&ACKNOWLEDGED).await?;
        stream.flush().await?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut frame = vec![0; length];
            stream.read_exact(&mut frame).await?;
            if head[3] == HEADERS {
                counts.calls.fetch_add(1, Ordering::SeqCst);
                stream.write_all(&GOAWAY).await?;
                stream.flush().await?;
            }
        }
    };
    let _: std::io::Result<()> = read.await;
}

//! A stand-in for the Worker's objects: it asks here what to do with each question, and passes it on.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Fate of questions at the moment; [`Objects::module`] is the Worker's side of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Pass,
    /// Questions wait.
    Hold,
    /// Questions fail.
    Fail,
    /// Questions are never answered.
    Lose,
    /// Questions are answered a fifth of a second late.
    Slow,
}

/// Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Objects {
    way: watch::Sender<Way>,
    port: u16,
    folder: TempDir,
    _tasks: JoinSet<()>,
}

impl Objects {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, ways) = watch::channel(Way::Pass);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, ways));
        Self { way, port, folder: tempfile::tempdir().unwrap(), _tasks: tasks }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Folder of their state.
    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(self.folder.path()).into()
    }

    /// Source of the stand-in.
    pub(crate) fn module(&self) -> String {
        format!(
            "export class Desk {{
                constructor(state, env) {{ this.name = state.id.name; this.env = env; }}
                async fetch(request) {{
                    const question = await request.arrayBuffer();
                    const way = await (await fetch('http://127.0.0.1:{}/')).text();
                    if (way === 'Fail') throw new Error('out of order');
                    if (way === 'Lose') await new Promise(() => {{}});
                    if (way === 'Slow') await scheduler.wait(200);
                    const real = this.env.REAL.get(this.env.REAL.idFromName(this.name ?? 'one'));
                    return real.fetch('https://desk.invalid/', {{ method: 'POST', body: question }});
                }}
            }}",
            self.port
        )
    }
}

async fn serve(listener: TcpListener, ways: watch::Receiver<Way>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let ways = ways.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let mut ways = ways.clone();
            async move {
                let way = ways.wait_for(|way| *way != Way::Hold).await.map_or(Way::Pass, |way| *way);
                let said = Full::<Bytes>::from(format!("{way:?}"));
                Ok::<_, Infallible>(Response::new(said))
            }
        });
        connections.spawn(async move {
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

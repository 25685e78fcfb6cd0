//! As much as goes through: a fixed number of connections, each with a call after the other.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use super::{Window, broken, wrong};
use crate::ask::Ask;
use crate::cli::Failed;
use crate::reply::{Progress, Reply};
use crate::sample::Sample;

pub(super) fn run(
    target: SocketAddr,
    ask: Ask,
    connections: usize,
    window: Window,
) -> Result<Sample, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failed::because("no runtime", e))?;
    let counts = Rc::new(Cell::new(Sample { nanos: window.length(), ..Sample::default() }));
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn_local(connection(target, ask, window, Rc::clone(&counts)));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| Failed::because("a connection's task", e))??;
        }
        Ok(())
    })?;
    Ok(counts.get())
}

async fn connection(
    target: SocketAddr,
    ask: Ask,
    window: Window,
    counts: Rc<Cell<Sample>>,
) -> Result<(), Failed> {
    let request = ask.request(target);
    let failed = |e: io::Error| broken(target, e);
    let mut stream = TcpStream::connect(target).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (mut reply, mut buffer) = (Reply::default(), vec![0; 64 * 1024]);
    loop {
        stream.write_all(&request).await.map_err(failed)?;
        reply.clear();
        loop {
            let length = stream.read(&mut buffer).await.map_err(failed)?;
            if length == 0 {
                return Err(broken(target, "it was closed"));
            }
            match reply.take(&buffer[..length]) {
                Progress::Begun | Progress::Speaking => {}
                Progress::Whole => break,
                Progress::Refused | Progress::Wrong => return Err(wrong(target, &reply)),
            }
        }
        let now = Instant::now();
        if now >= window.end {
            return Ok(());
        }
        let mut sample = counts.get();
        sample.answered += 1;
        if window.counts(now) {
            sample.done += 1;
            sample.events += if ask == Ask::Json { 0 } else { reply.events() };
        }
        counts.set(sample);
    }
}

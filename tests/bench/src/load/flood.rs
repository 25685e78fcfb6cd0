//! Calls at a fixed rate, whatever becomes of those before: more than anyone can answer, if need be.
//!
//! A call takes a connection that is idle or makes one, so nothing but the target holds it up. Who calls
//! gives up after a while and closes the connection. Only answers in time are good; 503s are counted by
//! themselves.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::{Window, broken, wrong};
use crate::ask::Ask;
use crate::cli::Failed;
use crate::reply::{Progress, Reply};
use crate::sample::{Latencies, Sample};

/// How often it is looked whether calls are due.
const TICK: Duration = Duration::from_millis(1);

/// Longer than a JSON answer.
const BUFFER: usize = 4096;

pub(super) fn run(
    target: SocketAddr,
    per_second: u32,
    patience: Duration,
    window: Window,
) -> Result<Sample, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failed::because("no runtime", e))?;
    let flood = Rc::new(Flood {
        target,
        request: Ask::Json.request(target),
        patience,
        window,
        idle: RefCell::default(),
        found: RefCell::new(Found::new()?),
    });
    let every = Duration::from_secs(1) / per_second.max(1);
    LocalSet::new().block_on(&runtime, async {
        let mut ticks = tokio::time::interval(TICK);
        let mut due = window.opened;
        while due < window.end {
            ticks.tick().await;
            while due <= Instant::now() && due < window.end {
                tokio::task::spawn_local(Rc::clone(&flood).ask());
                due += every;
            }
        }
        // For those that were asked last.
        tokio::time::sleep(patience).await;
    });
    flood.sample()
}

struct Flood {
    target: SocketAddr,
    request: Vec<u8>,
    patience: Duration,
    window: Window,
    idle: RefCell<Vec<TcpStream>>,
    found: RefCell<Found>,
}

/// What came of the calls.
struct Found {
    good: Latencies,
    refused: Latencies,
    answered: u64,
    failed: Option<Failed>,
}

impl Found {
    fn new() -> Result<Self, Failed> {
        Ok(Self { good: Latencies::new()?, refused: Latencies::new()?, answered: 0, failed: None })
    }
}

impl Flood {
    async fn ask(self: Rc<Self>) {
        let asked = Instant::now();
        let outcome = tokio::time::timeout(self.patience, self.call()).await;
        let answered = Instant::now();
        let mut found = self.found.borrow_mut();
        match outcome {
            Ok(Ok((progress, stream))) => {
                self.idle.borrow_mut().push(stream);
                found.answered += 1;
                if self.window.counts(answered) {
                    let latencies =
                        if progress == Progress::Refused { &mut found.refused } else { &mut found.good };
                    latencies.note(answered - asked);
                }
            }
            Ok(Err(failed)) => {
                found.failed.get_or_insert(failed);
            }
            Err(_) => {}
        }
    }

    async fn call(&self) -> Result<(Progress, TcpStream), Failed> {
        let failed = |e: io::Error| broken(self.target, e);
        let idle = self.idle.borrow_mut().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(self.target).await.map_err(failed)?,
        };
        stream.set_nodelay(true).map_err(failed)?;
        stream.write_all(&self.request).await.map_err(failed)?;
        let (mut reply, mut buffer) = (Reply::default(), [0; BUFFER]);
        loop {
            let length = stream.read(&mut buffer).await.map_err(failed)?;
            if length == 0 {
                return Err(broken(self.target, "it was closed"));
            }
            match reply.take(&buffer[..length]) {
                Progress::Begun | Progress::Speaking => {}
                progress @ (Progress::Whole | Progress::Refused) => return Ok((progress, stream)),
                Progress::Wrong => return Err(wrong(self.target, &reply)),
            }
        }
    }

    /// A target that breaks connections or answers anything but 200 and 503 gives no sample.
    fn sample(&self) -> Result<Sample, Failed> {
        let mut found = self.found.borrow_mut();
        if let Some(failed) = found.failed.take() {
            return Err(failed);
        }
        let ((p50_nanos, p99_nanos), (refused_p50_nanos, refused_p99_nanos)) =
            (found.good.quantiles(), found.refused.quantiles());
        Ok(Sample {
            done: found.good.len(),
            answered: found.answered,
            refused: found.refused.len(),
            nanos: self.window.length(),
            p50_nanos,
            p99_nanos,
            refused_p50_nanos,
            refused_p99_nanos,
            ..Sample::default()
        })
    }
}

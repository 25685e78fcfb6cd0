//! One call after the other over one connection, with blocking reads: nothing between the wire and the clock.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{Window, broken, wrong};
use crate::ask::Ask;
use crate::cli::Failed;
use crate::reply::{Progress, Reply};
use crate::sample::{Latencies, Sample};

/// Latency is to the last byte of a JSON answer and to the first word of a stream.
pub(super) fn run(target: SocketAddr, ask: Ask, window: &Window) -> Result<Sample, Failed> {
    let mut caller = Caller::connect(target, ask)?;
    let mut latencies = Latencies::new()?;
    let mut sample = Sample { nanos: window.length(), ..Sample::default() };
    loop {
        let asked = Instant::now();
        if asked >= window.end {
            break;
        }
        let latency = caller.call()?;
        sample.answered += 1;
        if window.counts(asked) {
            sample.done += 1;
            latencies.note(latency);
        }
    }
    (sample.p50_nanos, sample.p99_nanos) = latencies.quantiles();
    Ok(sample)
}

/// A connection that calls.
#[derive(Debug)]
pub(crate) struct Caller {
    target: SocketAddr,
    ask: Ask,
    request: Vec<u8>,
    stream: TcpStream,
    reply: Reply,
    buffer: Vec<u8>,
}

impl Caller {
    pub(crate) fn connect(target: SocketAddr, ask: Ask) -> Result<Self, Failed> {
        let failed = |e: io::Error| broken(target, e);
        let stream = TcpStream::connect(target).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (reply, buffer) = (Reply::default(), vec![0; 64 * 1024]);
        Ok(Self { target, ask, request: ask.request(target), stream, reply, buffer })
    }

    /// Calls and reads the whole answer; gives the time to what was waited for.
    pub(crate) fn call(&mut self) -> Result<Duration, Failed> {
        self.reply.clear();
        let failed = |e: io::Error| broken(self.target, e);
        let (asked, mut latency) = (Instant::now(), None);
        self.stream.write_all(&self.request).map_err(failed)?;
        loop {
            let length = self.stream.read(&mut self.buffer).map_err(failed)?;
            if length == 0 {
                return Err(broken(self.target, "it was closed"));
            }
            match self.reply.take(&self.buffer[..length]) {
                Progress::Begun => {}
                Progress::Speaking if self.ask == Ask::Json => {}
                Progress::Speaking => {
                    latency.get_or_insert_with(|| asked.elapsed());
                }
                Progress::Whole => return Ok(latency.unwrap_or_else(|| asked.elapsed())),
                Progress::Refused | Progress::Wrong => return Err(wrong(self.target, &self.reply)),
            }
        }
    }

    /// The last answer.
    pub(crate) fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Throws the first word of a stream and whatever else is here away and keeps the stream.
    pub(super) fn begin(mut self) -> Result<TcpStream, Failed> {
        let failed = |e: io::Error| broken(self.target, e);
        self.stream.write_all(&self.request).map_err(failed)?;
        loop {
            let length = self.stream.read(&mut self.buffer).map_err(failed)?;
            if length == 0 {
                return Err(broken(self.target, "it was closed"));
            }
            match self.reply.take(&self.buffer[..length]) {
                Progress::Begun => {}
                Progress::Speaking => return Ok(self.stream),
                Progress::Whole | Progress::Refused | Progress::Wrong => {
                    return Err(wrong(self.target, &self.reply));
                }
            }
        }
    }
}

//! Calls at a fixed rate: they come when they are due, whether or not earlier ones are answered.
//!
//! A slot whose time has passed while every connection was busy is late through the gateway's doing, and its
//! latency counts from the time it was due. A slot that the sleeping caller was woken for too late is the
//! kernel's doing, the same for every target, and counts from the wake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Window;
use super::serial::Caller;
use crate::ask::Ask;
use crate::cli::Failed;
use crate::sample::{Latencies, Sample};

/// Enough for calls of 16 ms at 1,000 a second.
const CONNECTIONS: usize = 16;

pub(super) fn run(target: SocketAddr, ask: Ask, per_second: u32, window: Window) -> Result<Sample, Failed> {
    let slots = Arc::new(AtomicU32::new(0));
    let callers = (0..CONNECTIONS).map(|_| {
        let slots = Arc::clone(&slots);
        thread::spawn(move || caller(target, ask, Duration::from_secs(1) / per_second, &window, &slots))
    });
    let callers: Vec<_> = callers.collect();
    let mut latencies = Latencies::new()?;
    let mut sample = Sample { nanos: window.length(), ..Sample::default() };
    for caller in callers {
        let (answered, counted) = caller.join().map_err(|_| Failed("a caller panicked".into()))??;
        sample.answered += answered;
        sample.done += counted.len();
        latencies.add(&counted);
    }
    (sample.p50_nanos, sample.p99_nanos) = latencies.quantiles();
    Ok(sample)
}

fn caller(
    target: SocketAddr,
    ask: Ask,
    every: Duration,
    window: &Window,
    slots: &AtomicU32,
) -> Result<(u64, Latencies), Failed> {
    let mut caller = Caller::connect(target, ask)?;
    let (mut answered, mut latencies) = (0, Latencies::new()?);
    loop {
        let due = window.opened + every * slots.fetch_add(1, Ordering::Relaxed);
        if due >= window.end {
            return Ok((answered, latencies));
        }
        let wait = due.saturating_duration_since(Instant::now());
        let late = if wait.is_zero() {
            due.elapsed()
        } else {
            thread::sleep(wait);
            Duration::ZERO
        };
        let latency = caller.call()?;
        answered += 1;
        if window.counts(due) {
            latencies.note(latency + late);
        }
    }
}

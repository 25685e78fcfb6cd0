//! Streams that are begun and then held: what a gateway keeps for each of them.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::serial::Caller;
use super::tell;
use crate::ask::Ask;
use crate::cli::Failed;
use crate::sample::Sample;

/// How many are being opened at a time; a listener's backlog is not to be the measure.
const OPENERS: usize = 32;

/// Opens `streams`, tells that they are open, and holds them until standard input ends.
pub(super) fn run(target: SocketAddr, streams: usize) -> Result<(), Failed> {
    let left = Arc::new(AtomicUsize::new(streams));
    let openers: Vec<_> = (0..OPENERS)
        .map(|_| {
            let left = Arc::clone(&left);
            thread::spawn(move || open(target, &left))
        })
        .collect();
    let mut held = Vec::with_capacity(streams);
    for opener in openers {
        held.extend(opener.join().map_err(|_| Failed("an opener panicked".into()))??);
    }
    tell(&Sample { done: held.len() as u64, ..Sample::default() })?;
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}

fn open(target: SocketAddr, left: &AtomicUsize) -> Result<Vec<TcpStream>, Failed> {
    let mut held = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        held.push(Caller::connect(target, Ask::Hold)?.begin()?);
    }
    Ok(held)
}

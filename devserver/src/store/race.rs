//! Which of a name's addresses answers first: one that drops packets takes no time from the others.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// Between two addresses (RFC 8305: the connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses at most; a name has few.
const MOST: usize = 8;

/// Tries one address after another, each [`STAGGER`] after the one before or as soon as one has failed. The first
/// connection is taken, and the others are given up.
pub(super) async fn race<T, W>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> W,
) -> io::Result<T>
where
    W: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter().take(MOST).peekable();
    let mut under_way = FuturesUnordered::new();
    let mut fault = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => under_way.push(connect(address)),
            None if under_way.is_empty() => return Err(fault),
            None => {}
        }
        tokio::select! {
            Some(outcome) = under_way.next() => match outcome {
                Ok(connection) => return Ok(connection),
                Err(error) => fault = error,
            },
            () = sleep(STAGGER), if waiting.peek().is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    /// What an address does.
    #[derive(Clone, Copy)]
    enum Does {
        Answer,
        Refuse,
        DropPackets,
    }

    /// Which port answers, after how long, and which were tried.
    async fn raced(ports: &[Does]) -> (Result<u16, io::ErrorKind>, Duration, Vec<u16>) {
        let (begin, tried) = (Instant::now(), RefCell::new(Vec::new()));
        let addresses = (0..).zip(ports).map(|(port, _)| SocketAddr::from(([127, 0, 0, 1], port)));
        let outcome = race(addresses, async |address: SocketAddr| {
            tried.borrow_mut().push(address.port());
            match ports[usize::from(address.port())] {
                Does::Answer => Ok(address.port()),
                Does::Refuse => Err(io::ErrorKind::ConnectionRefused.into()),
                Does::DropPackets => pending().await,
            }
        })
        .await;
        (outcome.map_err(|error| error.kind()), begin.elapsed(), tried.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_drops_packets_takes_no_time_from_the_next() {
        use Does::{Answer, DropPackets, Refuse};
        let refused = io::ErrorKind::ConnectionRefused;
        for (ports, outcome, steps, tried) in [
            (&[Answer, Answer][..], Ok(0), 0, vec![0]),
            (&[DropPackets, Answer], Ok(1), 1, vec![0, 1]),
            (&[DropPackets, DropPackets, Answer], Ok(2), 2, vec![0, 1, 2]),
            (&[Refuse, Answer], Ok(1), 0, vec![0, 1]),
            (&[DropPackets, Refuse, Answer], Ok(2), 1, vec![0, 1, 2]),
            (&[Refuse, Refuse], Err(refused), 0, vec![0, 1]),
            (&[], Err(io::ErrorKind::NotFound), 0, vec![]),
        ] {
            let (got, took, seen) = raced(ports).await;
            assert_eq!((got, seen), (outcome, tried));
            assert_eq!(took.as_millis() / STAGGER.as_millis(), steps);
        }
    }
}

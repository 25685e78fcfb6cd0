//! Which of a name's addresses answers first: one that drops packets takes no time from the others.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// Between two addresses (RFC 8305, 5: the connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);

/// Tries one address after another, each [`STAGGER`] after the one before or as soon as one has failed. The first
/// connection is taken, and the others are given up. `failed` hears of each that fails, and may end the race; `None` is
/// that there are no more.
pub(crate) async fn race<T, E, W>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> W,
    mut failed: impl FnMut(SocketAddr, io::Error) -> ControlFlow<E>,
) -> Option<Result<(SocketAddr, T), E>>
where
    W: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter().peekable();
    let mut under_way = FuturesUnordered::new();
    loop {
        match waiting.next() {
            Some(address) => {
                let connecting = connect(address);
                under_way.push(async move { (address, connecting.await) });
            }
            None if under_way.is_empty() => return None,
            None => {}
        }
        tokio::select! {
            biased;
            Some((address, outcome)) = under_way.next() => match outcome {
                Ok(connection) => return Some(Ok((address, connection))),
                Err(error) => if let ControlFlow::Break(end) = failed(address, error) {
                    return Some(Err(end));
                },
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

    /// Which port answers, or what the last one said, after how long, and which were tried.
    async fn raced(ports: &[Does]) -> (Result<u16, Option<io::ErrorKind>>, Duration, Vec<u16>) {
        let (begin, tried) = (Instant::now(), RefCell::new(Vec::new()));
        let addresses = (0..).zip(ports).map(|(port, _)| SocketAddr::from(([127, 0, 0, 1], port)));
        let connect = async |address: SocketAddr| {
            tried.borrow_mut().push(address.port());
            match ports[usize::from(address.port())] {
                Does::Answer => Ok(address.port()),
                Does::Refuse => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                Does::DropPackets => pending().await,
            }
        };
        let mut last = None;
        let raced = race(addresses, connect, |_, error| {
            last = Some(error.kind());
            ControlFlow::<()>::Continue(())
        });
        let outcome = raced.await.and_then(Result::ok).map(|(_, port)| port);
        (outcome.ok_or(last), begin.elapsed(), tried.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_drops_packets_takes_no_time_from_the_next() {
        use Does::{Answer, DropPackets, Refuse};
        let refused = Some(io::ErrorKind::ConnectionRefused);
        for (ports, outcome, steps, tried) in [
            (&[Answer, Answer][..], Ok(0), 0, vec![0]),
            (&[DropPackets, Answer], Ok(1), 1, vec![0, 1]),
            (&[DropPackets, DropPackets, Answer], Ok(2), 2, vec![0, 1, 2]),
            (&[Refuse, Answer], Ok(1), 0, vec![0, 1]),
            (&[DropPackets, Refuse, Answer], Ok(2), 1, vec![0, 1, 2]),
            (&[Refuse, Refuse], Err(refused), 0, vec![0, 1]),
            (&[], Err(None), 0, vec![]),
        ] {
            let (got, took, seen) = raced(ports).await;
            assert_eq!((got, seen), (outcome, tried));
            assert_eq!(took.as_millis() / STAGGER.as_millis(), steps);
        }
    }
}

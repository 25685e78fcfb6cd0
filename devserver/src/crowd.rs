//! How many connections there are, in all and by address: one client cannot take the sockets of the others.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir::config::Server;
use weir::identity::client_address;
use weir::refusal::Refusal;

/// When to come again.
const SHORTLY: Duration = Duration::from_secs(1);

/// At the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    all: usize,
    /// Of one IPv4 address, or of one /64 of IPv6.
    by_address: usize,
}

impl Bounds {
    pub(crate) fn of(server: &Server) -> Self {
        Self { all: server.max_connections, by_address: server.max_connections_per_address }
    }
}

/// Which bound a connection would go beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    Address,
    /// The process may open no more files. Counted once a second, for as long as somebody waits.
    Descriptors,
}

impl Full {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Address => "address",
            Self::Descriptors => "descriptors",
        }
    }
}

/// The connections there are. A clone counts the same ones.
#[derive(Clone, Default)]
pub(crate) struct Crowd(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection; dropped, it counts no more.
pub(crate) struct Guest {
    crowd: Crowd,
    address: IpAddr,
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Crowd").field(&self.counts().all).finish()
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

impl Crowd {
    /// Counts a connection from `address`, unless there are too many.
    pub(crate) fn enter(&self, address: IpAddr, bounds: Bounds) -> Result<Guest, Full> {
        let address = client_address::network(address);
        let mut counts = self.counts();
        if counts.by_address.get(&address).is_some_and(|count| *count >= bounds.by_address) {
            return Err(Full::Address);
        }
        if counts.all >= bounds.all {
            return Err(Full::All);
        }
        counts.all += 1;
        *counts.by_address.entry(address).or_default() += 1;
        drop(counts);
        Ok(Guest { crowd: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        counts.all -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// Says why in HTTP/1.1, as far as the socket takes it at once, and closes.
pub(crate) fn turn_away(mut connection: TcpStream) {
    let refusal = Refusal::Overloaded { retry_after: SHORTLY };
    let body = refusal.to_body();
    let mut answer = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n".to_vec();
    for (name, value) in &refusal.headers() {
        let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat();
        answer.extend_from_slice(&line);
    }
    answer.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(&body);
    // A new socket's buffer is empty, so it takes all of it or the client has gone.
    let _ = connection.set_nonblocking(true).and_then(|()| connection.write_all(&answer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_its_share_and_leaves_the_rest_to_others() {
        let (crowd, bounds) = (Crowd::default(), Bounds { all: 5, by_address: 3 });
        let enter = |address: &str| crowd.enter(address.parse().unwrap(), bounds);
        let greedy: Vec<_> = (1..=3).map(|host| enter(&format!("2001:db8::{host}")).unwrap()).collect();
        assert_eq!(enter("2001:db8::4").unwrap_err(), Full::Address, "it is the same /64");
        let other = enter("192.0.2.1").unwrap();
        let same = enter("::ffff:192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.2").unwrap_err(), Full::All);
        drop((greedy, other));
        enter("2001:db8::4").unwrap();
        drop(same);
        assert_eq!(crowd.counts().all, 0);
        assert!(crowd.counts().by_address.is_empty(), "whoever has gone leaves nothing");
    }
}

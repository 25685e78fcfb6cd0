//! The network's part of a connection: an address of the name that takes it, and what stood in the way.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::ControlFlow;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use weir::ledger::connect_fault::ConnectFault;

use super::names::NAMES;
use crate::descriptors;
use crate::race::race;

/// After how long a silence a peer is asked by TCP whether it is there.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// A connection of TCP.
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    /// Addresses of the same name that refused.
    pub(super) refused: Vec<SocketAddr>,
}

/// Connects with one of the addresses that `to` names.
pub(super) async fn reach(to: &Uri, deadline: Instant) -> Result<Reached, ConnectFault> {
    let host = to.host().ok_or(ConnectFault::NameUnresolved)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let default = if to.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
    let port = to.port_u16().unwrap_or(default);
    let addresses = if let Ok(address) = host.parse::<IpAddr>() {
        vec![SocketAddr::new(address, port)]
    } else {
        let found = timeout_at(deadline, NAMES.resolve(host)).await;
        let found = found.map_err(|_| ConnectFault::NameTimedOut)??;
        found.iter().map(|address| SocketAddr::new(*address, port)).collect()
    };
    timeout_at(deadline, first_of(addresses)).await.map_err(|_| ConnectFault::TimedOut)?
}

async fn first_of(addresses: Vec<SocketAddr>) -> Result<Reached, ConnectFault> {
    let (mut refused, mut first_fault) = (Vec::new(), None);
    let raced = race(addresses, open, |address, error| {
        let fault = cause(&error, address);
        if fault.shortage().is_some() {
            return ControlFlow::Break(fault);
        }
        if fault == ConnectFault::Refused {
            refused.push(address);
        }
        first_fault.get_or_insert(fault);
        ControlFlow::Continue(())
    });
    match raced.await {
        Some(Ok((address, stream))) => Ok(Reached { stream, address, refused }),
        Some(Err(shortage)) => Err(shortage),
        None => Err(first_fault.unwrap_or(ConnectFault::NameUnresolved)),
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A socket that takes neither is dead, and the first write says so.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE));
    Ok(stream)
}

fn cause(error: &io::Error, address: SocketAddr) -> ConnectFault {
    if let Some(shortage) = shortage(error) {
        return shortage;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectFault::Refused,
        io::ErrorKind::TimedOut => ConnectFault::TimedOut,
        // Either all ports are in use or this machine has no address of that kind.
        io::ErrorKind::AddrNotAvailable if has_own_address(address) => ConnectFault::NoPorts,
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable => ConnectFault::Unreachable,
        _ => ConnectFault::Unknown,
    }
}

/// What the process or the machine is out of, if that is what an error says.
pub(super) fn shortage(error: &io::Error) -> Option<ConnectFault> {
    use rustix::io::Errno;
    if descriptors::are_used_up(error) {
        return Some(ConnectFault::NoDescriptors);
    }
    match Errno::from_io_error(error)? {
        Errno::NOMEM | Errno::NOBUFS => Some(ConnectFault::NoMemory),
        // Linux says so of a range of ports that is used up toward one address.
        Errno::ADDRINUSE | Errno::AGAIN => Some(ConnectFault::NoPorts),
        _ => None,
    }
}

/// Whether this machine has an address from which `address` can be asked.
fn has_own_address(address: SocketAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(errno: rustix::io::Errno) -> io::Error {
        errno.into()
    }

    #[test]
    fn what_is_wrong_here_is_told_from_what_is_wrong_there() {
        use rustix::io::Errno;
        let there = SocketAddr::from(([127, 0, 0, 1], 9));
        for (error, expected) in [
            (Errno::MFILE, ConnectFault::NoDescriptors),
            (Errno::NFILE, ConnectFault::NoDescriptors),
            (Errno::NOMEM, ConnectFault::NoMemory),
            (Errno::NOBUFS, ConnectFault::NoMemory),
            (Errno::ADDRNOTAVAIL, ConnectFault::NoPorts),
            (Errno::CONNREFUSED, ConnectFault::Refused),
            (Errno::NETUNREACH, ConnectFault::Unreachable),
            (Errno::HOSTUNREACH, ConnectFault::Unreachable),
            (Errno::TIMEDOUT, ConnectFault::TimedOut),
            (Errno::CONNRESET, ConnectFault::Unknown),
        ] {
            assert_eq!(cause(&errno(error), there), expected, "{error:?}");
        }
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_left_for_the_next_at_once() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let well = listener.local_addr().unwrap();
        // Nobody listens there, and nobody will: the port is taken by one who does not.
        let taken = tokio::net::TcpSocket::new_v4().unwrap();
        taken.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let refusing = taken.local_addr().unwrap();
        let reached = first_of(vec![refusing, well]).await.unwrap();
        assert_eq!((reached.address, reached.refused), (well, vec![refusing]));
        assert_eq!(first_of(vec![refusing]).await.err(), Some(ConnectFault::Refused));
    }
}

//! Both connections of a websocket that is relayed, in the hands of the shell.

use std::fmt;
use std::io;
use std::pin::Pin;

use futures_util::io::{AsyncRead, AsyncWrite};

/// One side's connection, in the hands of the shell.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub type Connection = Box<dyn Duplex>;

/// A connection that is handed over soon.
pub type Opening = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

/// Both sides of a session.
pub struct Tunnel {
    /// Free once the client has its answer.
    pub client: Opening,
    pub upstream: Opening,
    /// The process is to end.
    pub going_away: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

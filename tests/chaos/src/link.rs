//! A TCP proxy in front of a part: it can cut, hold, lose or delay what it carries, or be gone.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The faults at the moment.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Count of resets of all connections.
    cuts: u64,
    /// Count of losses: connections from before one lose all bytes for ever, and nobody is told.
    losses: u64,
    /// Bytes wait.
    holds: bool,
    /// New connections lose all bytes for ever.
    swallows: bool,
    /// Nobody listens.
    is_gone: bool,
    /// Of each piece.
    delay: Duration,
}

/// Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    _tasks: JoinSet<()>,
}

impl Link {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), to).await
    }

    /// Listens at `address`.
    pub(crate) async fn at(address: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, to, state.subscribe()));
        Self { address, state, _tasks: tasks }
    }

    /// Resets all connections.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Keeps bytes back while `holds`, and loses none.
    pub(crate) fn hold(&self, holds: bool) {
        self.state.send_modify(|state| state.holds = holds);
    }

    /// Loses all bytes of the connections there are, for ever, and of those that come while `swallows`.
    pub(crate) fn swallow(&self, swallows: bool) {
        self.state.send_modify(|state| {
            state.losses += u64::from(swallows);
            state.swallows = swallows;
        });
    }

    /// Delays each piece.
    pub(crate) fn slow(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Resets all connections, and refuses new ones while `is_gone`.
    pub(crate) fn vanish(&self, is_gone: bool) {
        self.state.send_modify(|state| {
            state.cuts += u64::from(is_gone);
            state.is_gone = is_gone;
        });
    }
}

async fn listen(listener: TcpListener, to: SocketAddr, mut state: watch::Receiver<State>) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        if state.borrow_and_update().is_gone {
            listener = None;
            if state.wait_for(|state| !state.is_gone).await.is_err() {
                return;
            }
        }
        let open = match listener.take() {
            Some(open) => open,
            None => TcpListener::bind(address).await.unwrap(),
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((stream, _)) = accepted {
                while connections.try_join_next().is_some() {}
                connections.spawn(carry(stream, to, state.clone()));
            },
            changed = state.changed() => if changed.is_err() { return },
        }
        listener = Some(open);
    }
}

async fn carry(mut client: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let born = *state.borrow();
    let is_cut = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = pass(from_client, to_server, born, state.clone());
        let back = pass(from_server, to_client, born, state.clone());
        tokio::select! {
            _ = async { tokio::join!(there, back) } => false,
            _ = state.wait_for(|state| state.cuts > born.cuts) => true,
        }
    };
    if is_cut {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, born: State, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let now = match state.wait_for(|state| !state.holds).await {
            Ok(now) => *now,
            Err(_) => return,
        };
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        // A connection that was born into the hole stays there.
        if born.swallows || state.borrow().losses > born.losses {
            continue;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

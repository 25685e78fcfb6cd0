//! A name server for one name, on an address of its own. It needs port 53: that is where resolvers of systems look.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug)]
struct State {
    name: &'static str,
    address: Ipv4Addr,
    /// Questions wait.
    holds: bool,
    /// Questions are lost.
    is_silent: bool,
    /// Its port is closed.
    is_gone: bool,
    delay: Duration,
}

/// Dropped, it ends.
#[derive(Debug)]
pub struct Resolver {
    /// In place of `/etc/resolv.conf`.
    pub file: PathBuf,
    state: watch::Sender<State>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

impl Resolver {
    /// Says that `name` is at `address`, and nothing of any other.
    pub fn start(name: &'static str, address: Ipv4Addr) -> Self {
        let socket = bind_somewhere();
        let at = socket.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        std::fs::write(&file, format!("nameserver {}\n", at.ip())).unwrap();
        let state =
            State { name, address, holds: false, is_silent: false, is_gone: false, delay: Duration::ZERO };
        let state = watch::Sender::new(state);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(socket, at, state.subscribe()));
        Self { file, state, _tasks: tasks, _folder: folder }
    }

    /// From now on the name is at `address`.
    pub fn move_to(&self, address: Ipv4Addr) {
        self.state.send_modify(|state| state.address = address);
    }

    /// Questions wait, until it is told otherwise.
    pub fn hold(&self, holds: bool) {
        self.state.send_modify(|state| state.holds = holds);
    }

    /// Questions are lost.
    pub fn silence(&self, is_silent: bool) {
        self.state.send_modify(|state| state.is_silent = is_silent);
    }

    /// Its port is closed.
    pub fn vanish(&self, is_gone: bool) {
        self.state.send_modify(|state| state.is_gone = is_gone);
    }

    /// It answers so much later.
    pub fn slow(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }
}

/// One of loopback's many addresses.
fn bind_somewhere() -> UdpSocket {
    for number in 1..=250 {
        match UdpSocket::bind((Ipv4Addr::new(127, 53, 0, number), 53)) {
            Ok(socket) => return socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => panic!(
                "no name server on port 53: {error}. Run it as root, or let everyone: \
                 `sysctl -w net.ipv4.ip_unprivileged_port_start=53`"
            ),
        }
    }
    panic!("250 name servers run already")
}

async fn serve(socket: UdpSocket, at: SocketAddr, mut state: watch::Receiver<State>) {
    let mut bound = Some(socket);
    while state.wait_for(|state| !state.is_gone).await.is_ok() {
        let socket = bound.take().unwrap_or_else(|| UdpSocket::bind(at).unwrap());
        socket.set_nonblocking(true).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        // Its questions end with it.
        tokio::select! {
            never = hear(&socket, &state) => match never {},
            _ = async { state.clone().wait_for(|state| state.is_gone).await.map(|_| ()) } => {}
        }
    }
}

async fn hear(socket: &tokio::net::UdpSocket, state: &watch::Receiver<State>) -> std::convert::Infallible {
    let (mut answers, mut question) = (FuturesUnordered::new(), [0; 1500]);
    loop {
        tokio::select! {
            received = socket.recv_from(&mut question) => if let Ok((length, from)) = received {
                answers.push(answer(socket, question[..length].to_vec(), from, state.clone()));
            },
            Some(()) = answers.next() => {}
        }
    }
}

async fn answer(
    socket: &tokio::net::UdpSocket,
    question: Vec<u8>,
    from: SocketAddr,
    mut state: watch::Receiver<State>,
) {
    let Ok(now) = state.wait_for(|state| !state.holds).await.map(|now| *now) else { return };
    if now.is_silent {
        return;
    }
    tokio::time::sleep(now.delay).await;
    if let Some(reply) = reply(&question, now.name, now.address) {
        let _ = socket.send_to(&reply, from).await;
    }
}

/// The one address of the one name; nothing of anything else.
fn reply(question: &[u8], name: &str, address: Ipv4Addr) -> Option<Vec<u8>> {
    let asked = Packet::parse(question).ok()?;
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    for question in &asked.questions {
        if question.qname.to_string() == name && question.qtype == QTYPE::TYPE(TYPE::A) {
            let data = RData::A(A { address: address.into() });
            reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, 1, data));
        }
        reply.questions.push(question.clone());
    }
    reply.build_bytes_vec().ok()
}

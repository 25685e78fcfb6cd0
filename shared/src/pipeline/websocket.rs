//! What comes behind a handshake: bytes both ways until one side is done, or a bound is reached. They go on as they
//! are; frames of the gateway's own are close frames, which stand between two frames of a peer.

use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, join, select};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::config::WebSocket;
use crate::dialect::openai::realtime::Reader;
use crate::ledger::record::{self, Ending};
use crate::limits::concurrency::Slot;
use crate::pipeline::accounting::Trail;
use crate::pipeline::accounting::task::{Session, Settlement, Task};
use crate::pipeline::answer_stream::websocket::{Bounds, Open};
use crate::platform::Platform;
use crate::telemetry::event::Event;
use crate::time::Instant;
use crate::wire::websocket::frames::{Frames, NO_CODE, TooLarge, close_frame};
use crate::wire::websocket::tunnel::{Connection, Tunnel};

/// For both connections to be handed over, once the handshake is done.
const HAND_OVER: Duration = Duration::from_secs(10);

/// For a side to answer the close frame of the other.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// For the rest of a frame, and for a close frame behind it, when the gateway ends the session.
const GOODBYE: Duration = Duration::from_secs(2);

/// For the peers to close their connections behind that: a connection that is dropped with bytes unread is reset, and
/// what was sent last may be lost with it.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read at a time.
const PIECE: usize = 16 * 1024;

/// The settlement relays an open websocket to its end, and closes its books behind it. It holds its place among the calls
/// of the process; how long it does says nothing of other calls.
pub(super) fn open<P: Platform>(mut trail: Trail<P>, mut open: Box<Open<P>>) {
    let Some((send, books)) = trail.nest() else { return };
    trail.slot.iter_mut().chain(&mut open.slot).for_each(Slot::lasts);
    let platform = trail.platform.clone();
    // If nobody runs it, both connections are closed.
    let _ = send.send(Task::Session(Box::new(Session { platform, open, trail, books })));
}

impl<P: Platform> Session<P> {
    /// Relays to the end. Gives its books; by then they have been handed over.
    pub(crate) async fn run(self) -> Settlement<P> {
        let Self { platform, open, mut trail, books } = self;
        let Open { tunnel, bounds, permit, slot } = *open;
        let upstream = trail.record().map(|record| record.upstream.clone()).unwrap_or_default();
        let relay = Relay { platform: &platform, bounds, tally: Mutex::new(Tally::new(platform.now())) };
        let mut reader = Reader::default();
        let relayed = async {
            let _counted = Counted::new(platform.clone(), upstream);
            relay.run(tunnel, &mut reader).await
        };
        let ((), ending) = join(trail.tell_breakers(), relayed).await;
        let Tally { sent, received, code, .. } = *relay.tally();
        if let Some(record) = trail.record() {
            record.websocket = Some(record::Session { sent, received, code });
            record.usage = reader.total().unwrap_or(record.usage);
        }
        drop((permit, slot));
        trail.ended(ending, http::StatusCode::SWITCHING_PROTOCOLS.as_u16());
        books
    }
}

/// Counts a session for as long as it is open.
struct Counted<P: Platform> {
    platform: P,
    upstream: String,
}

impl<P: Platform> Counted<P> {
    fn new(platform: P, upstream: String) -> Self {
        platform.observe(Event::WebSocketOpened { upstream: &upstream });
        Self { platform, upstream }
    }
}

impl<P: Platform> Drop for Counted<P> {
    fn drop(&mut self) {
        self.platform.observe(Event::WebSocketClosed { upstream: &self.upstream });
    }
}

/// What went through.
#[derive(Clone, Copy, Debug)]
struct Tally {
    sent: u64,
    received: u64,
    last: Instant,
    /// The first that was said.
    code: Option<u16>,
}

impl Tally {
    fn new(now: Instant) -> Self {
        Self { sent: 0, received: 0, last: now, code: None }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToUpstream,
    ToClient,
}

/// A close frame of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Close {
    code: u16,
    reason: &'static str,
}

impl Close {
    const CLIENT_GONE: Self = Self { code: 1001, reason: "the client has gone" };
    const UPSTREAM_GONE: Self = Self { code: 1011, reason: "the upstream has gone without a close frame" };
    const TOO_LARGE: Self = Self { code: 1009, reason: "a message is larger than this gateway takes" };
    const IDLE: Self = Self { code: 1001, reason: "nothing was said for too long" };
    const EXPIRED: Self = Self { code: 1001, reason: "the session has lasted for as long as it may" };
    const GOING_AWAY: Self = Self { code: 1001, reason: "the gateway is going away" };

    /// In place of a side that does not answer `code`.
    const fn echo(code: u16) -> Self {
        Self { code: if code == NO_CODE { 1000 } else { code }, reason: "" }
    }
}

/// How one way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its sender has closed with this code.
    Closed(u16),
    /// Its sender has gone without a close frame; the receiver has heard so.
    Gone,
    /// Its receiver takes nothing more.
    Unheard,
    /// Its sender sends a message above the bound; the receiver has heard so.
    TooLarge,
    /// The gateway has closed it.
    Told,
}

/// What ends a session first.
enum First {
    Up(End),
    Down(End),
    Gateway(Ending, Close),
}

struct Relay<'a, P: Platform> {
    platform: &'a P,
    bounds: Bounds,
    tally: Mutex<Tally>,
}

impl<P: Platform> Relay<'_, P> {
    /// No step leaves it half changed, so a panic elsewhere does not spoil it.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, tunnel: Tunnel, reader: &mut Reader) -> Ending {
        let Tunnel { client, upstream, going_away } = tunnel;
        let both = select(join(client, upstream), self.platform.sleep(HAND_OVER)).await;
        match both {
            Either::Left(((Ok(client), Ok(upstream)), _)) => {
                self.relay(client, upstream, going_away, reader).await
            }
            Either::Left(((Ok(mut client), Err(_)), _)) => {
                self.part(&mut client, Way::ToClient, Close::UPSTREAM_GONE).await;
                Ending::Reset
            }
            Either::Left(((Err(_), Ok(mut upstream)), _)) => {
                self.part(&mut upstream, Way::ToUpstream, Close::CLIENT_GONE).await;
                Ending::ClientGone
            }
            Either::Left(((Err(_), Err(_)), _)) | Either::Right(_) => Ending::ClientGone,
        }
    }

    async fn relay(
        &self,
        client: Connection,
        upstream: Connection,
        going_away: impl Future<Output = ()> + Unpin,
        reader: &mut Reader,
    ) -> Ending {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_upstream, mut to_upstream) = upstream.split();
        let ending = {
            let ((tell_up, told_up), (tell_down, told_down)) = (oneshot::channel(), oneshot::channel());
            let mut up = pin!(self.pass(&mut from_client, &mut to_upstream, Way::ToUpstream, None, told_up));
            let mut down =
                pin!(self.pass(&mut from_upstream, &mut to_client, Way::ToClient, Some(reader), told_down));
            let bound = pin!(self.bound(going_away));
            let first = match select(select(up.as_mut(), down.as_mut()), bound).await {
                Either::Left((Either::Left((end, _)), _)) => First::Up(end),
                Either::Left((Either::Right((end, _)), _)) => First::Down(end),
                Either::Right(((ending, close), _)) => First::Gateway(ending, close),
            };
            match first {
                First::Up(End::Closed(code)) => {
                    self.hear_out(down, code, tell_down).await;
                    Ending::Complete
                }
                First::Down(End::Closed(code)) => {
                    self.hear_out(up, code, tell_up).await;
                    Ending::Complete
                }
                First::Up(End::Gone) => Ending::ClientGone,
                First::Down(End::Gone) => Ending::Reset,
                First::Up(End::Unheard) => {
                    self.tell(down, Close::UPSTREAM_GONE, tell_down).await;
                    Ending::Reset
                }
                First::Down(End::Unheard) => {
                    self.tell(up, Close::CLIENT_GONE, tell_up).await;
                    Ending::ClientGone
                }
                First::Up(End::TooLarge) => {
                    self.tell(down, Close::TOO_LARGE, tell_down).await;
                    Ending::MessageTooLarge
                }
                First::Down(End::TooLarge) => {
                    self.tell(up, Close::TOO_LARGE, tell_up).await;
                    Ending::MessageTooLarge
                }
                // Neither has been told anything.
                First::Up(End::Told) | First::Down(End::Told) => Ending::Complete,
                First::Gateway(ending, close) => {
                    join(self.tell(up, close, tell_up), self.tell(down, close, tell_down)).await;
                    ending
                }
            }
        };
        let leave = async {
            // They may be closed already.
            let _ = join(to_client.close(), to_upstream.close()).await;
            join(drain(&mut from_client), drain(&mut from_upstream)).await;
        };
        select(pin!(leave), self.platform.sleep(LINGER)).await;
        ending
    }

    /// Passes bytes one way to their end. Told to say goodbye, it passes the rest of a frame that has begun, and a close
    /// frame behind it.
    async fn pass(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        way: Way,
        mut reader: Option<&mut Reader>,
        mut told: oneshot::Receiver<Close>,
    ) -> End {
        let mut frames = Frames::new(self.bounds.message);
        let (mut piece, mut out) = (vec![0; PIECE], Vec::with_capacity(PIECE));
        let mut goodbye = None;
        loop {
            if let Some(close) = goodbye.filter(|_| frames.is_between()) {
                return if self.say(to, way, close).await { End::Told } else { End::Unheard };
            }
            let read = if goodbye.is_some() {
                from.read(&mut piece).await
            } else {
                match select(&mut told, from.read(&mut piece)).await {
                    Either::Left((Ok(close), _)) => {
                        goodbye = Some(close);
                        continue;
                    }
                    Either::Left((Err(_), read)) => read.await,
                    Either::Right((read, _)) => read,
                }
            };
            let Ok(read @ 1..) = read else {
                if frames.is_between() {
                    self.say(to, way, way.gone()).await;
                }
                return End::Gone;
            };
            out.clear();
            let mut end = None;
            let mut rest = &piece[..read];
            while !rest.is_empty() && end.is_none() {
                match frames.pass(rest, &mut out) {
                    Err(TooLarge) => end = Some(End::TooLarge),
                    Ok(passed) => {
                        rest = &rest[passed.taken..];
                        if let Some(reader) = &mut reader {
                            reader.see(passed.text);
                            if passed.ends_text {
                                reader.end();
                            }
                        }
                        end = frames.closed().map(End::Closed);
                    }
                }
                if goodbye.is_some() && frames.is_between() {
                    break;
                }
            }
            self.count(way, out.len());
            if to.write_all(&out).await.is_err() || to.flush().await.is_err() {
                return End::Unheard;
            }
            match end {
                None => {}
                Some(End::TooLarge) => {
                    self.say(to, way, Close::TOO_LARGE).await;
                    return End::TooLarge;
                }
                Some(end) => {
                    self.note_code(frames.closed());
                    return end;
                }
            }
        }
    }

    /// Until the session has been silent, or has lasted, for as long as it may, or the process is to end.
    async fn bound(&self, going_away: impl Future<Output = ()> + Unpin) -> (Ending, Close) {
        let WebSocket { total, idle } = self.bounds.time;
        let deadline = self.platform.now().after(total);
        let watch = async {
            loop {
                let now = self.platform.now();
                let silent = self.tally().last.after(idle);
                if now >= deadline {
                    return (Ending::Expired, Close::EXPIRED);
                }
                if now >= silent {
                    return (Ending::Idle, Close::IDLE);
                }
                self.platform.sleep(silent.min(deadline).since(now)).await;
            }
        };
        match select(pin!(watch), going_away).await {
            Either::Left((bound, _)) => bound,
            Either::Right(_) => (Ending::GoingAway, Close::GOING_AWAY),
        }
    }

    /// Waits for a side to answer the other's close frame; where it does not, the gateway does.
    async fn hear_out(
        &self,
        mut way: Pin<&mut impl Future<Output = End>>,
        code: u16,
        tell: oneshot::Sender<Close>,
    ) {
        if let Either::Right(_) = select(way.as_mut(), self.platform.sleep(LAST_WORDS)).await {
            self.tell(way, Close::echo(code), tell).await;
        }
    }

    /// Has one way end with a close frame of the gateway's own.
    async fn tell(
        &self,
        way: Pin<&mut impl Future<Output = End>>,
        close: Close,
        tell: oneshot::Sender<Close>,
    ) {
        // It listens for as long as it has not ended.
        let _ = tell.send(close);
        select(way, self.platform.sleep(GOODBYE)).await;
    }

    /// Says so to the only side there is.
    async fn part(&self, to: &mut Connection, way: Way, close: Close) {
        let part = async {
            self.say(to, way, close).await;
            let _ = to.close().await;
            drain(to).await;
        };
        select(pin!(part), self.platform.sleep(LINGER)).await;
    }

    /// Sends a close frame. Gives whether it could be sent.
    async fn say(&self, to: &mut (impl AsyncWrite + Unpin), way: Way, close: Close) -> bool {
        let mask = match way {
            Way::ToClient => None,
            Way::ToUpstream => {
                let [.., a, b, c, d] = self.platform.roll().to_be_bytes();
                Some([a, b, c, d])
            }
        };
        self.note_code(Some(close.code));
        let frame = close_frame(close.code, close.reason, mask);
        to.write_all(&frame).await.is_ok() && to.flush().await.is_ok()
    }

    fn note_code(&self, code: Option<u16>) {
        let mut tally = self.tally();
        tally.code = tally.code.or(code);
    }

    fn count(&self, way: Way, bytes: usize) {
        let now = self.platform.now();
        let mut tally = self.tally();
        tally.last = now;
        match way {
            Way::ToUpstream => tally.sent += bytes as u64,
            Way::ToClient => tally.received += bytes as u64,
        }
    }
}

impl Way {
    /// What the receiver is told when the sender goes without a word.
    const fn gone(self) -> Close {
        match self {
            Self::ToUpstream => Close::CLIENT_GONE,
            Self::ToClient => Close::UPSTREAM_GONE,
        }
    }
}

/// Reads to the end, whatever comes.
async fn drain(from: &mut (impl AsyncRead + Unpin)) {
    let mut piece = vec![0; 1024];
    while let Ok(1..) = from.read(&mut piece).await {}
}

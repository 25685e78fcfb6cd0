//! One request, polled by hand from its first poll to its last, or to where its client leaves.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use weir::time::Instant;
use weir::{Body, Config, handle};

use crate::flow::Flow;
use crate::shell::Shell;

/// A client, and the books of its request.
pub struct Visit {
    shell: Shell,
    client: Client,
    settlement: Option<Pin<Box<dyn Future<Output = ()>>>>,
    alarm: Arc<Alarm>,
    reply: Reply,
    /// Bytes of the answer that the client has.
    seen: usize,
}

enum Client {
    Waiting(Pin<Box<dyn Future<Output = Response<Body<Shell>>>>>),
    Reading(Body<Shell>),
    Gone,
}

/// What a client has seen.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// 0 until there is a head.
    pub status: u16,
    pub headers: HeaderMap,
    pub chunks: Vec<Bytes>,
    /// The connection was cut.
    pub is_aborted: bool,
    /// When the head came, the first byte, and the end.
    pub head_at: Instant,
    pub first_at: Option<Instant>,
    pub end_at: Instant,
    /// The most that the core held of an answer at a time, in bytes.
    pub held: usize,
}

/// What one poll has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Moved,
    /// Nothing, and nothing will happen before the clock moves.
    Stalled,
    /// The client has its answer, or is gone.
    Over,
}

#[derive(Debug, Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("reply", &self.reply).finish_non_exhaustive()
    }
}

/// A whole visit, its books closed.
pub fn exchange(shell: &Shell, config: &Arc<Config>, request: Request<Flow>) -> Reply {
    let mut visit = Visit::new(shell, config, request);
    visit.read_on();
    visit.settle();
    visit.reply
}

impl Visit {
    pub fn new(shell: &Shell, config: &Arc<Config>, request: Request<Flow>) -> Self {
        let (answer, settlement) = handle(shell, config.clone(), request);
        Self {
            shell: shell.clone(),
            client: Client::Waiting(Box::pin(answer)),
            settlement: Some(Box::pin(settlement.run())),
            alarm: Arc::default(),
            reply: Reply::default(),
            seen: 0,
        }
    }

    pub fn reply(&self) -> &Reply {
        &self.reply
    }

    /// The client is through or gone, and the books are closed.
    pub fn is_over(&self) -> bool {
        matches!(self.client, Client::Gone) && self.settlement.is_none()
    }

    /// Polls the client's side once.
    pub fn poll_client(&mut self) -> Step {
        self.alarm.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.alarm.clone());
        let cx = &mut Context::from_waker(&waker);
        let now = self.shell.clock().now();
        let step = match &mut self.client {
            Client::Gone => return Step::Over,
            Client::Waiting(answer) => answer.as_mut().poll(cx).map(|response| {
                let (head, body) = response.into_parts();
                self.reply.status = head.status.as_u16();
                self.reply.headers = head.headers;
                self.reply.head_at = now;
                self.client = Client::Reading(body);
                Step::Moved
            }),
            Client::Reading(body) => Pin::new(body).poll_frame(cx).map(|frame| {
                self.reply.end_at = now;
                match frame {
                    Some(Ok(frame)) => {
                        self.reply.first_at.get_or_insert(now);
                        let chunk = frame.into_data().unwrap_or_default();
                        self.seen += chunk.len();
                        self.reply.chunks.push(chunk);
                        return Step::Moved;
                    }
                    Some(Err(weir::Aborted)) => self.reply.is_aborted = true,
                    None => {}
                }
                self.client = Client::Gone;
                Step::Over
            }),
        };
        self.reply.held = self.reply.held.max(self.shell.handed().saturating_sub(self.seen));
        match step {
            Poll::Ready(step) => step,
            Poll::Pending => {
                if self.shell.shares() && !matches!(self.client, Client::Gone) {
                    // It may be the one that makes the call.
                    if self
                        .settlement
                        .as_mut()
                        .is_some_and(|settlement| settlement.as_mut().poll(cx).is_ready())
                    {
                        self.settlement = None;
                    }
                }
                if self.alarm.0.load(Ordering::Relaxed) { Step::Moved } else { Step::Stalled }
            }
        }
    }

    /// Reads to the end, the clock moving whenever nothing else does.
    pub fn read_on(&mut self) {
        loop {
            match self.poll_client() {
                Step::Moved => {}
                Step::Stalled => self.wait(),
                Step::Over => return,
            }
        }
    }

    /// Moves the clock to the next thing that is due.
    pub fn wait(&mut self) {
        assert!(self.shell.clock().advance(), "waits for nothing: {self:?}");
    }

    /// The client leaves: whatever it held is dropped.
    pub fn leave(&mut self) {
        self.client = Client::Gone;
    }

    /// Polls the settlement once, if there is one left to poll.
    pub fn poll_settlement(&mut self) -> Step {
        self.alarm.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.alarm.clone());
        let Some(settlement) = &mut self.settlement else { return Step::Over };
        if settlement.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.settlement = None;
            return Step::Over;
        }
        if self.alarm.0.load(Ordering::Relaxed) { Step::Moved } else { Step::Stalled }
    }

    /// Runs the settlement to its end. The client must be through, or gone.
    pub fn settle(&mut self) {
        loop {
            match self.poll_settlement() {
                Step::Moved => {}
                Step::Stalled => self.wait(),
                Step::Over => return,
            }
        }
    }
}

impl Reply {
    pub fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    /// What is no UTF-8 shows as such.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }

    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

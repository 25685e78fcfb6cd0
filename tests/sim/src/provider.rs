//! The upstreams, and their own account of each call: when it came, what became of it, what it used.

mod download;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use weir::dialect::endpoint::Form;
use weir::ledger::connect_fault::ConnectFault;
use weir::limits::concurrency::Bound;
use weir::routing::upstream::dispatch::SendFault;

pub(crate) use self::download::Download;
use crate::order::Purpose;
use crate::paper::{Paper, Reader, Reports};
use crate::plan::{Kind, NARROW, WIDEST};
use crate::setup::{ATTEMPTS, UPSTREAMS};
use crate::store::away;
use crate::weather::{Fate, Turn, fate};
use crate::world::World;

/// A fault that a script puts into the shell.
#[derive(Debug)]
pub(crate) struct Scripted;

/// One call, as its upstream sees it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: usize,
    pub(crate) upstream: &'static str,
    /// Whose it is, by the trace it names.
    pub(crate) request: usize,
    /// Which replica it came from, and in which of its lives.
    pub(crate) replica: (usize, u32),
    pub(crate) fate: Fate,
    /// What it answers, if it does.
    pub(crate) paper: Option<Paper>,
    /// Bytes of the answer that were taken.
    pub(crate) handed: usize,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// All of a good answer was taken.
    Complete,
    /// It failed, as its fate wanted it.
    Failed,
    /// The gateway let go of it first.
    Cancelled,
}

impl Call {
    pub(crate) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Tokens of the answer that were taken, event by event.
    pub(crate) fn tokens_taken(&self) -> u64 {
        let Some(paper) = self.paper else { return 0 };
        let mut end = 0;
        let ends = paper.events(Reader::Gateway).into_iter().map(|event| {
            end += event.len();
            end
        });
        let taken = ends.take_while(|end| *end <= self.handed).count() as u64;
        taken.min(paper.tokens)
    }
}

/// The account of all calls.
#[derive(Debug, Default)]
pub(crate) struct Calls(RefCell<Vec<Call>>);

impl Calls {
    pub(crate) fn get(&self, number: usize) -> Option<Call> {
        self.0.borrow().get(number).cloned()
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.0.borrow_mut().get_mut(number) {
            change(call);
        }
    }

    /// How many are open at an upstream, from one life of a replica or from all.
    pub(crate) fn open(&self, upstream: &str, replica: Option<(usize, u32)>) -> usize {
        let calls = self.0.borrow();
        let open = calls.iter().filter(|call| call.upstream == upstream && call.state == State::Open);
        open.filter(|call| replica.is_none_or(|replica| call.replica == replica)).count()
    }
}

/// A call is made; the upstream decides what becomes of it.
pub(crate) async fn call(
    world: &Rc<World>,
    replica: (usize, u32),
    upstream: &str,
    request: http::Request<Bytes>,
) -> Result<http::Response<Download>, SendFault> {
    let Some(place) = UPSTREAMS.iter().position(|name| *name == upstream) else {
        world.judge.broken(3, format!("there is no upstream {upstream}"));
        return Err(SendFault::Connect(ConnectFault::Refused));
    };
    let number = arrive(world, place, replica, &request);
    let presence = Presence { world: Rc::clone(world), number };
    let Some(Call { fate, paper, .. }) = world.calls.get(number) else {
        return Err(SendFault::Connect(ConnectFault::Refused));
    };
    let provider = &world.plan.upstreams[place];
    away().await;
    let status = |code: u16, kind: &'static str| {
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
        head.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        head
    };
    let error = Bytes::from_static(
        br#"{"error":{"message":"no","type":"some_error","param":null,"code":"some_code"}}"#,
    );
    let load = u32::try_from(world.calls.open(upstream, None)).unwrap_or(1).max(1);
    let lag = provider.lag + provider.lag * load / u32::try_from(provider.capacity.max(1)).unwrap_or(1);
    match fate {
        Fate::Refused => Err(presence.fails(SendFault::Connect(ConnectFault::Refused))),
        Fate::Unreachable => {
            world.clock.sleep(Duration::from_secs(1)).await;
            Err(presence.fails(SendFault::ConnectTimeout))
        }
        Fate::Broken => {
            world.clock.sleep(lag).await;
            Err(presence.fails(SendFault::Broken))
        }
        Fate::Silent => std::future::pending().await,
        Fate::Panics => {
            world.clock.sleep(lag).await;
            std::panic::resume_unwind(Box::new(Scripted))
        }
        Fate::Status { code, retry_after } => {
            world.clock.sleep(lag).await;
            let mut head = status(code, "application/json");
            if let Some(seconds) = retry_after {
                head.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
            }
            Ok(head.map(|()| Download::bad(presence, error)))
        }
        Fate::Html => {
            world.clock.sleep(lag).await;
            let page = Bytes::from_static(b"<html>busy</html>");
            Ok(status(200, "text/html").map(|()| Download::bad(presence, page)))
        }
        Fate::ErrorBody => {
            world.clock.sleep(lag).await;
            Ok(status(200, "application/json").map(|()| Download::bad(presence, error)))
        }
        Fate::Answer(turn) => {
            world.clock.sleep(lag).await;
            let Some(paper) = paper else { return Err(SendFault::Broken) };
            let kind = match paper.form {
                Form::Whole => "application/json",
                Form::Events => "text/event-stream",
            };
            let gap = provider.gap;
            Ok(status(200, kind).map(|()| Download::answer(presence, paper, turn, gap)))
        }
    }
}

/// The call is written down, and judged: may it be here at all?
fn arrive(world: &Rc<World>, place: usize, replica: (usize, u32), request: &http::Request<Bytes>) -> usize {
    let (upstream, provider) = (UPSTREAMS[place], &world.plan.upstreams[place]);
    let number = world.calls.0.borrow().len();
    let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let owner = trace.and_then(|text| usize::from_str_radix(text.get(3..35)?, 16).ok()?.checked_sub(1));
    let owner = owner.unwrap_or_else(|| {
        world.judge.broken(4, "a call names no request that was made");
        world.current()
    });
    judge_call(world, upstream, replica, owner);
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let form = if body.contains("\"stream\":true") { Form::Events } else { Form::Whole };
    let reports = match form {
        Form::Events if !body.contains("\"include_usage\":true") => Reports::Nothing,
        Form::Events | Form::Whole => provider.reports,
    };
    let is_full = world.calls.open(upstream, None) >= provider.capacity;
    let mut fate = fate(&provider.spells, world.elapsed(), &world.dice);
    let purpose = world.request(owner).arrival.purpose;
    if is_full && purpose == Purpose::Storm {
        let too_many = Fate::Status { code: 429, retry_after: Some(1) };
        fate = world.dice.pick(&[too_many, Fate::Status { code: 503, retry_after: None }]);
    }
    if let (Form::Whole, Fate::Answer(Turn::Errs | Turn::Garbles)) = (form, &fate) {
        fate = Fate::ErrorBody;
    }
    let (width, tokens) = match (purpose, world.plan.width) {
        (Purpose::Storm, WIDEST) => (WIDEST, world.dice.between(40, 60)),
        (Purpose::Storm, width) => (width, world.dice.between(1, 40)),
        (Purpose::Calm | Purpose::Proof, _) => (NARROW, world.dice.between(1, 5)),
    };
    let paper = Paper { call: number, form, tokens, width, reports };
    let paper = matches!(fate, Fate::Answer(_)).then_some(paper);
    world.judge.note(|| format!("call {number} of request {owner} at {upstream}: {fate:?}"));
    let state = State::Open;
    let call = Call { number, upstream, request: owner, replica, fate, paper, handed: 0, state };
    world.calls.0.borrow_mut().push(call);
    world.request_mut(owner).calls.push(number);
    world.count(|tally| tally.calls += 1);
    number
}

fn judge_call(world: &World, upstream: &str, replica: (usize, u32), owner: usize) {
    let request = world.request(owner);
    let attempts = request.calls.len();
    if attempts >= ATTEMPTS as usize {
        world.judge.broken(3, format!("request {owner} is tried {} times", attempts + 1));
    }
    if attempts > request.granted as usize {
        world.judge.broken(3, format!("request {owner} is tried again, and no retry was granted"));
    }
    if world.now() >= request.deadline() {
        world.judge.broken(3, format!("request {owner} is tried behind its deadline"));
    }
    if request.reservations.is_empty() {
        world.judge.broken(1, format!("request {owner} was not admitted, and goes upstream"));
    }
    if request.tokens == 0 {
        world.judge.broken(1, format!("request {owner} goes upstream, and no tokens are reserved"));
    }
    let breaker = format!("{upstream}/{}", request.order().model);
    match request.gates.get(&breaker) {
        None | Some(weir::routing::breaker::Gate::Closed) => {}
        Some(weir::routing::breaker::Gate::HalfOpen) if request.leases.contains(&breaker) => {}
        Some(gate) => {
            world.judge.broken(2, format!("request {owner} goes to {upstream}, whose breaker is {gate:?}"));
        }
    }
    let config = world.plan.config.upstreams.iter().find(|known| known.name == upstream);
    let bound = config.and_then(|config| config.concurrency).map(|concurrency| concurrency.bound);
    if let (Some(Bound::Fixed(bound)), Kind::Server) = (bound, world.plan.replicas[replica.0]) {
        let open = world.calls.open(upstream, Some(replica));
        if open >= bound as usize {
            let text = format!("{} calls from one replica at {upstream}, which takes {bound}", open + 1);
            world.judge.broken(5, text);
        }
    }
}

/// An open call: dropped before its end, it was cancelled.
#[derive(Debug)]
struct Presence {
    world: Rc<World>,
    number: usize,
}

impl Presence {
    fn ends(&self, state: State) {
        self.world.calls.change(self.number, |call| {
            if call.state == State::Open {
                call.state = state;
            }
        });
    }

    fn fails(self, fault: SendFault) -> SendFault {
        self.ends(State::Failed);
        fault
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.ends(State::Cancelled);
    }
}

//! An upstream's answer on its way to the gateway: in pieces, and to whatever end its fate wants.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use weir::dialect::endpoint::Form;
use weir::wire::upload::Broken;
use weir_portability::Sleep;

use super::{Presence, Scripted, State};
use crate::order::Order;
use crate::paper::{Paper, Reader};
use crate::plan::Kind;
use crate::request::Fate as RequestFate;
use crate::weather::Turn;
use crate::world::World;

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Download {
    presence: Presence,
    pieces: VecDeque<Bytes>,
    gap: Duration,
    pause: Option<Sleep>,
    end: End,
}

/// What is behind the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The end of the transport; the answer is good.
    Good,
    /// Nothing; the answer is good.
    GoodAndOpen,
    /// The end of the transport; the answer is not.
    Bad,
    Reset,
    Silence,
    Panic,
    Over,
}

impl Download {
    /// An answer that is none.
    pub(super) fn bad(presence: Presence, body: Bytes) -> Self {
        let pieces = VecDeque::from([body]);
        Self { presence, pieces, gap: Duration::ZERO, pause: None, end: End::Bad }
    }

    pub(super) fn answer(presence: Presence, paper: Paper, turn: Turn, gap: Duration) -> Self {
        let world = Rc::clone(&presence.world);
        let (mut events, extra) = match paper.form {
            Form::Whole => (vec![paper.whole()], None),
            Form::Events => {
                let events = paper.events(Reader::Gateway).into_iter().map(Bytes::from).collect();
                let extra = match turn {
                    Turn::Errs => {
                        Some("data: {\"error\":{\"message\":\"sorry\",\"type\":\"server_error\"}}\n\n")
                    }
                    Turn::Garbles => Some("data: {not json\n\n"),
                    Turn::Good
                    | Turn::Lingers
                    | Turn::Truncated
                    | Turn::Reset
                    | Turn::Stalls
                    | Turn::Panics => None,
                };
                (events, extra)
            }
        };
        let end = match turn {
            Turn::Good => End::Good,
            // Nothing but the transport says that a whole body is complete.
            Turn::Lingers if paper.form == Form::Whole => End::Good,
            Turn::Lingers => End::GoodAndOpen,
            Turn::Truncated | Turn::Errs | Turn::Garbles => End::Bad,
            Turn::Reset => End::Reset,
            Turn::Stalls => End::Silence,
            Turn::Panics => End::Panic,
        };
        if !matches!(end, End::Good | End::GoodAndOpen) {
            cut(&mut events, paper.form, &world);
        }
        events.extend(extra.map(|text: &'static str| Bytes::from_static(text.as_bytes())));
        let pieces = pieces(&events, &world);
        Self { presence, pieces, gap, pause: None, end }
    }
}

/// Something is missing at the end, wherever that is.
fn cut(events: &mut Vec<Bytes>, form: Form, world: &World) {
    match form {
        Form::Whole => {
            if let Some(body) = events.first_mut() {
                let most = body.len().saturating_sub(1);
                body.truncate(world.dice.index(most));
            }
        }
        Form::Events => events.truncate(world.dice.index(events.len())),
    }
}

/// As the transport delivers them: event by event, all at once, or cut anywhere.
fn pieces(events: &[Bytes], world: &World) -> VecDeque<Bytes> {
    let all = Bytes::from(events.concat());
    let is_narrow = events.iter().all(|event| event.len() < 500);
    match world.dice.between(0, 3) {
        0 if is_narrow => VecDeque::from([all]),
        1 if is_narrow => {
            let (mut rest, mut pieces) = (all, VecDeque::new());
            while !rest.is_empty() {
                let most = rest.len().min(200);
                pieces.push_back(rest.split_to(1 + world.dice.index(most)));
            }
            pieces
        }
        _ => events.iter().filter(|event| !event.is_empty()).cloned().collect(),
    }
}

impl Stream for Download {
    type Item = Result<Bytes, Broken>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let world = Rc::clone(&this.presence.world);
        if this.end == End::Over {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut this.pause {
            ready!(Pin::new(pause).poll(cx));
            this.pause = None;
        }
        if let Some(piece) = this.pieces.pop_front() {
            world.calls.change(this.presence.number, |call| call.handed += piece.len());
            if this.pieces.is_empty() && matches!(this.end, End::Good | End::GoodAndOpen) {
                this.presence.ends(State::Complete);
            }
            if !this.gap.is_zero() {
                this.pause = Some(world.clock.sleep(this.gap));
            }
            judge_held(&world, this.presence.number);
            return Poll::Ready(Some(Ok(piece)));
        }
        let last = match this.end {
            End::Silence | End::GoodAndOpen => return Poll::Pending,
            End::Panic => {
                this.presence.ends(State::Failed);
                std::panic::resume_unwind(Box::new(Scripted))
            }
            End::Good | End::Bad | End::Over => None,
            End::Reset => Some(Err(Broken)),
        };
        this.presence.ends(State::Failed);
        this.end = End::Over;
        Poll::Ready(last)
    }
}

/// Held back before the first content; beside it, one piece.
const HELD_ALONE: usize = 64 << 10;

/// Held for whoever comes later, and for the slowest.
const HELD_SHARED: usize = (4 << 20) + (256 << 10);

/// What was taken from the upstream and not given to the client is bounded.
fn judge_held(world: &World, number: usize) {
    let Some(call) = world.calls.get(number) else { return };
    let Some(paper) = call.paper.filter(|paper| paper.form == Form::Events) else { return };
    let request = world.request(call.request);
    let order: &Order = request.order();
    let is_shared = world.plan.replicas[call.replica.0] == Kind::Server
        && (order.model == "kept" || order.repeat.is_some());
    let bound = if is_shared { HELD_SHARED } else { HELD_ALONE };
    // An event and what is around it, twice: the one that has come, and the one that is being read.
    let piece = 2 * (paper.width + 400);
    let held = call.handed.saturating_sub(request.received);
    // Who has left takes nothing more: what goes on is for others, or for the books.
    if held > bound + piece && request.fate == RequestFate::Ordinary {
        world.judge.broken(10, format!("{held} bytes of call {number} are held, of {bound} at most"));
    }
}

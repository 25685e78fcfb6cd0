//! What happens in the core that shells count and log.

use std::time::Duration;

use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::failure::Condition;
use crate::limits::concurrency::Why;
use crate::refusal::Refusal;
use crate::routing::breaker::control::Order;

/// What is counted.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request goes to an upstream.
    Started { upstream: &'a str },
    /// The first byte of an answer came, or the attempt failed.
    Answered { upstream: &'a str, after: Duration, failure: Option<Condition> },
    /// The upstream is done with it, or it was cancelled.
    Over { upstream: &'a str },
    /// A connection that had been used before was broken; the call goes out again on a fresh one, if it can.
    Stale { upstream: &'a str },
    /// The upstream has sent a request back that it had not looked at; it goes out again, if it can.
    Unprocessed { upstream: &'a str },
    /// No connection, or one that broke before the answer began.
    Unconnected { upstream: &'a str, cause: ConnectFault },
    /// A websocket to an upstream is open.
    WebSocketOpened { upstream: &'a str },
    /// It is no longer.
    WebSocketClosed { upstream: &'a str },
    /// The same upstream is asked once more.
    Retried { upstream: &'a str },
    /// The next candidate is asked.
    FellBack { route: &'a str, upstream: &'a str },
    /// A call had to wait for its turn.
    Queued { limiter: &'a str, waited: Duration },
    /// A call was turned away: too many were before it.
    Shed { limiter: &'a str, why: Why },
    /// A request was not admitted.
    Refused { request_id: &'a str, caller: &'a str, refusal: &'a Refusal },
    /// An operator, named by the key that was shown, gives an order. Should it not be taken, a refusal
    /// follows.
    Ordered { request_id: &'a str, who: &'static str, order: &'a Order },
}

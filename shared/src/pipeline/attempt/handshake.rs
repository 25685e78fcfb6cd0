//! An upstream's word on a handshake: the websocket is open, or it is refused as a call would be.

use http::{StatusCode, response};

use crate::ledger::failure::Condition;
use crate::pipeline::answer_stream::Permit;
use crate::pipeline::answer_stream::websocket::{Bounds, Open};
use crate::pipeline::attempt::Errand;
use crate::pipeline::attempt::answer::{Answer, dressed};
use crate::pipeline::attempt::error_body::ErrorBody;
use crate::pipeline::attempt::failure::Failure;
use crate::platform::Platform;
use crate::routing::breaker::Blame;
use crate::routing::upstream::Upstream;
use crate::wire::websocket;
use crate::wire::websocket::tunnel::Tunnel;

/// An upstream says that it speaks another protocol from here on.
pub(crate) const SWITCHED: &str = "it switched to another protocol than was asked for";

impl<P: Platform> Errand<'_, P> {
    pub(crate) fn switched(
        &self,
        mut head: response::Parts,
        tunnel: Tunnel,
        permit: Permit<P>,
        upstream: &Upstream,
    ) -> Result<Answer<P>, Box<Failure>> {
        if !websocket::is_switched(&head.headers) {
            return Err(Box::new(Failure::bad_answer(&head, SWITCHED)));
        }
        head = dressed(head, self.returned(upstream));
        websocket::tell_upgrade(&mut head.headers);
        let bounds = Bounds { time: self.config.server.websocket, message: self.config.server.max_event };
        Ok(Answer::Switched { head, open: Box::new(Open { tunnel, bounds, permit, slot: None }) })
    }

    /// An answer in place of a websocket. `models` are the names of the model here and at the upstream.
    pub(crate) fn refused(
        &self,
        head: &response::Parts,
        body: &ErrorBody,
        upstream: &Upstream,
        models: (&str, &str),
    ) -> Failure {
        if head.status.is_success() {
            return Failure::bad_answer(head, "it opened no websocket");
        }
        let failure = self.classify((head, body), upstream, models);
        // It may be about what else the query asks for.
        let is_forbidden =
            failure.condition == Some(Condition::Credentials) && head.status == StatusCode::FORBIDDEN;
        let blame = if is_forbidden { Blame::Nobody } else { failure.blame };
        Failure { blame, ..failure }
    }
}

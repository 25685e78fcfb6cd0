//! Whoever wants the answer of a flight.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::state::Heard;
use super::{End, Flight, Head};
use crate::ledger::explanation::Explanation;
use crate::refusal::Refusal;

/// One who listens; dropping it is leaving.
pub(crate) struct Listener {
    flight: Arc<Flight>,
    name: u64,
}

impl Listener {
    pub(super) fn first(flight: &Arc<Flight>) -> Self {
        let name = flight.state().sit();
        Self { flight: Arc::clone(flight), name }
    }

    pub(super) fn late(flight: &Arc<Flight>) -> Option<Self> {
        let name = flight.state().sit_late()?;
        Some(Self { flight: Arc::clone(flight), name })
    }

    /// One who wants nothing but the end, and holds nobody up.
    pub(crate) fn witness(&self) -> Self {
        let name = self.flight.state().sit_aside();
        Self { flight: Arc::clone(&self.flight), name }
    }

    /// How the answer ends; `None` when there is none.
    pub(crate) async fn over(&self) -> Option<End> {
        poll_fn(|cx| self.flight.change(|state| state.over(self.name, cx))).await
    }

    /// The beginning of the answer.
    pub(crate) async fn head(&self) -> Result<Arc<Head>, Refusal> {
        poll_fn(|cx| match self.flight.change(|state| state.head(self.name, cx)) {
            Some(head) => Poll::Ready(head),
            None => Poll::Pending,
        })
        .await
    }

    /// Why there is no answer, for whoever asked first.
    pub(crate) fn explanation(&self) -> Option<Explanation> {
        self.flight.state().explanation()
    }

    /// What comes next; not to be polled again behind an end.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        match self.flight.change(|state| state.next(self.name, cx)) {
            Some(heard) => Poll::Ready(heard),
            None => Poll::Pending,
        }
    }

    /// What is kept of an answer that came as a whole.
    pub(crate) fn end(&self) -> Option<End> {
        self.flight.state().ended()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.flight.change(|state| state.leave(self.name));
    }
}

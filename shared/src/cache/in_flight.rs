//! Calls in flight that identical ones share.
//!
//! One upstream call serves all who ask the same while it lasts: each listens to the growing answer from its
//! beginning. The call belongs to none of them. Its pilot makes it, run by the settlement of whoever asked
//! first, and it goes on while anyone still listens; whoever leaves just stops listening. When the last one has
//! gone the call is cancelled, unless it was to be finished in any case. An error is shared with those who waited
//! for it and with nobody who comes later.

mod follower;
mod head;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;

pub(crate) use self::follower::Listener;
pub(crate) use self::head::Head;
pub(crate) use self::state::Heard;
use self::state::State;
use crate::cache::Entry;
use crate::cache::fingerprint::Fingerprint;
use crate::ledger::explanation::Explanation;
use crate::ledger::record::Ending;
use crate::refusal::Refusal;

/// Bytes of answers in flight that are held for whoever comes later, all flights together. Beyond it each flight
/// holds only what somebody has still to read.
const MOST_HELD: usize = 256 << 20;

/// The flights of a process, by what they ask. A clone is another handle to them.
#[derive(Clone, Default)]
pub struct Flights(Arc<Register>);

#[derive(Default)]
struct Register {
    by_key: Mutex<BTreeMap<Fingerprint, Arc<Flight>>>,
    held: AtomicUsize,
}

struct Flight {
    register: Flights,
    keys: Vec<Fingerprint>,
    state: Mutex<State>,
}

/// What happens when nobody listens any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deserted {
    Cancel,
    Finish,
}

/// The end of an answer.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) ending: Ending,
    pub(crate) notice: Option<Bytes>,
    /// What may be kept of it.
    pub(crate) entry: Option<Arc<Entry>>,
}

/// Where a flight can be listened to, for whoever may want to some time.
pub(crate) struct Ear(Arc<Flight>);

/// Whoever makes the call, until its books are closed. Dropped before the end, it leaves those who listen with an error.
pub(crate) struct Pilot {
    flight: Arc<Flight>,
    deserted: Deserted,
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("flights", &self.0.flights().len()).finish_non_exhaustive()
    }
}

impl Register {
    /// No step leaves the map half changed.
    fn flights(&self) -> MutexGuard<'_, BTreeMap<Fingerprint, Arc<Flight>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flights {
    /// How many there are, by key.
    pub fn len(&self) -> usize {
        self.0.flights().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Listens to a flight under one of the keys, if there is one.
    pub(crate) fn join(&self, keys: &[Fingerprint]) -> Option<Listener> {
        join(&self.0.flights(), keys)
    }

    /// Begins a flight under all the keys, or listens to the one that is there already.
    pub(crate) fn begin(
        &self,
        keys: &[Fingerprint],
        deserted: Deserted,
    ) -> Result<(Pilot, Listener), Listener> {
        let mut flights = self.0.flights();
        if let Some(listener) = join(&flights, keys) {
            return Err(listener);
        }
        let flight = Arc::new(Flight {
            register: self.clone(),
            keys: keys.to_vec(),
            state: Mutex::new(State::default()),
        });
        flights.extend(keys.iter().map(|key| (*key, Arc::clone(&flight))));
        drop(flights);
        // Nobody can have closed it yet.
        let listener = Listener::first(&flight);
        Ok((Pilot { flight, deserted }, listener))
    }
}

fn join(flights: &BTreeMap<Fingerprint, Arc<Flight>>, keys: &[Fingerprint]) -> Option<Listener> {
    keys.iter().find_map(|key| Listener::late(flights.get(key)?))
}

impl Flight {
    /// No step leaves it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever asks from now on asks for itself.
    fn retire(self: &Arc<Self>) {
        let mut flights = self.register.0.flights();
        for key in &self.keys {
            if flights.get(key).is_some_and(|flight| Arc::ptr_eq(flight, self)) {
                flights.remove(key);
            }
        }
    }

    /// Changes the state, keeps count of what is held, and wakes whom it concerns, with no lock held.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.held();
        let result = change(&mut state);
        let (after, wakers) = (state.held(), state.take_wakers());
        drop(state);
        let held = &self.register.0.held;
        if after >= before {
            held.fetch_add(after - before, Ordering::Relaxed);
        } else {
            held.fetch_sub(before - after, Ordering::Relaxed);
        }
        wakers.into_iter().for_each(std::task::Waker::wake);
        result
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let held = self.state().held();
        self.register.0.held.fetch_sub(held, Ordering::Relaxed);
    }
}

impl Ear {
    /// From the beginning, if it can still be heard.
    pub(crate) fn listen(&self) -> Option<Listener> {
        Listener::late(&self.0)
    }
}

impl Pilot {
    pub(crate) fn ear(&self) -> Ear {
        Ear(Arc::clone(&self.flight))
    }

    /// A flight that nobody can join or hear.
    pub(crate) fn alone() -> Self {
        let flight =
            Flight { register: Flights::default(), keys: Vec::new(), state: Mutex::new(State::default()) };
        Self { flight: Arc::new(flight), deserted: Deserted::Finish }
    }

    /// Whether whoever asked first has stopped listening; a flight that nobody can hear leaves nobody waiting.
    pub(crate) fn is_left_by_first(&self) -> bool {
        !self.flight.keys.is_empty() && !self.flight.state().has_first()
    }

    pub(crate) fn begin(&self, head: Head) {
        self.flight.change(|state| state.begin(Ok(head)));
    }

    pub(crate) fn give(&self, bytes: &[u8]) {
        let is_full = self.flight.register.0.held.load(Ordering::Relaxed) > MOST_HELD;
        self.flight.change(|state| {
            state.give(bytes);
            if is_full {
                state.close();
            }
        });
    }

    /// There is an answer, and it is here as a whole. As with [`Self::end`], the pilot stays.
    pub(crate) fn answer(&self, head: Head, end: End) {
        self.retire_unless_kept(&end);
        self.flight.change(|state| {
            state.begin(Ok(head));
            state.end(end);
        });
    }

    /// Ends the answer, with the last of its bytes. Until the pilot is dropped an answer that will be kept can
    /// still be heard: whoever asks before it is kept would find neither.
    pub(crate) fn end(&self, last: Option<&[u8]>, end: End) {
        self.retire_unless_kept(&end);
        self.flight.change(|state| {
            if let Some(last) = last {
                state.give(last);
            }
            state.end(end);
        });
    }

    fn retire_unless_kept(&self, end: &End) {
        if end.entry.is_none() {
            self.flight.retire();
        }
    }

    /// There is no answer. `explanation` is of the one who asked first.
    pub(crate) fn fail(&self, refusal: Refusal, explanation: Option<Explanation>) {
        self.flight.retire();
        self.flight.change(|state| {
            state.explain(explanation);
            state.begin(Err(refusal));
        });
    }

    /// Ready when nobody listens any more, and nobody can from then on.
    pub(crate) fn poll_deserted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deserted == Deserted::Finish {
            return Poll::Pending;
        }
        let is_deserted = self.flight.change(|state| state.is_deserted(cx));
        if is_deserted {
            self.flight.retire();
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Ready when there is room for more: a flight that nobody can join any more holds little for those who are
    /// slow. They are not waited for longer than their shell lets them be.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.flight.change(|state| state.has_room(cx)) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Pilot {
    /// Behind an end nobody can come any more, and nothing else changes.
    fn drop(&mut self) {
        self.flight.retire();
        self.flight.change(|state| {
            state.begin(Err(Refusal::Internal));
            state.end(End { ending: Ending::Failed, notice: None, entry: None });
            state.close();
        });
    }
}

#[cfg(test)]
mod tests;

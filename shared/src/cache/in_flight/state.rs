//! What a flight has to give, and who has still to read it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{End, Head};
use crate::ledger::explanation::Explanation;
use crate::ledger::record::Ending;
use crate::refusal::Refusal;

/// Bytes of one answer that are held for whoever comes later.
const MOST_SHARED: usize = 4 << 20;

/// Bytes that are held for the slowest, once nobody can come later.
const WINDOW: usize = 256 << 10;

/// The name of who asked first.
pub(super) const FIRST: u64 = 0;

#[derive(Default)]
pub(super) struct State {
    head: Option<Result<Arc<Head>, Refusal>>,
    chunks: VecDeque<Bytes>,
    /// The number of the first of `chunks`.
    from: usize,
    /// Bytes of `chunks`.
    held: usize,
    end: Option<End>,
    /// Why there is no answer.
    explanation: Option<Explanation>,
    /// Nobody can join: the beginning is gone, or soon will be.
    is_closed: bool,
    seats: BTreeMap<u64, Seat>,
    named: u64,
    pilot: Option<Waker>,
    to_wake: Vec<Waker>,
}

/// Who listens.
#[derive(Default)]
struct Seat {
    /// The number of the chunk it reads next.
    next: usize,
    waker: Option<Waker>,
}

/// What a listener hears.
pub(crate) enum Heard {
    Bytes {
        bytes: Bytes,
        /// If the answer is complete with these.
        end: Option<End>,
    },
    End(End),
}

impl State {
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Who is to be woken once the lock is gone.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.to_wake)
    }

    pub(super) fn has_first(&self) -> bool {
        self.seats.contains_key(&FIRST)
    }

    /// The first answer or error counts.
    pub(super) fn begin(&mut self, head: Result<Head, Refusal>) {
        self.is_closed |= head.is_err();
        if self.head.is_none() {
            self.head = Some(head.map(Arc::new));
            self.wake_seats();
        }
    }

    pub(super) fn explain(&mut self, explanation: Option<Explanation>) {
        self.explanation = explanation;
    }

    pub(super) fn explanation(&self) -> Option<Explanation> {
        self.explanation.clone()
    }

    /// Holds a copy: what comes may be a small part of the buffer that it was read into.
    pub(super) fn give(&mut self, bytes: &[u8]) {
        self.held += bytes.len();
        self.chunks.push_back(Bytes::copy_from_slice(bytes));
        self.is_closed |= self.held > MOST_SHARED;
        self.trim();
        self.wake_seats();
    }

    /// The first end counts. An answer that will be kept can be heard until it is.
    pub(super) fn end(&mut self, end: End) {
        if self.end.is_none() {
            self.is_closed |= end.entry.is_none();
            self.end = Some(end);
            self.trim();
            self.wake_seats();
        }
    }

    pub(super) fn ended(&self) -> Option<End> {
        self.end.clone()
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.trim();
    }

    pub(super) fn sit(&mut self) -> u64 {
        let name = self.named;
        self.named += 1;
        self.seats.insert(name, Seat::default());
        name
    }

    /// A seat of one who reads nothing.
    pub(super) fn sit_aside(&mut self) -> u64 {
        let name = self.sit();
        if let Some(seat) = self.seats.get_mut(&name) {
            seat.next = usize::MAX;
        }
        name
    }

    /// A seat from which the answer can be heard from its beginning.
    pub(super) fn sit_late(&mut self) -> Option<u64> {
        (!self.is_closed).then(|| self.sit())
    }

    pub(super) fn leave(&mut self, name: u64) {
        self.seats.remove(&name);
        self.trim();
        if self.seats.is_empty() {
            self.to_wake.extend(self.pilot.take());
        }
    }

    pub(super) fn head(&mut self, name: u64, cx: &Context<'_>) -> Option<Result<Arc<Head>, Refusal>> {
        if self.head.is_none() {
            self.wait(name, cx);
        }
        self.head.clone()
    }

    pub(super) fn next(&mut self, name: u64, cx: &Context<'_>) -> Option<Heard> {
        let Some(seat) = self.seats.get_mut(&name) else { return self.end.clone().map(Heard::End) };
        let Some(bytes) = self.chunks.get(seat.next.saturating_sub(self.from)).cloned() else {
            let end = self.end.clone().map(Heard::End);
            if end.is_none() {
                self.wait(name, cx);
            }
            return end;
        };
        seat.next += 1;
        let is_last = seat.next == self.from + self.chunks.len();
        // Only a complete answer has nothing more to say: another end is told by a notice or by an abort.
        let end = self.end.clone().filter(|end| is_last && end.ending == Ending::Complete);
        self.trim();
        Some(Heard::Bytes { bytes, end })
    }

    pub(super) fn over(&mut self, name: u64, cx: &Context<'_>) -> Poll<Option<End>> {
        match (&self.head, &self.end) {
            (_, Some(end)) => Poll::Ready(Some(end.clone())),
            (Some(Err(_)), None) => Poll::Ready(None),
            (Some(Ok(_)) | None, None) => {
                self.wait(name, cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn is_deserted(&mut self, cx: &Context<'_>) -> bool {
        let is_deserted = self.seats.is_empty();
        self.is_closed |= is_deserted;
        if !is_deserted {
            self.pilot = Some(cx.waker().clone());
        }
        is_deserted
    }

    pub(super) fn has_room(&mut self, cx: &Context<'_>) -> bool {
        let has_room = !self.is_closed || self.held < WINDOW;
        if !has_room {
            self.pilot = Some(cx.waker().clone());
        }
        has_room
    }

    /// Lets go of what everybody has read, once nobody can come who has not.
    fn trim(&mut self) {
        if !self.is_closed {
            return;
        }
        let read = self.seats.values().map(|seat| seat.next).min().unwrap_or(usize::MAX);
        let before = self.held;
        while self.from < read
            && let Some(bytes) = self.chunks.pop_front()
        {
            self.held -= bytes.len();
            self.from += 1;
        }
        if self.held < WINDOW && before >= WINDOW {
            self.to_wake.extend(self.pilot.take());
        }
    }

    fn wait(&mut self, name: u64, cx: &Context<'_>) {
        if let Some(seat) = self.seats.get_mut(&name) {
            seat.waker = Some(cx.waker().clone());
        }
    }

    fn wake_seats(&mut self) {
        self.to_wake.extend(self.seats.values_mut().filter_map(|seat| seat.waker.take()));
    }
}

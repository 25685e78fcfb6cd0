//! Who is polled next: whoever can go on, in an order that the seed decides.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::dice::Dice;

/// What is polled.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()>>>;

/// What a thread leaves behind when it panics.
pub(crate) type Payload = Box<dyn std::any::Any + Send>;

/// Whose work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) request: usize,
    pub(crate) replica: usize,
    pub(crate) part: Part,
}

/// Both halves of a request are polled by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Client,
    Settlement,
}

/// One piece of work.
pub(crate) struct Task {
    pub(crate) whose: Whose,
    pub(crate) work: Work,
    /// After so many polls it is dropped, whatever it is doing.
    pub(crate) leaves_after: Option<u32>,
    /// What begins when it is over.
    pub(crate) then: Option<Work>,
}

/// How a poll went.
pub(crate) enum Polled {
    Pending,
    Done,
    /// It was dropped on its way.
    Left,
    Panicked(Payload),
}

/// All that goes on at once.
#[derive(Default)]
pub(crate) struct Scheduler {
    tasks: BTreeMap<u64, Entry>,
    ready: Arc<Mutex<Vec<u64>>>,
    made: u64,
}

struct Entry {
    task: Task,
    polls: u32,
    alarm: Arc<Alarm>,
}

struct Alarm {
    id: u64,
    rings: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.rings.swap(true, Ordering::Relaxed) {
            lock(&self.ready).push(self.id);
        }
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Scheduler {
    pub(crate) fn spawn(&mut self, task: Task) {
        let id = self.made;
        self.made += 1;
        let alarm = Arc::new(Alarm { id, rings: AtomicBool::new(true), ready: Arc::clone(&self.ready) });
        lock(&self.ready).push(id);
        self.tasks.insert(id, Entry { task, polls: 0, alarm });
    }

    /// Who has not come to an end.
    pub(crate) fn unfinished(&self) -> Vec<Whose> {
        self.tasks.values().map(|entry| entry.task.whose).collect()
    }

    /// Takes one of those that can go on.
    pub(crate) fn next(&self, dice: &Dice) -> Option<u64> {
        let mut ready = lock(&self.ready);
        ready.retain(|id| self.tasks.contains_key(id));
        let chosen = dice.index(ready.len());
        (!ready.is_empty()).then(|| ready.swap_remove(chosen))
    }

    pub(crate) fn whose(&self, id: u64) -> Option<Whose> {
        self.tasks.get(&id).map(|entry| entry.task.whose)
    }

    /// Polls it once. What it holds is dropped when it is over.
    pub(crate) fn poll(&mut self, id: u64) -> Polled {
        let Some(entry) = self.tasks.get_mut(&id) else { return Polled::Done };
        entry.polls += 1;
        entry.alarm.rings.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&entry.alarm));
        let work = entry.task.work.as_mut();
        let outcome = catch_unwind(AssertUnwindSafe(|| work.poll(&mut Context::from_waker(&waker))));
        let polled = match outcome {
            Ok(Poll::Pending) if entry.task.leaves_after == Some(entry.polls) => Polled::Left,
            Ok(Poll::Pending) => return Polled::Pending,
            Ok(Poll::Ready(())) => Polled::Done,
            Err(payload) => Polled::Panicked(payload),
        };
        if let Some(Entry { task, .. }) = self.tasks.remove(&id) {
            let Task { whose, work, then, .. } = task;
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(work))) {
                return Polled::Panicked(payload);
            }
            if let Some(work) = then {
                let whose = Whose { part: Part::Settlement, ..whose };
                self.spawn(Task { whose, work, leaves_after: None, then: None });
            }
        }
        polled
    }

    /// A replica dies: all that it was doing is gone at once. Gives whose requests those were.
    pub(crate) fn crash(&mut self, replica: usize, dice: &Dice) -> Vec<usize> {
        let on_it = self.tasks.iter().filter(|(_, entry)| entry.task.whose.replica == replica);
        let mut ids: Vec<u64> = on_it.map(|(id, _)| *id).collect();
        let mut requests = Vec::new();
        while !ids.is_empty() {
            let id = ids.swap_remove(dice.index(ids.len()));
            if let Some(entry) = self.tasks.remove(&id) {
                requests.push(entry.task.whose.request);
            }
        }
        requests
    }
}

fn lock(ready: &Mutex<Vec<u64>>) -> std::sync::MutexGuard<'_, Vec<u64>> {
    ready.lock().unwrap_or_else(PoisonError::into_inner)
}

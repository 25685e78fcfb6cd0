//! Futures that run by themselves, as soon as they are woken.
//!
//! Whatever happens on this platform comes as a call from JavaScript, and mostly as a promise's: there is
//! nothing to wait for between hearing of it and going on. So whoever is woken by such a call runs before it
//! returns. An executor that queues each wake as a microtask makes workerd go round once more for every one
//! of them, which costs more than what is done there.
//!
//! One that is woken by another's work waits for its end: no future is polled within a poll. The table is the
//! isolate's, but those in it belong to requests, and each is only woken by what its own has begun.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use js_sys::Promise;
use wasm_bindgen::JsValue;

use crate::ear;
use crate::js::Deferred;

type Work = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Runner {
    tasks: RefCell<BTreeMap<u64, Task>>,
    /// Who is woken, in that order.
    ready: RefCell<VecDeque<u64>>,
    is_running: Cell<bool>,
    last: Cell<u64>,
}

struct Task {
    /// `None` while it is polled.
    work: Option<Work>,
    waker: Waker,
    is_ready: bool,
}

thread_local! {
    static RUNNER: Runner = Runner::default();
}

/// A waker knows no more of a task: it may be sent about, and outlive it.
struct Number(u64);

impl Wake for Number {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        RUNNER.with(|runner| runner.wake(self.0));
    }
}

/// Begins it now, or behind what is running.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    RUNNER.with(|runner| runner.spawn(Box::pin(work)));
}

/// The same, for JavaScript to wait for.
pub(crate) fn promise(work: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let deferred = Deferred::new();
    let promise = deferred.promise();
    spawn(async move {
        match work.await {
            Ok(value) => deferred.resolve(&value),
            Err(why) => deferred.reject(&why),
        }
    });
    promise
}

/// Hears what has happened, then lets those go on whom it has woken.
pub(crate) fn enter(hear: impl FnOnce()) {
    RUNNER.with(|runner| runner.enter(hear));
}

/// Behind a future that threw: JavaScript's exceptions pass through Rust and clear nothing up.
pub(crate) fn resume() {
    RUNNER.with(|runner| runner.is_running.set(false));
}

impl Runner {
    fn spawn(&self, work: Work) {
        let number = self.last.get().wrapping_add(1);
        self.last.set(number);
        let waker = Waker::from(Arc::new(Number(number)));
        self.tasks.borrow_mut().insert(number, Task { work: Some(work), waker, is_ready: false });
        self.wake(number);
    }

    fn wake(&self, number: u64) {
        match self.tasks.borrow_mut().get_mut(&number) {
            Some(task) if !task.is_ready => task.is_ready = true,
            Some(_) | None => return,
        }
        self.ready.borrow_mut().push_back(number);
        if !self.is_running.get() {
            ear::run();
        }
    }

    fn enter(&self, hear: impl FnOnce()) {
        if self.is_running.replace(true) {
            // Whoever runs goes on with it.
            return hear();
        }
        hear();
        while let Some(number) = self.next() {
            self.poll(number);
        }
        self.is_running.set(false);
    }

    fn next(&self) -> Option<u64> {
        self.ready.borrow_mut().pop_front()
    }

    fn poll(&self, number: u64) {
        let taken = self.tasks.borrow_mut().get_mut(&number).and_then(|task| {
            task.is_ready = false;
            Some((task.work.take()?, task.waker.clone()))
        });
        let Some((mut work, waker)) = taken else { return };
        match work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => {
                self.tasks.borrow_mut().remove(&number);
            }
            Poll::Pending => {
                if let Some(task) = self.tasks.borrow_mut().get_mut(&number) {
                    task.work = Some(work);
                }
            }
        }
    }
}

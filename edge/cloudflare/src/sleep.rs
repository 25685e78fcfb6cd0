//! A timer as a future.
//!
//! Nothing is set before the first poll: most waits of a request are over before they begin.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;

use crate::js;

/// The longest timer that JavaScript has: some 24 days.
const LONGEST: i32 = i32::MAX;

/// Dropped, it is taken back.
pub(crate) struct Sleep {
    span: Duration,
    timer: Option<Timer>,
}

struct Timer {
    state: Rc<State>,
    handle: i32,
    /// Called by the platform, so it lives as long as the timer does.
    _ring: Closure<dyn FnMut()>,
}

#[derive(Default)]
struct State {
    is_over: Cell<bool>,
    /// Whoever polled last: a wait moves from the answer's head to its body.
    waker: RefCell<Option<Waker>>,
}

impl Sleep {
    pub(crate) fn new(span: Duration) -> Self {
        Self { span, timer: None }
    }
}

impl Timer {
    /// `None` where the platform sets no timer.
    fn set(span: Duration) -> Option<Self> {
        let state = Rc::new(State::default());
        let rung = Rc::clone(&state);
        let ring = Closure::new(move || {
            rung.is_over.set(true);
            if let Some(waker) = rung.waker.take() {
                waker.wake();
            }
        });
        // Rounded up: a wait is never shorter than it was asked to be.
        let millis = i32::try_from(span.as_micros().div_ceil(1000)).unwrap_or(LONGEST);
        let callback = ring.as_ref().unchecked_ref();
        let handle = js::scope().set_timeout_with_callback_and_timeout_and_arguments_0(callback, millis);
        Some(Self { state, handle: handle.ok()?, _ring: ring })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_none() {
            self.timer = Timer::set(self.span);
        }
        // Without a timer a wait that never ends would be worse than none.
        let Some(timer) = &self.timer else { return Poll::Ready(()) };
        if timer.state.is_over.get() {
            return Poll::Ready(());
        }
        timer.state.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if !self.state.is_over.get() {
            js::scope().clear_timeout_with_handle(self.handle);
        }
    }
}

//! Whether a client is still there.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use web_sys::AbortSignal;

/// Resolves when the client of `signal` has left. It takes the flag `enable_request_signal`.
pub(crate) async fn gone(signal: AbortSignal) {
    let state = Rc::new(State::default());
    let told = Rc::clone(&state);
    let listener = Closure::<dyn FnMut()>::new(move || {
        told.is_gone.set(true);
        if let Some(waker) = told.waker.take() {
            waker.wake();
        }
    });
    let ear = Ear { signal, listener };
    ear.signal.set_onabort(Some(ear.listener.as_ref().unchecked_ref()));
    poll_fn(|cx| {
        if state.is_gone.get() || ear.signal.aborted() {
            return Poll::Ready(());
        }
        state.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

#[derive(Default)]
struct State {
    is_gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Taken back before the listener is dropped.
struct Ear {
    signal: AbortSignal,
    listener: Closure<dyn FnMut()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.signal.set_onabort(None);
    }
}

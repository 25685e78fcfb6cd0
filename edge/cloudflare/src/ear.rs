//! Whoever waits for JavaScript, and what he is told.
//!
//! A closure for each promise, as `JsFuture` makes two, is an object on either side and one more that watches
//! over them for the garbage collector. Here JavaScript has a number, and the closures are made once for the
//! isolate. A number is never given again, so what comes too late is heard by nobody.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

use crate::js::Teller;
use crate::task;

/// What somebody is told.
#[derive(Debug)]
pub(crate) enum Word {
    Value(JsValue),
    Bytes(Vec<u8>),
    /// There is no more to come.
    Over,
    /// Whatever it was, it went wrong.
    Failed,
}

/// Whom JavaScript tells something.
pub(crate) trait Listener {
    fn hear(&self, word: Word);
}

/// A listener under its number. Dropped, it hears no more.
pub(crate) struct Ear(Number);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(u64);

#[derive(Default)]
struct Ears {
    by_number: RefCell<BTreeMap<Number, Rc<dyn Listener>>>,
    last: Cell<u64>,
}

thread_local! {
    static EARS: Ears = Ears::default();
    static TELLER: Teller = teller();
}

/// Lets all tasks go on that can.
pub(crate) fn run() {
    TELLER.with(Teller::run);
}

fn teller() -> Teller {
    let over = Closure::<dyn Fn(f64)>::new(|who| told(who, Word::Over));
    let failed = Closure::<dyn Fn(f64)>::new(|who| told(who, Word::Failed));
    let value = Closure::<dyn Fn(f64, JsValue)>::new(|who, value| told(who, Word::Value(value)));
    let bytes = Closure::<dyn Fn(f64, Vec<u8>)>::new(|who, bytes| told(who, Word::Bytes(bytes)));
    Teller::new(
        &Closure::<dyn Fn()>::new(|| task::enter(|| {})).into_js_value(),
        &Closure::<dyn Fn()>::new(task::resume).into_js_value(),
        &value.into_js_value(),
        &bytes.into_js_value(),
        &over.into_js_value(),
        &failed.into_js_value(),
    )
}

fn told(who: f64, word: Word) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it comes back as it was given"
    )]
    let number = Number(who as u64);
    let listener = EARS.with(|ears| ears.by_number.borrow().get(&number).cloned());
    if let Some(listener) = listener {
        task::enter(|| listener.hear(word));
    }
}

impl Ear {
    pub(crate) fn new(listener: Rc<dyn Listener>) -> Self {
        EARS.with(|ears| {
            ears.last.set(ears.last.get().wrapping_add(1));
            let number = Number(ears.last.get());
            ears.by_number.borrow_mut().insert(number, listener);
            Self(number)
        })
    }

    pub(crate) fn number(&self) -> Number {
        self.0
    }
}

impl Number {
    /// Hands it to JavaScript, and who tells.
    pub(crate) fn lend<T>(self, to: impl FnOnce(f64, &Teller) -> T) -> T {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53: a million a second for 285 years")]
        let who = self.0 as f64;
        TELLER.with(|teller| to(who, teller))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // Behind the borrow: whatever goes with the listener may have an ear of its own.
        drop(EARS.with(|ears| ears.by_number.borrow_mut().remove(&self.0)));
    }
}

/// Waits for a word at a time. One that is not taken gives way to the next.
pub(crate) struct Waiting {
    ear: Ear,
    inbox: Rc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    word: Cell<Option<Word>>,
    waker: Cell<Option<Waker>>,
}

impl Listener for Inbox {
    fn hear(&self, word: Word) {
        self.word.set(Some(word));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Waiting {
    pub(crate) fn new() -> Self {
        let inbox = Rc::<Inbox>::default();
        Self { ear: Ear::new(Rc::<Inbox>::clone(&inbox)), inbox }
    }

    pub(crate) fn lend<T>(&self, to: impl FnOnce(f64, &Teller) -> T) -> T {
        self.ear.number().lend(to)
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Word> {
        let word = self.inbox.word.take();
        if word.is_none() {
            self.inbox.waker.set(Some(cx.waker().clone()));
        }
        word.map_or(Poll::Pending, Poll::Ready)
    }
}

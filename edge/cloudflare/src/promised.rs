//! What a promise resolves to, as a future.

use std::pin::Pin;
use std::task::{Context, Poll};

use js_sys::Promise;
use wasm_bindgen::JsValue;

use crate::ear::{Waiting, Word};

/// The promise was rejected, or is of something else.
#[derive(Debug)]
pub(crate) struct Unkept;

pub(crate) struct Promised(Waiting);

/// An `ArrayBuffer`, as the bytes that are in it.
pub(crate) struct Buffered(Waiting);

impl From<&Promise> for Promised {
    fn from(promise: &Promise) -> Self {
        let waiting = Waiting::new();
        waiting.lend(|who, teller| teller.promised(promise, who));
        Self(waiting)
    }
}

impl From<&Promise> for Buffered {
    fn from(promise: &Promise) -> Self {
        let waiting = Waiting::new();
        waiting.lend(|who, teller| teller.buffered(promise, who));
        Self(waiting)
    }
}

impl Future for Promised {
    type Output = Result<JsValue, Unkept>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|word| match word {
            Word::Value(value) => Ok(value),
            Word::Bytes(_) | Word::Over | Word::Failed => Err(Unkept),
        })
    }
}

impl Future for Buffered {
    type Output = Result<Vec<u8>, Unkept>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|word| match word {
            Word::Bytes(bytes) => Ok(bytes),
            Word::Value(_) | Word::Over | Word::Failed => Err(Unkept),
        })
    }
}

//! The functions of `glue.js`, and the globals that have no better home.

use js_sys::{Array, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{AbortSignal, ReadableStream, Request, Response, WorkerGlobalScope};

#[wasm_bindgen(module = "/src/glue.js")]
extern "C" {
    pub(crate) type Teller;

    /// `value` takes who is told and what, `bytes` the same; the others who, or nothing.
    #[wasm_bindgen(constructor)]
    pub(crate) fn new(
        carry: &JsValue,
        resume: &JsValue,
        value: &JsValue,
        bytes: &JsValue,
        over: &JsValue,
        failed: &JsValue,
    ) -> Teller;

    #[wasm_bindgen(method)]
    pub(crate) fn run(this: &Teller);

    #[wasm_bindgen(method)]
    pub(crate) fn promised(this: &Teller, promise: &Promise, who: f64);

    #[wasm_bindgen(method)]
    pub(crate) fn buffered(this: &Teller, promise: &Promise, who: f64);

    #[wasm_bindgen(method)]
    pub(crate) fn heed(this: &Teller, signal: &AbortSignal, who: f64);

    /// Sets a timer of so many milliseconds; its handle.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn ring(this: &Teller, millis: i32, who: f64) -> Result<i32, JsValue>;

    pub(crate) type Deferred;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> Deferred;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn promise(this: &Deferred) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn resolve(this: &Deferred, value: &JsValue);

    #[wasm_bindgen(method)]
    pub(crate) fn reject(this: &Deferred, why: &JsValue);

    pub(crate) type Source;

    /// Fails where somebody else reads the body.
    #[wasm_bindgen(constructor, catch)]
    pub(crate) fn new(body: &ReadableStream, who: f64, teller: &Teller) -> Result<Source, JsValue>;

    #[wasm_bindgen(method)]
    pub(crate) fn read(this: &Source);

    #[wasm_bindgen(method)]
    pub(crate) fn cancel(this: &Source);

    pub(crate) type Sink;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new(who: f64, teller: &Teller) -> Sink;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn body(this: &Sink) -> JsValue;

    /// Fails, as the next two do, where nobody reads on.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn put(this: &Sink, bytes: &[u8]) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &Sink) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn abort(this: &Sink, why: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = requestHead)]
    pub(crate) fn request_head(request: &Request) -> String;

    #[wasm_bindgen(js_name = responseHead)]
    pub(crate) fn response_head(response: &Response) -> String;

    /// Resolves to a `Response`.
    #[wasm_bindgen(catch)]
    pub(crate) fn send(
        url: &str,
        method: &str,
        head: &str,
        body: &JsValue,
        signal: &AbortSignal,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn answer(status: u16, head: &str, body: &JsValue) -> Result<Response, JsValue>;

    /// Resolves to an `ArrayBuffer`.
    #[wasm_bindgen(catch)]
    pub(crate) fn ask(desks: &JsValue, name: &str, question: &Uint8Array) -> Result<Promise, JsValue>;

    /// Resolves to an `ArrayBuffer`, or to nothing.
    #[wasm_bindgen(catch)]
    pub(crate) fn look(url: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn keep(url: &str, bytes: &Uint8Array, seconds: u32) -> Result<Promise, JsValue>;

    /// Resolves to an `ArrayBuffer`, or to null.
    #[wasm_bindgen(catch, js_name = lookInKv)]
    pub(crate) fn look_in_kv(kv: &JsValue, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = keepInKv)]
    pub(crate) fn keep_in_kv(
        kv: &JsValue,
        key: &str,
        bytes: &Uint8Array,
        seconds: u32,
    ) -> Result<Promise, JsValue>;

    /// Resolves to a text, or to null.
    #[wasm_bindgen(catch, js_name = readText)]
    pub(crate) fn read_text(kv: &JsValue, key: &str, seconds: u32) -> Result<Promise, JsValue>;

    /// `at` is in milliseconds since 1970.
    #[wasm_bindgen(catch, js_name = setAlarm)]
    pub(crate) fn set_alarm(storage: &JsValue, at: f64) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn write(
        storage: &JsValue,
        values: &Object,
        keys: &Array,
        is_unconfirmed: bool,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn post(queue: &JsValue, text: &str) -> Result<Promise, JsValue>;
}

/// Timers and chance.
pub(crate) fn scope() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

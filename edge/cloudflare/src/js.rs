//! The functions of `glue.js`, and the globals that have no better home.

use js_sys::{Array, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{AbortSignal, Request, Response, WorkerGlobalScope};

#[wasm_bindgen(module = "/src/glue.js")]
extern "C" {
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

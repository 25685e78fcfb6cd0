//! Answers that are kept for whoever asks the same, in the cache of the place where this runs.
//!
//! What is kept says itself what it is, since when and for how long ([`weir::remote::keep`]), and is believed only
//! where it names the key that was asked for. A cache that does not answer in time has nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use weir::cache::Entry;
use weir::fingerprint::Fingerprint;
use weir::platform::{Recall, Recalled};
use weir::remote;
use weir::time::UnixMillis;

use crate::js;
use crate::platform::millis;
use crate::sleep::Sleep;

/// Where answers are kept, and how long it is waited for.
pub(crate) struct Cache {
    pub(crate) patience: Duration,
}

impl Cache {
    pub(crate) async fn recall(&self, recall: &Recall) -> Option<Recalled> {
        let bytes = self.bounded(js::look(&url(&recall.key))).await?;
        if bytes.is_undefined() {
            return None;
        }
        remote::recall(recall, &Uint8Array::new(&bytes).to_vec(), UnixMillis(millis()))
    }

    pub(crate) async fn keep(&self, key: Fingerprint, entry: &Arc<Entry>, life: Duration) {
        let bytes = remote::keep(key, entry, life, UnixMillis(millis()));
        self.bounded(js::keep(&url(&key), &Uint8Array::from(bytes.as_slice()), seconds(life))).await;
    }

    async fn bounded(&self, promise: Result<Promise, JsValue>) -> Option<JsValue> {
        let promise = JsFuture::from(promise.ok()?);
        match select(pin!(promise), pin!(Sleep::new(self.patience))).await {
            Either::Left((outcome, _)) => outcome.ok(),
            Either::Right(_) => None,
        }
    }
}

/// Nothing is ever fetched from there. What may be given to whom is part of the key.
fn url(key: &Fingerprint) -> String {
    format!("https://cache.weir.invalid/{}", key.to_hex())
}

/// Rounded up: what is too old says so itself.
fn seconds(life: Duration) -> u32 {
    u32::try_from(life.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

//! Answers that are kept for whoever asks the same: in the isolate's memory while they are fresh, in the
//! cache of the data centre where this runs, and where the route says so in KV as well.
//!
//! KV shows nowhere at once what is written, and may show for a minute that there is nothing, so the near
//! cache comes first: who waits next door for an answer finds it there.
//!
//! What is kept says itself what it is, since when and for how long ([`weir::store::durable::keep`]), and is believed
//! only where it names the key that was asked for. A cache that does not answer in time has nothing.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use weir::cache::fingerprint::Fingerprint;
use weir::cache::{Entry, Place};
use weir::store::durable;
use weir::store::protocol::{Recall, Recalled};
use weir::time::UnixMillis;
use worker::Env;

use crate::isolate::Isolate;
use crate::platform::millis;
use crate::promised::Promised;
use crate::sleep::Clock;
use crate::{js, settings};

/// The binding of the KV namespace, which need not be there.
pub(crate) const BINDING: &str = "CACHE";

/// KV keeps nothing for less.
const LEAST_LIFE: Duration = Duration::from_mins(1);

/// Where answers are kept, and how long it is waited for.
pub(crate) struct Cache {
    isolate: Rc<Isolate>,
    kv: JsValue,
    clock: Rc<Clock>,
    patience: Duration,
}

impl Cache {
    pub(crate) fn new(isolate: &Rc<Isolate>, env: &Env, clock: &Rc<Clock>, patience: Duration) -> Self {
        let kv = settings::binding(env, BINDING);
        Self { isolate: Rc::clone(isolate), kv, clock: Rc::clone(clock), patience }
    }

    pub(crate) async fn recall(&self, recall: &Recall) -> Option<Recalled> {
        let nearest = self.isolate.near.borrow().recall(recall, UnixMillis(millis()));
        if nearest.is_some() {
            return nearest;
        }
        let near = self.bounded(js::look(&url(&recall.key))).await;
        let near = near.and_then(|kept| self.read(recall, &kept));
        if near.is_some() || recall.place == Place::Edge {
            return near;
        }
        let far = self.bounded(js::look_in_kv(&self.kv, &recall.key.to_hex())).await?;
        self.read(recall, &far)
    }

    /// `None` where there is nothing, and where what there is does not say that it is what was asked for.
    fn read(&self, recall: &Recall, kept: &JsValue) -> Option<Recalled> {
        if kept.is_undefined() || kept.is_null() {
            return None;
        }
        let bytes = Uint8Array::new(kept).to_vec();
        let recalled = durable::recall(recall, &bytes, UnixMillis(millis()))?;
        self.isolate.near.borrow_mut().keep(recall.key, &bytes);
        Some(recalled)
    }

    /// For as long as an answer of this `place` is given.
    pub(crate) async fn keep(&self, place: Place, key: Fingerprint, entry: &Arc<Entry>, life: Duration) {
        let bytes = durable::keep(key, entry, life, UnixMillis(millis()));
        self.isolate.near.borrow_mut().keep(key, &bytes);
        let bytes = Uint8Array::from(bytes.as_slice());
        let near = self.bounded(js::keep(&url(&key), &bytes, seconds(life)));
        match place {
            Place::Edge => near.await,
            Place::Kv => {
                let life = seconds(life.max(LEAST_LIFE));
                let far = self.bounded(js::keep_in_kv(&self.kv, &key.to_hex(), &bytes, life));
                join(near, far).await.0
            }
        };
    }

    async fn bounded(&self, promise: Result<Promise, JsValue>) -> Option<JsValue> {
        let promise = Promised::from(&promise.ok()?);
        match select(pin!(promise), pin!(self.clock.sleep(self.patience))).await {
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

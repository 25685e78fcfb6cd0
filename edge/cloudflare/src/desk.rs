//! An object: what isolates share of one tenant, one route or one upstream, counted in memory by the core's
//! own steps and written behind the answers.
//!
//! Nothing but the storage is awaited once a question is read, so the platform lets no other in between, and
//! counts are exact. What has changed is written a second later by an alarm, in batches; an operator's order
//! before it is confirmed. An object that begins anew reads everything before it is asked anything.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Map, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, Response};
use weir::store::durable::{self, Answered, Changes, Flush};
use weir::time::Instant;
use worker::durable::{ListOptions, State, Storage};
use worker::worker_sys::DurableObjectState;
use worker::{Env, Error};

use crate::isolate::Isolate;
use crate::platform::now;
use crate::promised::{Buffered, Unkept};
use crate::{js, log, task};

/// Keys that are read at once.
const PAGE: usize = 1000;

/// Exported as `#[durable_object]` would export it, but on tasks of our own. JavaScript holds one clone, whoever
/// is being answered another.
#[wasm_bindgen]
#[derive(Clone, Debug)]
pub struct Desk {
    state: Rc<State>,
    /// `None` until what was written is read.
    kept: Rc<RefCell<Option<durable::Desk>>>,
    /// When the alarm rings that is set.
    rings: Rc<Cell<Option<Instant>>>,
}

#[wasm_bindgen]
impl Desk {
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, _: Env) -> Self {
        let state = State::from(state);
        let kept = Rc::<RefCell<Option<durable::Desk>>>::default();
        let (read, storage) = (Rc::clone(&kept), state.storage());
        // Begun by the call; nothing is delivered before it is over, and one that fails ends the object.
        let _reading = state.block_concurrency_while(async move {
            let restored = durable::Desk::restore(read_all(&storage).await?, now());
            if restored.faults() > 0 {
                log::unreadable(restored.faults());
            }
            read.replace(Some(restored));
            Ok(())
        });
        Self { state: Rc::new(state), kept, rings: Rc::default() }
    }

    pub fn fetch(&self, request: Request) -> Promise {
        let desk = self.clone();
        task::promise(async move {
            let response = desk.answer(&request).await?;
            Ok(response.into())
        })
    }

    /// One that fails is rung again by the platform.
    pub fn alarm(&self) -> Promise {
        let desk = self.clone();
        task::promise(async move {
            desk.rings.set(None);
            desk.flush(Flush::Later).await?;
            desk.wind();
            Ok(JsValue::UNDEFINED)
        })
    }
}

impl Desk {
    async fn answer(&self, request: &Request) -> worker::Result<Response> {
        let question = Buffered::from(&request.array_buffer()?).await;
        let question = question.map_err(|Unkept| Error::from("the question breaks off"))?;
        let Answered { answer, flush } =
            self.with(|desk| desk.answer(&question, now(), Isolate::here().roll()))?;
        match flush {
            Flush::First => self.flush(Flush::First).await?,
            Flush::Later => {}
        }
        self.wind();
        Ok(js::answer(200, "", &Uint8Array::from(answer.as_slice()).into())?)
    }

    fn with<T>(&self, work: impl FnOnce(&mut durable::Desk) -> T) -> worker::Result<T> {
        self.kept.borrow_mut().as_mut().map(work).ok_or_else(|| Error::from("nothing is read yet"))
    }

    /// Writes all that has changed. Only where it has to come first does an answer wait for it to be on disk.
    async fn flush(&self, flush: Flush) -> worker::Result<()> {
        loop {
            let changes = self.with(|desk| desk.changes(now()))?;
            if changes.is_empty() {
                return Ok(());
            }
            if let Err(fault) = write(&self.state.storage(), &changes, flush).await {
                self.with(|desk| desk.unwritten(now()))?;
                return Err(fault);
            }
        }
    }

    /// Sets the alarm for the next batch, unless one rings before.
    fn wind(&self) {
        let Ok(Some(due)) = self.with(|desk| desk.next_alarm()) else { return };
        if self.rings.get().is_some_and(|set| set <= due) {
            return;
        }
        self.rings.set(Some(due));
        // The crate's own options do not reach the platform: it takes them by other names. (worker 0.8.7)
        let promise = js::set_alarm(self.state.storage().as_raw(), millis(due));
        self.state.wait_until(async move {
            let set = match promise {
                Ok(promise) => JsFuture::from(promise).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = set {
                log::unwound(&Error::from(fault));
            }
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for as long as there are dates in JavaScript")]
fn millis(at: Instant) -> f64 {
    at.as_micros().div_ceil(1000) as f64
}

async fn write(storage: &Storage, changes: &Changes, flush: Flush) -> worker::Result<()> {
    let (values, keys) = (Object::new(), Array::new());
    for (key, value) in &changes.puts {
        Reflect::set(&values, &key.into(), &Uint8Array::from(value.as_slice()))?;
    }
    for key in &changes.deletions {
        keys.push(&key.into());
    }
    let written = js::write(storage.as_raw(), &values, &keys, flush == Flush::Later)?;
    JsFuture::from(written).await?;
    Ok(())
}

async fn read_all(storage: &Storage) -> worker::Result<Vec<(String, Vec<u8>)>> {
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    loop {
        let last = entries.last().map(|(key, _)| format!("{key}\0"));
        let options = ListOptions::new().limit(PAGE);
        let options = match &last {
            Some(last) => options.start(last),
            None => options,
        };
        let page: Map = storage.list_with_options(options).await?;
        page.for_each(&mut |value, key| {
            if let (Some(key), Ok(value)) = (key.as_string(), value.dyn_into::<Uint8Array>()) {
                entries.push((key, value.to_vec()));
            }
        });
        if (page.size() as usize) < PAGE {
            return Ok(entries);
        }
    }
}

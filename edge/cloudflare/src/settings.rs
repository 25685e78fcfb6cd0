//! The configuration of this Worker, from its bindings.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::Reflect;
use wasm_bindgen::JsValue;
use weir::Config;
use weir::cache::Place;
use weir::cache::fingerprint::Framed;
use weir::config::{Document, Format, Loaded, StoreKind, Surroundings};
use weir::routing::route::Route;
use worker::Env;

use crate::log::Detail;
use crate::promised::Promised;
use crate::sleep::Clock;
use crate::{cache, js, objects};

/// The text binding that holds the document, TOML or JSON.
const DOCUMENT: &str = "WEIR_CONFIG";

/// The KV namespace that may hold it instead, so that it changes without a deployment, and by which key.
const NAMESPACE: &str = "CONFIG";
const KEY: &str = "weir.toml";

/// The text binding that says how many seconds lie between two looks at it, and what holds without it.
const EVERY: &str = "WEIR_CONFIG_SECONDS";
const SECONDS: u64 = 30;

/// KV may answer with what it has had here for as long: the least it takes.
const NEAR_SECONDS: u32 = 30;

/// The text binding that says how much is logged.
const LOG: &str = "WEIR_LOG";

/// KV is waited for this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a document may refer to here.
struct Bindings<'a>(&'a Env);

impl Surroundings for Bindings<'_> {
    /// Secrets and text bindings alike.
    fn env(&self, name: &str) -> Option<String> {
        binding(self.0, name).as_string()
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("a Worker has no files: use `env` and `wrangler secret put`".into())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}

/// Undefined where there is none of this name.
pub(crate) fn binding(env: &Env, name: &str) -> JsValue {
    Reflect::get(env, &name.into()).unwrap_or_default()
}

/// Whether the document may change without a deployment.
pub(crate) fn is_in_kv(env: &Env) -> bool {
    !binding(env, NAMESPACE).is_undefined()
}

/// Milliseconds from one look for another document to the next.
pub(crate) fn every(env: &Env) -> u64 {
    let seconds = binding(env, EVERY).as_string().and_then(|text| text.parse().ok());
    seconds.unwrap_or(SECONDS).clamp(1, 3600).saturating_mul(1000)
}

/// How much is logged: `warn` leaves out the calls, as elsewhere.
pub(crate) fn log_detail(env: &Env) -> Detail {
    match binding(env, LOG).as_string().as_deref() {
        Some("warn" | "error") => Detail::Trouble,
        Some(_) | None => Detail::Calls,
    }
}

/// The document: what KV has, else the text binding. Never a mixture, and not the text binding where KV
/// cannot be read.
pub(crate) async fn read(env: &Env) -> Result<String, String> {
    let namespace = binding(env, NAMESPACE);
    if !namespace.is_undefined()
        && let Some(text) = read_kv(&namespace).await?
    {
        return Ok(text);
    }
    let text = Bindings(env).env(DOCUMENT);
    text.ok_or_else(|| {
        format!("there is neither `{KEY}` in the KV namespace {NAMESPACE} nor a text {DOCUMENT}")
    })
}

async fn read_kv(namespace: &JsValue) -> Result<Option<String>, String> {
    let unreadable = || format!("the KV namespace {NAMESPACE} cannot be read");
    let promise = js::read_text(namespace, KEY, NEAR_SECONDS).map_err(|_| unreadable())?;
    match select(pin!(Promised::from(&promise)), pin!(Rc::<Clock>::default().sleep(PATIENCE))).await {
        Either::Left((text, _)) => text.map(|text| text.as_string()).map_err(|_| unreadable()),
        Either::Right(_) => Err(unreadable()),
    }
}

/// Twelve hex digits, others for every other document.
pub(crate) fn version(text: &str) -> String {
    let mut version = Framed::new("weir document 1").field("text", text.as_bytes()).finish().to_hex();
    version.truncate(12);
    version
}

/// Reads and checks the document; in words what is wrong with it.
pub(crate) fn load(env: &Env, text: &str) -> Result<Loaded, String> {
    if binding(env, objects::BINDING).is_undefined() {
        return Err(format!(
            "there is no binding {} to Durable Objects: they keep what is counted",
            objects::BINDING
        ));
    }
    let bindings = Bindings(env);
    let document = Document { name: DOCUMENT, text, format: Format::of(text) };
    let loaded = Config::load(&document, &bindings).map_err(|faults| faults.to_string())?;
    let is_in_kv = |route: &Route| route.cache.is_some_and(|cache| cache.place == Place::Kv);
    if loaded.config.routes.iter().any(is_in_kv) && binding(env, cache::BINDING).is_undefined() {
        return Err(format!("a route keeps answers in KV, and there is no KV namespace {}", cache::BINDING));
    }
    match loaded.config.store.kind {
        StoreKind::Embedded => Ok(loaded),
        StoreKind::Redis(_) => Err("`store.kind`: a Worker speaks no Redis; leave [store] out".into()),
    }
}

//! The configuration of this Worker, from its bindings.

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use weir::Config;
use weir::config::{Document, Format, Loaded, StoreKind, Surroundings};
use worker::Env;

use crate::objects;

/// The text binding that holds the document, TOML or JSON.
const DOCUMENT: &str = "WEIR_CONFIG";

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

/// Reads and checks the document; in words what is wrong with it.
pub(crate) fn load(env: &Env) -> Result<Loaded, String> {
    if binding(env, objects::BINDING).is_undefined() {
        return Err(format!(
            "there is no binding {} to Durable Objects: they keep what is counted",
            objects::BINDING
        ));
    }
    let bindings = Bindings(env);
    let text = bindings.env(DOCUMENT).ok_or_else(|| format!("there is no text binding {DOCUMENT}"))?;
    let format = if text.trim_start().starts_with('{') { Format::Json } else { Format::Toml };
    let document = Document { name: DOCUMENT, text: &text, format };
    let loaded = Config::load(&document, &bindings).map_err(|faults| faults.to_string())?;
    match loaded.config.store.kind {
        StoreKind::Embedded => Ok(loaded),
        StoreKind::Redis(_) => Err("`store.kind`: a Worker speaks no Redis; leave [store] out".into()),
    }
}

//! What calls have used, on its way through a queue: one message for each call that is over, for whoever
//! keeps books.
//!
//! Without the binding nothing is sent; the log has it all the same. The consumer says on the console what
//! each tenant has used in a batch. A message that it cannot read is not thrown away: another version may be
//! able to, and after the queue's last try it goes to the dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use js_sys::JSON;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;
use weir::ledger::record::Record;
use worker::{Context, Env, MessageBatch, MessageExt as _, event};

use crate::promised::Promised;
use crate::{js, log, settings};

/// The binding of the queue, which need not be there.
const BINDING: &str = "USAGE";

/// One call.
#[derive(Debug, Deserialize, Serialize)]
struct Usage {
    request_id: String,
    tenant: String,
    caller: String,
    upstream: String,
    model: String,
    status: u16,
    input_tokens: u64,
    output_tokens: u64,
    took_ms: u64,
}

/// What a tenant has used.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sum {
    pub(crate) requests: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
}

/// The queue, where there is one.
pub(crate) struct Usages(JsValue);

impl Usages {
    pub(crate) fn new(env: &Env) -> Self {
        Self(settings::binding(env, BINDING))
    }

    pub(crate) async fn send(&self, record: &Record) {
        if self.0.is_undefined() {
            return;
        }
        let usage = Usage {
            request_id: record.request_id.clone(),
            tenant: record.caller.tenant().to_owned(),
            caller: record.caller.name().to_owned(),
            upstream: record.upstream.clone(),
            model: record.model.clone(),
            status: record.status,
            input_tokens: record.usage.input.0,
            output_tokens: record.usage.output.0,
            took_ms: millis(record.took),
        };
        let sent = match serde_json::to_string(&usage).map(|text| js::post(&self.0, &text)) {
            Ok(Ok(promise)) => Promised::from(&promise).await.is_ok(),
            Ok(Err(_)) | Err(_) => false,
        };
        if !sent {
            log::unsent(&record.request_id);
        }
    }
}

/// Never fails: a batch that does is sent again as a whole.
#[event(queue)]
async fn queue(batch: MessageBatch<JsValue>, _: Env, _: Context) -> worker::Result<()> {
    let mut sums = BTreeMap::<String, Sum>::new();
    for message in batch.raw_iter() {
        let text = JSON::stringify(&message.body()).ok().and_then(|text| text.as_string());
        match text.and_then(|text| serde_json::from_str::<Usage>(&text).ok()) {
            Some(usage) => {
                let sum = sums.entry(usage.tenant).or_default();
                sum.requests = sum.requests.saturating_add(1);
                sum.input_tokens = sum.input_tokens.saturating_add(usage.input_tokens);
                sum.output_tokens = sum.output_tokens.saturating_add(usage.output_tokens);
                message.ack();
            }
            None => message.retry(),
        }
    }
    for (tenant, sum) in &sums {
        log::used(tenant, sum);
    }
    Ok(())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

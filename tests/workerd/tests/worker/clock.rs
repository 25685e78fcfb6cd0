//! Queue and cron.

use serde_json::json;
use weir_native_tests::{Upstream, reply, status};

use crate::{ask, logged, start};

#[tokio::test]
async fn what_a_call_has_used_goes_through_the_queue() {
    let upstream = Upstream::start(|_| vec![reply::completion("it")]).await;
    let config = upstream.document("");
    let mut gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config }, "usage": true }));
    // One that no consumer can read is no obstacle to the others, and is not lost.
    gateway.say(&json!({ "send": { "what": "is this" } })).unwrap();
    assert_eq!(status(&ask(gateway.address, "").await), 200);
    let line = logged(&gateway, &["\"message\":\"usage\""]).await;
    assert!(line.contains("\"input_tokens\":7") && line.contains("\"output_tokens\":5"), "{line}");
    logged(&gateway, &["a dead letter: {\"what\":\"is this\"}"]).await;
}

#[tokio::test]
async fn the_clock_tells_how_breakers_stand() {
    // Refused credentials concern the whole upstream; the clock tells of no models.
    let upstream = Upstream::start(|_| vec![reply::error("401 Unauthorized", "no")]).await;
    let base = upstream.base();
    let config = format!(
        "auth = \"open\"\n[[route]]\nmodel = \"*\"\nto = [\"up\"]\n[upstream.up]\ndialect = \"openai\"\n\
         base_url = \"{base}\"\nbreaker = {{ consecutive = 1 }}\n"
    );
    let mut gateway = start(&json!({ "bindings": { "WEIR_CONFIG": config } }));
    assert!(status(&ask(gateway.address, "").await) >= 500);
    logged(&gateway, &["\"message\":\"request\""]).await;
    gateway.say(&json!({ "tick": true })).unwrap();
    logged(&gateway, &["\"message\":\"breakers\"", "\"up\":\"open\""]).await;
}

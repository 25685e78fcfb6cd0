//! Web pages that call from a real browser: it is the browser that refuses what the gateway does not allow.

use serde_json::{Value, json};
use weir_native_tests::{Act, Gateway, Upstream, browser, hash, reply};

/// Asks the gateway for everything once, and writes down what it could read.
const PAGE: &str = r#"<!doctype html><title>a page</title><pre id="out"></pre><script>
const told = {};
const ask = async (name, path, init) => {
  try {
    const answer = await fetch("{gateway}" + path, init);
    const text = await answer.text();
    told[name] = { status: answer.status, id: answer.headers.get("x-request-id") !== null,
      should: answer.headers.get("x-should-retry"), text };
  } catch (error) { told[name] = error.name; }
};
const call = (key, extra) => ({ method: "POST",
  headers: { authorization: "Bearer " + key, "content-type": "application/json", "x-stainless-lang": "js" },
  body: JSON.stringify({ model: "sim", messages: [{ role: "user", content: "Tell me of rivers." }], ...extra }) });
(async () => {
  await ask("whole", "/v1/chat/completions", call("right"));
  await ask("stream", "/v1/chat/completions", call("right", { stream: true }));
  await ask("wrong key", "/v1/chat/completions", call("wrong"));
  await ask("no such path", "/v1/no-such", call("right"));
  await ask("models", "/v1/models", { headers: { authorization: "Bearer right" } });
  await ask("delete", "/v1/files/f", { method: "DELETE", headers: { authorization: "Bearer right" } });
  await ask("with cookies", "/v1/models", { credentials: "include", headers: { authorization: "Bearer right" } });
  document.getElementById("out").textContent = JSON.stringify(told);
})();
</script>"#;

async fn gateway(server: &str) -> Gateway {
    Gateway::start(format!(
        "passthrough = \"simulated\"\n[server]\n{server}\n[upstream.simulated]\ndialect = \"simulated\"\ntenant = \"page\"\n\
         [[route]]\nmodel = \"sim*\"\nto = [\"simulated\"]\n[key.page]\nhash = \"{}\"\nmodels = [\"*\"]\npassthrough = [\"**\"]\n",
        hash("right")
    ))
    .await
}

/// What a page of an origin of its own could read.
async fn told(gateway: &Gateway, pages: &Upstream) -> Value {
    browser::shown(&format!("http://{}/?{}", pages.address, gateway.address)).await
}

/// Serves the page that calls the gateway its query names.
async fn pages() -> Upstream {
    Upstream::start(|seen| {
        let gateway = seen.target.split_once('?').map_or("", |(_, address)| address);
        let page = PAGE.replace("{gateway}", &format!("http://{gateway}"));
        vec![reply::response("200 OK", "text/html", &page), Act::Close]
    })
    .await
}

#[tokio::test]
async fn a_page_of_a_named_origin_reads_answers_streams_and_refusals() {
    let pages = pages().await;
    let gateway = gateway(&format!("cors = {{ origins = [\"http://{}\"] }}", pages.address)).await;
    let told = told(&gateway, &pages).await;
    for (name, status, part) in [
        ("whole", 200, "chat.completion"),
        ("stream", 200, "data: [DONE]"),
        ("wrong key", 401, "invalid_api_key"),
        ("no such path", 404, "Invalid URL"),
        ("models", 200, "\"list\""),
    ] {
        assert_eq!(told[name]["status"], status, "{name}: {told}");
        assert_eq!(told[name]["id"], true, "{name}: {told}");
        assert!(told[name]["text"].as_str().unwrap().contains(part), "{name}: {told}");
    }
    assert!(told["delete"]["status"].is_u64(), "its preflight is answered: {told}");
    assert_eq!(told["with cookies"], "TypeError", "{told}");
}

#[tokio::test]
async fn a_page_of_another_origin_reads_nothing() {
    let pages = pages().await;
    for server in ["", "cors = { origins = [\"https://app.example\", \"http://localhost:*\"] }"] {
        let gateway = gateway(server).await;
        let told = told(&gateway, &pages).await;
        let names = ["whole", "stream", "wrong key", "no such path", "models", "delete", "with cookies"];
        let nothing: Value = names.into_iter().map(|name| (name.to_owned(), json!("TypeError"))).collect();
        assert_eq!(told, nothing, "{server}");
    }
}

#[tokio::test]
async fn any_page_reads_what_is_open_to_any_but_without_cookies() {
    let pages = pages().await;
    for origins in ["*".to_owned(), format!("http://{}:*", pages.address.ip())] {
        let gateway = gateway(&format!("cors = {{ origins = [\"{origins}\"] }}")).await;
        let told = told(&gateway, &pages).await;
        assert_eq!(
            (&told["whole"]["status"], &told["stream"]["status"]),
            (&json!(200), &json!(200)),
            "{told}"
        );
        assert_eq!(told["with cookies"], "TypeError", "{told}");
    }
}

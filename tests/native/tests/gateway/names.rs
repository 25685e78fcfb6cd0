//! Names of upstreams, as a resolver of the test's own tells them.

use std::net::Ipv4Addr;

use weir_native_tests::wait::{holds, until};
use weir_native_tests::{Gateway, Launch, Resolver, Upstream, reply};

const NAME: &str = "provider.test";

async fn gateway(resolver: &Resolver, port: u16) -> Gateway {
    let document = format!(
        "auth = \"open\"\n[upstream.up]\ndialect = \"openai\"\nbase_url = \"http://{NAME}:{port}/v1\"\n\
         timeout = {{ connect = \"500ms\" }}\nbreaker = {{ consecutive = 100000, minimum = 100000 }}\n\
         [[route]]\nmodel = \"*\"\nto = [\"up\"]\nretry = {{ attempts = 1 }}\n"
    );
    Launch::of(document).resolv_conf(resolver.file.clone()).start().await
}

#[tokio::test]
async fn a_silent_resolver_is_told_apart_and_missed_no_longer_once_it_answers() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let resolver = Resolver::start(NAME, Ipv4Addr::LOCALHOST);
    let gateway = gateway(&resolver, upstream.address.port()).await;
    resolver.silence(true);
    let answer = gateway.explained_chat("m").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let explained = answer.header("x-weir-explain");
    assert!(explained.contains("timed out resolving the name"), "{explained}");
    assert!(upstream.seen().is_empty());
    resolver.silence(false);
    until("an answer", async || holds(gateway.chat("m").await.status == 200)).await;
}

#[tokio::test]
async fn an_upstream_that_has_moved_is_found_at_once() {
    let [old, new] = [1, 2].map(|number| Ipv4Addr::new(127, 54, 255, number));
    let before = Upstream::start_at((old, 0).into(), |_| vec![reply::completion("old")]).await;
    let port = before.address.port();
    let after = Upstream::start_at((new, port).into(), |_| vec![reply::completion("new")]).await;
    let resolver = Resolver::start(NAME, old);
    let gateway = gateway(&resolver, port).await;
    assert!(gateway.chat("m").await.text().contains("old"));
    resolver.move_to(new);
    drop(before);
    let answer = gateway.chat("m").await;
    assert_eq!((answer.status, answer.text().contains("new")), (200, true), "{}", answer.text());
    assert_eq!(after.seen().len(), 1);
}

//! State in Redis: what replicas share, and what each does alone when it is lost (invariants 1 and 2).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use weir::store::redis::{Value, acl};
use weir_native_tests::wait::{holds, until};
use weir_native_tests::{Act, Gateway, Launch, Proxy, SIMULATED, Upstream, chat_body, chat_request, reply};
use weir_redis_tests::{Connection, Server, free_port};

const SECRET: &str = "pa$$-canary/@:7e11";

/// The store's table. A loaded machine is slow, and no test but one is about that.
fn at(url: &str, timeout: &str) -> String {
    format!("\n[store]\nkind = \"redis\"\nurl = \"{url}\"\ntimeout = \"{timeout}\"\n")
}

fn counted_in(server: &Server) -> String {
    at(&server.url(), "10s")
}

async fn replicas(document: &str) -> Vec<Gateway> {
    join_all((0..4).map(|_| Gateway::start(document))).await
}

/// The statuses of so many calls at the same time, to each in turn.
async fn statuses(gateways: &[Gateway], calls: usize) -> BTreeMap<u16, usize> {
    let calls = (0..calls).map(|call| gateways[call % gateways.len()].chat("sim"));
    let mut counts = BTreeMap::new();
    for answer in join_all(calls).await {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

fn scripts_run(connection: &mut Connection) -> u64 {
    let Ok(Value::Bytes(info)) = connection.call(&["INFO", "commandstats"]) else { panic!("no INFO") };
    let info = String::from_utf8_lossy(&info).into_owned();
    let count = |name: &str| {
        let rest = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls="))?.into());
        rest.map_or(0, |rest: &str| rest.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    count("evalsha") + count("eval")
}

async fn ready(gateway: &Gateway) -> String {
    gateway.get("/ready").await.json()["store"].as_str().unwrap().to_owned()
}

async fn why(gateway: &Gateway) -> String {
    gateway.get("/ready").await.json()["why_store_is_lost"].as_str().unwrap_or_default().to_owned()
}

async fn until_store(gateway: &Gateway, state: &str) {
    until(&format!("the store is {state}"), async || holds(ready(gateway).await == state)).await;
}

#[tokio::test]
async fn four_replicas_admit_what_one_limit_says() {
    let server = Server::start();
    let limits = "\n[limits.default]\nrequests = \"100/d\"\n";
    let gateways = replicas(&[SIMULATED, limits, &counted_in(&server)].concat()).await;
    assert_eq!(statuses(&gateways, 500).await, BTreeMap::from([(200, 100), (429, 400)]));
}

#[tokio::test]
async fn of_four_replicas_one_sends_one_probe() {
    let (gate, is_well) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
    let (opened, well) = (Arc::clone(&gate), Arc::clone(&is_well));
    let upstream = Upstream::start(move |_| {
        if well.load(Ordering::SeqCst) {
            return vec![Act::Gate(Arc::clone(&opened)), reply::completion("hi")];
        }
        vec![reply::error("500 Internal Server Error", "broken")]
    })
    .await;
    let server = Server::start();
    let document = upstream.document("").replace(
        "breaker = { consecutive = 100000, minimum = 100000 }",
        "breaker = { consecutive = 2, open = \"3s\" }",
    );
    let document = document.replace("to = [\"up\"]", "to = [\"up\"]\nretry = { attempts = 1 }");
    let gateways = replicas(&(document + &counted_in(&server))).await;
    for gateway in &gateways[..2] {
        assert_eq!(gateway.chat("m").await.status, 502);
        gateway.until_idle().await;
    }
    for gateway in &gateways {
        assert_eq!(gateway.chat("m").await.status, 503, "what two have seen all four know");
    }
    is_well.store(true, Ordering::SeqCst);
    until("half-open", async || {
        let ready = gateways[3].get("/ready").await.json();
        holds(ready["upstreams"]["up"]["models"]["m"] == "half-open")
    })
    .await;
    let calls = join_all((0..40).map(|call| gateways[call % 4].chat("m")));
    let release = async {
        upstream.until_seen(3).await;
        // Those that were turned away have their answers; the probe waits for its own.
        until("39 refusals", async || {
            let mut refused = 0.0;
            for gateway in &gateways {
                refused += gateway.metrics().await.sum("weir_requests_total", &["status=\"503\""]);
            }
            holds(refused > 42.5)
        })
        .await;
        assert_eq!(upstream.seen().len(), 3, "one probe");
        gate.add_permits(100);
    };
    let (answers, ()) = tokio::join!(calls, release);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for gateway in &gateways {
        until("the breaker is closed", async || holds(gateway.chat("m").await.status == 200)).await;
    }
}

/// Nobody settles for it. Redis is made to think that the hold's time has passed.
#[tokio::test]
async fn what_a_killed_replica_held_comes_back() {
    let upstream = Upstream::start(|seen| {
        if seen.json()["model"] == "slow" { vec![Act::UntilGone] } else { vec![reply::completion("hi")] }
    })
    .await;
    let server = Server::start();
    let limits = "\n[limits.default]\nconcurrent = 1\n";
    let document =
        [&upstream.document("timeout = { total = \"20s\" }"), limits, &counted_in(&server)].concat();
    let (first, second) = (Gateway::start(&*document).await, Gateway::start(&*document).await);
    let mut held = Box::pin(first.chat("slow"));
    tokio::select! {
        _ = &mut held => panic!("it is answered"),
        _ = upstream.until_seen(1) => {}
    }
    assert_eq!(second.chat("m").await.status, 429);
    drop(held);
    drop(first);
    assert_eq!(second.chat("m").await.status, 429, "it is dead, and nobody knows");
    let mut connection = server.connect();
    let Ok(Value::Array(keys)) = connection.call(&["KEYS", "*:holds:*"]) else { panic!("no KEYS") };
    let [Value::Bytes(key)] = &keys[..] else { panic!("{keys:?}") };
    let key = std::str::from_utf8(key).unwrap();
    let Ok(Value::Int(left)) = connection.call(&["PTTL", key]) else { panic!("no PTTL") };
    assert!((1..=31_000).contains(&left), "{left} ms: a lease and a moment");
    connection.call(&["PEXPIRE", key, "1"]).unwrap();
    until("the hold is back", async || holds(second.chat("m").await.status == 200)).await;
}

#[tokio::test]
async fn an_answer_is_kept_for_all_replicas_and_costs_one_round_trip() {
    let upstream = Upstream::start(|_| vec![reply::completion("hi")]).await;
    let server = Server::start();
    let document = upstream.document("").replace("to = [\"up\"]", "to = [\"up\"]\ncache = true");
    let document = document + &counted_in(&server);
    let (first, second) = (Gateway::start(&*document).await, Gateway::start(&*document).await);
    let mut connection = server.connect();
    // The scripts are known from here on.
    first.chat("another").await;
    first.until_idle().await;
    let before = scripts_run(&mut connection);
    let miss = first.chat("m").await;
    assert_eq!((miss.status, miss.header("x-cache")), (200, "MISS"));
    // Not by /metrics, which asks the store itself.
    until("a miss: open and close", async || holds(scripts_run(&mut connection) - before == 2)).await;
    for _ in 0..2 {
        let hit = second.chat("m").await;
        assert_eq!((hit.status, hit.header("x-cache"), &hit.body), (200, "HIT", &miss.body));
    }
    assert_eq!(scripts_run(&mut connection) - before, 4, "a hit: open");
    assert_eq!(upstream.seen().len(), 2);
}

/// An `Idempotency-Key` whose call runs at another replica is waited for.
#[tokio::test]
async fn a_repeated_call_is_made_once_wherever_it_is_made() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream =
        Upstream::start(move |_| vec![Act::Gate(Arc::clone(&opened)), reply::completion("hi")]).await;
    let server = Server::start();
    let gateways = replicas(&(upstream.document("") + &counted_in(&server))).await;
    let calls = join_all(gateways.iter().map(|gateway| {
        let mut request = chat_request(&chat_body("m"));
        request.headers_mut().insert("idempotency-key", "order-7".parse().unwrap());
        gateway.send(request)
    }));
    let release = async {
        upstream.until_seen(1).await;
        gate.add_permits(10);
    };
    let (answers, ()) = tokio::join!(calls, release);
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn an_order_given_to_one_replica_holds_at_all() {
    let server = Server::start();
    let admin = format!("\n[admin]\nhash = \"{}\"\n", weir_native_tests::hash("sk-admin"));
    let gateways = replicas(&[SIMULATED, &admin, &counted_in(&server)].concat()).await;
    let order = http::Request::put("/admin/v1/breakers/simulated")
        .header("authorization", "Bearer sk-admin")
        .header("content-type", "application/json");
    let answer = gateways[0].send(order.body(weir_native_tests::whole(r#"{"state":"open"}"#)).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(statuses(&gateways, 8).await, BTreeMap::from([(503, 8)]));
    let list = http::Request::get("/admin/v1/breakers").header("authorization", "Bearer sk-admin");
    let list = gateways[3].send(list.body(weir_native_tests::whole("")).unwrap()).await.json();
    assert_eq!(list["data"][0]["name"], "simulated", "{list}");
}

/// Each limit does what it says while Redis is gone, and all count again when it is back.
#[tokio::test]
async fn a_redis_that_is_killed_is_missed_and_found_again() {
    let mut server = Server::start();
    let limits =
        |policy: &str| format!("\n[limits.default]\nrequests = \"8/d\"\non_store_loss = \"{policy}\"\n");
    let started = ["closed", "open", "local"].map(|policy| {
        let document = [SIMULATED, &limits(policy), &counted_in(&server)].concat();
        let document = document + &format!("namespace = \"{policy}\"\n");
        async move { Gateway::start(document).await }
    });
    let gateways = join_all(started).await;
    for gateway in &gateways {
        let answer = gateway.chat("sim").await;
        assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, ""));
        assert_eq!(ready(gateway).await, "ok");
    }
    server.kill();
    for gateway in &gateways {
        until_store(gateway, "lost").await;
        assert_eq!(gateway.get("/ready").await.status, 200, "it serves");
    }
    for (gateway, expected) in gateways.iter().zip([
        BTreeMap::from([(503, 5)]),
        BTreeMap::from([(200, 5)]),
        // A quarter of eight.
        BTreeMap::from([(200, 2), (429, 3)]),
    ]) {
        assert_eq!(statuses(std::slice::from_ref(gateway), 5).await, expected);
        let degraded = gateway.chat("sim").await;
        assert_eq!(degraded.header("x-weir-degraded"), "store", "{}", degraded.status);
    }
    server.restart();
    for gateway in &gateways {
        until_store(gateway, "ok").await;
        // One worker may be a moment behind the other.
        until("nothing is degraded", async || {
            let answers = join_all((0..4).map(|_| gateway.get("/ready"))).await;
            holds(answers.iter().all(|answer| answer.json()["store"] == "ok"))
        })
        .await;
        let answer = gateway.chat("sim").await;
        assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, ""));
        let faults = gateway.metrics().await.sum("weir_store_faults_total", &[]);
        assert!(faults > 0.5, "nothing was counted");
    }
}

/// A store that answers and counts nothing is as good as none.
#[tokio::test]
async fn a_redis_that_takes_no_writes_is_lost() {
    for (broken, mended) in [
        (&["REPLICAOF", "127.0.0.1", "1"][..], &["REPLICAOF", "NO", "ONE"][..]),
        (&["CONFIG", "SET", "min-replicas-to-write", "1"], &["CONFIG", "SET", "min-replicas-to-write", "0"]),
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
    ] {
        let server = Server::start();
        let gateway = Gateway::start([SIMULATED, &counted_in(&server)].concat()).await;
        let mut connection = server.connect();
        assert_eq!(gateway.chat("sim").await.header("x-weir-degraded"), "");
        connection.call(broken).unwrap();
        let answer = gateway.chat("sim").await;
        assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, "store"), "{broken:?}");
        assert_eq!(ready(&gateway).await, "lost", "{broken:?}: it can be read, and yet");
        connection.call(mended).unwrap();
        until_store(&gateway, "ok").await;
        let answer = gateway.chat("sim").await;
        assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, ""), "{mended:?}");
    }
}

#[tokio::test]
async fn a_slow_redis_costs_one_wait_and_then_none() {
    let server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let gateway = Gateway::start(
        [SIMULATED, "\n[server]\nworkers = 1\n", &at(&format!("redis://{}", proxy.address), "300ms")]
            .concat(),
    )
    .await;
    until_store(&gateway, "ok").await;
    proxy.delay(Duration::from_secs(2));
    let started = Instant::now();
    let answer = gateway.chat("sim").await;
    let took = started.elapsed();
    assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, "store"));
    assert!((Duration::from_millis(300)..Duration::from_millis(1900)).contains(&took), "{took:?}");
    let waited = gateway.metrics().await.sum("weir_store_faults_total", &["kind=\"timeout\""]);
    for _ in 0..10 {
        assert_eq!(gateway.chat("sim").await.header("x-weir-degraded"), "store");
    }
    let metrics = gateway.metrics().await;
    assert!((metrics.sum("weir_store_faults_total", &["kind=\"timeout\""]) - waited).abs() < 0.5);
    assert!(metrics.sum("weir_store_faults_total", &["kind=\"unconnected\""]) > 9.5, "{}", metrics.0);
    proxy.delay(Duration::ZERO);
    until_store(&gateway, "ok").await;
}

/// Two stores at the same time would each admit a limit.
#[tokio::test]
async fn another_store_needs_a_restart_and_is_told_so() {
    let server = Server::start();
    let document = [SIMULATED, &counted_in(&server)].concat();
    let gateway = Gateway::start(&*document).await;
    std::fs::write(&gateway.file, document + "namespace = \"another\"\n").unwrap();
    until("it is told", async || {
        let said = |line: &serde_json::Value| {
            line["message"].as_str().is_some_and(|text| text.contains("needs a restart"))
        };
        holds(gateway.logs().iter().any(said))
    })
    .await;
    gateway.chat("sim").await;
    gateway.until_idle().await;
    let mut connection = server.connect();
    assert_eq!(connection.call(&["KEYS", "weir:{another}*"]), Ok(Value::Array(Vec::new())));
}

/// Takes writes, forbids nothing, and answers each script with `reply`; counts its connections.
async fn impostor(reply: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let connections = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let has = |word: &[u8]| buffer[..length].windows(word.len()).any(|part| part == word);
                    let reply = match (has(b"trial:text"), has(b"EVALSHA")) {
                        (true, _) => b"*3\r\n$16\r\n0000000000000001\r\n:0\r\n:0\r\n",
                        (false, true) => reply,
                        (false, false) => b"+OK\r\n",
                    };
                    if stream.write_all(reply).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, count)
}

/// A connection over which another's reply came is not used again.
#[tokio::test]
async fn a_connection_that_is_out_of_step_is_dropped() {
    for (reply, kind) in [
        (&b"*3\r\n$16\r\n0123456789abcdef\r\n:0\r\n:1\r\n"[..], "garbled"),
        (b"$-1\r\n", "garbled"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "connection"),
    ] {
        let (address, connections) = impostor(reply).await;
        let document =
            [SIMULATED, "\n[server]\nworkers = 1\n", &at(&format!("redis://{address}"), "10s")].concat();
        let gateway = Gateway::start(document).await;
        for _ in 0..3 {
            let before = connections.load(Ordering::SeqCst);
            // A reading of /metrics asks the store as well, so the connection may be a new one that is not ready yet: a
            // call passes it by then.
            until("a new connection", async || {
                let answer = gateway.chat("sim").await;
                assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, "store"), "{kind}");
                holds(connections.load(Ordering::SeqCst) > before)
            })
            .await;
            gateway
                .until_metrics("connected", |metrics| metrics.sum("weir_store_connections", &[]) > 0.5)
                .await;
        }
        let label = format!("kind=\"{kind}\"");
        let metrics = gateway.metrics().await;
        assert!(metrics.sum("weir_store_faults_total", &[&label]) > 2.5, "{}", metrics.0);
    }
}

/// Clients that leave in the middle leave replies that nobody waits for; nobody else is given them.
#[tokio::test]
async fn replies_of_those_who_left_are_nobodys() {
    let upstream = Upstream::start(|seen| {
        let text = seen.json()["messages"][0]["content"].as_str().unwrap().to_owned();
        vec![reply::completion(&text)]
    })
    .await;
    let server = Server::start();
    let proxy = Proxy::start(server.address).await;
    proxy.delay(Duration::from_millis(2));
    let document = upstream.document("").replace("to = [\"up\"]", "to = [\"up\"]\ncache = true");
    let limits = "\n[limits.default]\nrequests = \"unlimited\"\n";
    let gateway =
        Gateway::start([&document, limits, &at(&format!("redis://{}", proxy.address), "10s")].concat()).await;
    let call = async |number: usize| {
        let mut body = chat_body("m");
        body["messages"][0]["content"] = format!("question {}", number % 50).into();
        let answer = gateway.send(chat_request(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
        assert_eq!(text, format!("question {}", number % 50));
    };
    for round in 0..40 {
        let leaving = (0..40).map(|number| {
            let patience = Duration::from_micros((number as u64 * 977 + round * 131) % 12_000);
            tokio::time::timeout(patience, call(number))
        });
        let (_, _) = tokio::join!(join_all(leaving), join_all((0..10).map(call)));
    }
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("weir_store_faults_total", &[]).abs() < 0.5, "{}", metrics.0);
}

/// Invariant 5: a place is taken in the store by then, and nobody else would give it back for eleven minutes.
#[tokio::test]
async fn who_leaves_while_the_store_answers_holds_no_place() {
    let upstream = Upstream::start(|_| vec![reply::completion("hello")]).await;
    let server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let limits = "\n[limits.default]\nrequests = \"unlimited\"\nconcurrent = 2\n";
    let store = at(&format!("redis://{}", proxy.address), "10s");
    let gateway = Gateway::start([&upstream.document(""), limits, &store].concat()).await;
    proxy.delay(Duration::from_millis(60));
    for _ in 0..6 {
        // The script has run, and its reply is on its way.
        let left = tokio::time::timeout(Duration::from_millis(90), gateway.chat("m")).await;
        assert!(left.is_err(), "it came too soon to be left");
    }
    proxy.delay(Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..2 {
        let answer = gateway.chat("m").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// By the trust and the credential that the environment gives, neither of which shows.
#[tokio::test]
async fn a_redis_behind_tls_and_a_password_is_reached() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (authority, cert) = (file("authority.pem", authority), file("cert.pem", leaf.pem()));
    let key = file("key.pem", key.serialize_pem());
    let port = free_port().to_string();
    let _server = Server::with(
        &[
            ["--tls-port", &port],
            ["--tls-cert-file", &cert],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &authority],
            ["--tls-auth-clients", "no"],
            ["--requirepass", SECRET],
        ]
        .concat(),
    );
    let escaped = SECRET.replace('$', "%24").replace('/', "%2F").replace('@', "%40").replace(':', "%3A");
    let store = "\n[store]\nkind = \"redis\"\nurl = { env = \"REDIS_URL\" }\ntimeout = \"10s\"\n";
    for (password, state) in [(escaped.as_str(), "ok"), ("canary-wrong-1d", "lost")] {
        let gateway = Launch::of([SIMULATED, store].concat())
            .env("SSL_CERT_FILE", &authority)
            .env("REDIS_URL", &format!("rediss://:{password}@localhost:{port}"))
            .start()
            .await;
        assert_eq!(ready(&gateway).await, state, "{}", gateway.program.stderr.text());
        let is_told = why(&gateway).await.contains("does not know this user with this password");
        assert_eq!(is_told, state == "lost");
        let answer = gateway.chat("sim").await;
        assert_eq!(answer.status, 200, "never a 401");
        let said = gateway.everything_said().await;
        assert!(!said.contains("canary") && !said.contains(SECRET), "{said}");
    }
}

/// Issue 14, item 2: fresh keys with large answers, within all limits.
#[tokio::test]
async fn a_tenant_with_large_answers_fills_no_redis() {
    let upstream = Upstream::start(|seen| {
        let size = if seen.json()["messages"][0]["content"] == "flood" { 1 << 20 } else { 10 };
        vec![reply::completion(&"x".repeat(size))]
    })
    .await;
    let server = Server::with(&["--maxmemory", "32mb"]);
    let keys = ["flood", "quiet"]
        .map(|key| format!("[key.{key}]\nhash = \"{}\"\ntenant = \"{key}\"\n", weir_native_tests::hash(key)));
    let tables = format!("{}[limits.default]\nrequests = \"1000/min\"\n", keys.concat());
    let document =
        upstream.document_with(&weir_native_tests::Extra { tables: &tables, ..Default::default() });
    let gateway = Gateway::start([&document, &counted_in(&server)[..]].concat()).await;
    let ask = async |tenant: &str, key: &str| {
        let mut body = chat_body("m");
        body["messages"][0]["content"] = tenant.into();
        let mut request = chat_request(&body);
        for (name, value) in [("authorization", &*format!("Bearer {tenant}")), ("idempotency-key", key)] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = gateway.send(request).await;
        assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, ""), "{tenant} {key}");
        answer.header("idempotent-replayed") == "true"
    };
    for call in 0..5 {
        assert!(!ask("quiet", &call.to_string()).await);
    }
    for call in 0..12 {
        assert!(!ask("flood", &call.to_string()).await, "{call}");
        assert!(!ask("quiet", &format!("meanwhile {call}")).await, "{call}");
    }
    gateway.until_idle().await;
    for call in 0..5 {
        assert!(ask("quiet", &call.to_string()).await, "{call}");
    }
    assert!(!ask("flood", "0").await, "its own made room");
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("weir_store_faults_total", &[]).abs() < 0.5, "{}", metrics.0);
}

/// Issue 15, 14: every call went uncounted, and nobody said so.
#[tokio::test]
async fn a_user_who_may_not_do_all_that_is_needed_has_no_store_and_is_told_what() {
    let server = Server::start();
    let mut operator = server.connect();
    let rules = acl("default");
    let mut set = |more: &str| {
        let words = ["ACL", "SETUSER", "weir", "reset", "on", ">pass"].into_iter();
        let words: Vec<&str> = words.chain(rules.split_whitespace()).chain(more.split_whitespace()).collect();
        operator.call(&words).unwrap();
    };
    set("-zadd -hincrby");
    let store = "\n[store]\nkind = \"redis\"\nurl = { env = \"REDIS_URL\" }\ntimeout = \"10s\"\n";
    let url = format!("redis://weir:pass@{}", server.address);
    let gateway = Launch::of([SIMULATED, store].concat()).env("REDIS_URL", &url).start().await;
    assert_eq!(ready(&gateway).await, "lost");
    let said = "Redis does not let this user do what is needed: hincrby zadd";
    assert_eq!(why(&gateway).await, said);
    assert_eq!(gateway.chat("sim").await.header("x-weir-degraded"), "store");
    let is_logged = |said: &str| {
        let logs = gateway.logs();
        logs.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains(said)))
    };
    until("it is logged", async || holds(is_logged(said))).await;
    let metrics = gateway.metrics().await;
    for command in ["zadd", "hincrby"] {
        let label = format!("command=\"{command}\"");
        assert!(metrics.sum("weir_store_forbidden_total", &[&label]) > 0.5, "{}", metrics.0);
    }
    set("");
    until_store(&gateway, "ok").await;
    assert_eq!(why(&gateway).await, "");
    assert_eq!(gateway.chat("sim").await.header("x-weir-degraded"), "");
    // What is taken away later is found by the first who would have needed it.
    set("-hset -hmget");
    until("a call finds it", async || holds(gateway.chat("sim").await.header("x-weir-degraded") == "store"))
        .await;
    until("it is told", async || holds(why(&gateway).await.ends_with(": hmget hset"))).await;
    set("resetkeys ~other:*");
    until("it is told", async || holds(why(&gateway).await.ends_with(": keys"))).await;
    until("it is logged", async || holds(is_logged("the store is lost: Redis does not let"))).await;
}

/// Issue 15, 13: a firewall forgets a connection that is silent, and tells nobody.
#[tokio::test]
async fn a_connection_that_is_silently_dead_is_found_before_a_call_finds_it() {
    let server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let store = at(&format!("redis://{}", proxy.address), "2s");
    let gateway = Gateway::start([SIMULATED, "\n[server]\nworkers = 1\n", &store].concat()).await;
    assert_eq!(gateway.chat("sim").await.header("x-weir-degraded"), "");
    gateway.until_idle().await;
    proxy.forget();
    // Nobody asks the store meanwhile.
    for said in ["the store is lost: no reply to a ping", "the store is there again"] {
        until(said, async || {
            let is_said =
                |line: &serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains(said));
            holds(gateway.logs().iter().any(is_said))
        })
        .await;
    }
    assert_eq!(gateway.chat("sim").await.header("x-weir-degraded"), "");
}

/// Issue 15, 12: 16 fetches of 3.5 MB took the store from all, for every reply came behind them.
#[tokio::test]
async fn large_kept_answers_keep_nobody_waiting_and_come_as_slowly_as_they_may() {
    const LARGE: usize = 3 << 20;
    let upstream = Upstream::start(|seen| {
        let size = if seen.json()["messages"][0]["content"] == "large" { LARGE } else { 10 };
        vec![reply::completion(&"x".repeat(size))]
    })
    .await;
    let server = Server::start();
    let proxy = Proxy::start(server.address).await;
    let limits = "\n[server]\nworkers = 1\n[limits.default]\nrequests = \"100000/min\"\n";
    let store = at(&format!("redis://{}", proxy.address), "2s");
    let gateway = Gateway::start([&upstream.document(""), limits, &store].concat()).await;
    let ask = async |content: &str, key: &str| {
        let mut body = chat_body("m");
        body["messages"][0]["content"] = content.into();
        let mut request = chat_request(&body);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        let answer = gateway.send(request).await;
        assert_eq!((answer.status, answer.header("x-weir-degraded")), (200, ""), "{content} {key}");
        (answer.header("idempotent-replayed") == "true", answer.text().len())
    };
    assert!(!ask("large", "large").await.0);
    gateway.until_idle().await;
    // 48 pieces: all of it takes longer than the store may be silent.
    proxy.delay(Duration::from_millis(60));
    let large = async {
        let fetched = join_all((0..4).map(|_| ask("large", "large"))).await;
        assert!(fetched.iter().all(|(is_replayed, length)| *is_replayed && *length > LARGE));
    };
    let small = async {
        for call in 0..20 {
            assert!(!ask("small", &call.to_string()).await.0);
        }
    };
    tokio::join!(large, small);
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("weir_store_faults_total", &[]).abs() < 0.5, "{}", metrics.0);
}

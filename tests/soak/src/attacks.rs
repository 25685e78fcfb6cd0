//! The eleventh: one task for each thing that he tries, as fast as he is let.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::upstream::BIG;

/// His keys: what one is refused for must not spare the gateway what another tries.
pub(crate) const KEYS: usize = 14;

/// The key of one thing that is tried.
pub(crate) fn key(attack: usize) -> String {
    format!("sk-soak-mallory-{attack}")
}

/// In the place of a key, until it is known whose it is.
const KEY: &str = "sk-soak-KEY";

/// For an answer; whoever attacks does not wait for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two tries of one kind.
const PACE: Duration = Duration::from_millis(50);

/// Before a connection that ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// Connections that he holds with half a request each.
const SLOW: usize = 200;

/// How often each thing was tried, by the status that came of it; 0 is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried(Arc<Mutex<BTreeMap<&'static str, BTreeMap<u16, u64>>>>);

impl Tried {
    fn note(&self, what: &'static str, status: u16) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default().entry(status).or_default() += 1;
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = counts.iter().map(|(what, by_status)| {
            let parts: Vec<String> =
                by_status.iter().map(|(status, count)| format!("{status} x {count}")).collect();
            format!("{what}: {}", parts.join(", "))
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n            "))
    }
}

/// Begins all of them; they end with `stop`.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(crate) fn begin(address: SocketAddr, stop: &CancellationToken, tasks: &TaskTracker) -> Tried {
    let tried = Tried::default();
    let bomb = post("", &["content-encoding: gzip"], &gzip(32 << 20));
    let members: Vec<u8> = gzip(0).repeat(50_000);
    let members = post("", &["content-encoding: gzip"], &members);
    let attacks: Vec<(&'static str, Make)> = vec![
        (
            "fills the store",
            Box::new(|n| {
                let body = chat("m", &format!("{BIG} {n}"));
                post("", &[&format!("idempotency-key: fill-{n}")], body.as_bytes())
            }),
        ),
        ("fills the cache", Box::new(|n| post("", &[], chat("kept", &format!("{BIG} {n}")).as_bytes()))),
        ("sends a bomb", Box::new(move |_| bomb.clone())),
        ("sends empty members", Box::new(move |_| members.clone())),
        (
            "sends 8 MiB",
            Box::new(|n| post("", &[], chat("m", &format!("{n}{}", "y".repeat(8 << 20))).as_bytes())),
        ),
        (
            "reaches for the account",
            Box::new(|n| {
                let paths = [
                    "GET /v1/files",
                    "GET /v1/organization/admin_api_keys",
                    "DELETE /v1/files/file-1",
                    "GET /v1/batches",
                    "GET /v1/fine_tuning/jobs",
                    "GET /v1/files/..;/batches",
                    "GET /v1/%252e%252e/files",
                ];
                line(pick(&paths, n), "")
            }),
        ),
        (
            "spells names differently",
            Box::new(|n| {
                let bodies = [
                    r#"{"model":"m","Model":"x","messages":[]}"#,
                    r#"{"MODEL":"x","messages":[]}"#,
                    r#"{"model":"m","model":"x","messages":[]}"#,
                    r#"{"model":"m","messages":[],"ſtream":true}"#,
                ];
                post("", &[], pick(&bodies, n).as_bytes())
            }),
        ),
        (
            "poisons by headers",
            Box::new(|n| {
                let headers = [
                    "x-forwarded-host: evil.example",
                    "x-http-method-override: DELETE",
                    "range: bytes=0-1",
                    "x-original-url: /admin",
                    "baggage: a=b",
                    "cache-control: only-if-cached",
                ];
                post("", &[pick(&headers, n)], chat("kept", "tenant 1 keeps 0").as_bytes())
            }),
        ),
        (
            "takes others' keys",
            Box::new(|n| {
                let body = chat("m", &format!("mallory {n}"));
                post("", &[&format!("idempotency-key: repeat-{n}")], body.as_bytes())
            }),
        ),
        (
            "asks for numbers",
            Box::new(|n| line(pick(&["GET /metrics", "GET /ready", "GET /admin/v1/breakers"], n), "")),
        ),
        (
            "guesses keys",
            Box::new(|n| {
                format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-{n}\r\n\
                connection: close\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes()
            }),
        ),
        (
            "is ambiguous",
            Box::new(|n| {
                let lines = [
                    "content-length: 5\r\ntransfer-encoding: chunked",
                    "content-length: 5\r\ncontent-length: 6",
                ];
                line("POST /v1/chat/completions", &format!("{}\r\n", pick(&lines, n)))
            }),
        ),
    ];
    for (attack, (what, make)) in attacks.into_iter().enumerate() {
        let (tried, stop) = (tried.clone(), stop.clone());
        tasks.spawn(stop.run_until_cancelled_owned(async move {
            for number in 0_u64.. {
                let status = tokio::time::timeout(PATIENCE, ask(address, &signed(&make(number), attack)))
                    .await
                    .unwrap_or(0);
                tried.note(what, status);
                tokio::time::sleep(PACE).await;
            }
        }));
    }
    for number in 0..SLOW {
        let (tried, stop) = (tried.clone(), stop.clone());
        tasks.spawn(stop.run_until_cancelled_owned(async move {
            loop {
                let status = hold(address, number).await.unwrap_or(0);
                tried.note("sends a byte a second", status);
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }
    let (left, stop) = (tried.clone(), stop.clone());
    tasks.spawn(stop.run_until_cancelled_owned(async move {
        loop {
            let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"a stream that nobody reads"}]}"#;
            if let Ok(mut stream) = TcpStream::connect(address).await {
                let _ = stream.write_all(&signed(&post("", &[], body.as_bytes()), KEYS - 1)).await;
                let _ = stream.read(&mut [0; 64]).await;
            }
            left.note("leaves in mid-stream", 0);
            tokio::time::sleep(PACE).await;
        }
    }));
    tried
}

/// With the key of that attack.
fn signed(request: &[u8], attack: usize) -> Vec<u8> {
    let head = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(request.len());
    let (head, rest) = request.split_at(head);
    [String::from_utf8_lossy(head).replace(KEY, &key(attack)).as_bytes(), rest].concat()
}

type Make = Box<dyn Fn(u64) -> Vec<u8> + Send>;

fn pick<'a>(from: &[&'a str], number: u64) -> &'a str {
    from[usize::try_from(number).unwrap_or(0) % from.len()]
}

fn chat(model: &str, prompt: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt}"}}]}}"#)
}

fn gzip(zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; zeros]).unwrap();
    encoder.finish().unwrap()
}

fn post(target: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let target = if target.is_empty() { "/v1/chat/completions" } else { target };
    let length = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    let lines = [headers, &[length.as_str(), ""]].concat().join("\r\n");
    [line(&format!("POST {target}"), &lines), body.to_vec()].concat()
}

fn line(line: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

/// The status that comes of it.
async fn ask(address: SocketAddr, bytes: &[u8]) -> u16 {
    let Ok(mut stream) = TcpStream::connect(address).await else { return 0 };
    // Who is refused before the end reads all the same.
    let _ = stream.write_all(bytes).await;
    let (mut head, mut rest) = (Vec::new(), vec![0; 64 << 10]);
    while let Ok(read @ 1..) = stream.read(&mut rest).await {
        if head.len() < 64 {
            head.extend_from_slice(&rest[..read]);
        }
    }
    String::from_utf8_lossy(&head).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Half a request, then a byte a second, until the gateway has had enough.
async fn hold(address: SocketAddr, number: usize) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let announced =
        line("POST /v1/chat/completions", "content-type: application/json\r\ncontent-length: 20000000\r\n");
    let announced = signed(&announced, KEYS - 2);
    let half = if number.is_multiple_of(2) { &announced[..] } else { &announced[..60] };
    stream.write_all(half).await.ok()?;
    let mut head = [0; 64];
    loop {
        tokio::select! {
            read = stream.read(&mut head) => {
                let text = String::from_utf8_lossy(&head[..read.ok()?]).into_owned();
                return text.split(' ').nth(1)?.parse().ok();
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => stream.write_all(b" ").await.ok()?,
        }
    }
}

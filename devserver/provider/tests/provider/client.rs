//! A provider to call, and a client that sees how a connection ends.

use std::{io, net::SocketAddr, str::from_utf8};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

/// A running provider; it ends when this is dropped.
pub(crate) struct Provider {
    pub(crate) addr: SocketAddr,
    _shutdown: oneshot::Sender<()>,
}

impl Provider {
    pub(crate) async fn start() -> io::Result<Self> {
        let simulated = weir_provider::bind(([127, 0, 0, 1], 0).into()).await?;
        let addr = simulated.addr();
        let (shutdown, ended) = oneshot::channel::<()>();
        tokio::spawn(simulated.run(async {
            let _ = ended.await;
        }));
        Ok(Self { addr, _shutdown: shutdown })
    }

    /// Sends one request and reads until the connection ends.
    pub(crate) async fn exchange(&self, request: &Request<'_>) -> io::Result<Exchange> {
        let mut socket = self.send(request).await?;
        let mut raw = Vec::new();
        let end = loop {
            match socket.read_buf(&mut raw).await {
                Ok(0) => break End::Fin,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => return Err(error),
            }
        };
        Ok(Exchange::of(&raw, end))
    }

    pub(crate) async fn send(&self, request: &Request<'_>) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect(self.addr).await?;
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{}\r\n",
            request.method,
            request.path,
            request.body.len(),
            request.headers,
        );
        socket.write_all(&[head.as_bytes(), request.body.as_bytes()].concat()).await?;
        Ok(socket)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> io::Result<Exchange> {
        let body = body.to_string();
        self.exchange(&Request { method: "POST", path, headers: "", body: &body }).await
    }

    pub(crate) async fn fetch(&self, path: &str) -> io::Result<Exchange> {
        self.exchange(&Request { method: "GET", path, headers: "", body: "" }).await
    }

    pub(crate) async fn chat(&self, body: &Value) -> io::Result<Exchange> {
        self.post("/v1/chat/completions", body).await
    }
}

pub(crate) struct Request<'r> {
    pub(crate) method: &'r str,
    pub(crate) path: &'r str,
    /// Each ends in a line break.
    pub(crate) headers: &'r str,
    pub(crate) body: &'r str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// One answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// 0 if no response began.
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    /// Without its transfer encoding.
    pub(crate) body: Vec<u8>,
    /// Whether a chunked body came with its last chunk.
    pub(crate) complete: bool,
    pub(crate) end: End,
}

impl Exchange {
    fn of(raw: &[u8], end: End) -> Self {
        let split = raw.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, rest) = split.map_or((raw, &[][..]), |at| (&raw[..at], &raw[at + 4..]));
        let head = String::from_utf8_lossy(head).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let (body, complete) = if head.contains("transfer-encoding: chunked") {
            unchunked(rest)
        } else {
            (rest.to_vec(), declared(&head) == Some(rest.len()))
        };
        Self { status, head, body, complete, end }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// What follows `data: `, event by event.
    pub(crate) fn data(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.map(str::to_owned).collect()
    }

    /// The events that are JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.data().iter().filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    /// The text that a chat stream has brought.
    pub(crate) fn content(&self) -> Vec<String> {
        let events = self.events();
        let deltas = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str());
        deltas.filter(|token| !token.is_empty()).map(str::to_owned).collect()
    }
}

fn declared(head: &str) -> Option<usize> {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    line.and_then(|length| length.parse().ok())
}

/// Joins the chunks; the second half says whether the last one, of length 0, was there.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = from_utf8(&rest[..at]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let Some(size) = size.filter(|size| rest.len() >= at + 2 + size + 2) else {
            return (body, false);
        };
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 2 + size + 2..];
    }
    (body, false)
}

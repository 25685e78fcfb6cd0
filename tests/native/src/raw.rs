//! Bytes on a socket, for what no HTTP client would send.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait::{PATIENCE, within};

/// A connection whose every byte is the test's own.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Sends `bytes`. The other side may have closed by now; what it said is still to be read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within(PATIENCE, "bytes sent", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Reads the status line of an answer, or until the other side closes.
    pub async fn status_line(&mut self) -> String {
        let reading = async {
            while !self.received.windows(2).any(|pair| pair == b"\r\n") {
                let Ok(1..) = self.stream.read_buf(&mut self.received).await else { break };
            }
        };
        within(PATIENCE, "a status line", reading).await;
        let text = String::from_utf8_lossy(&self.received);
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Reads until the other side closes; gives all that was received.
    pub async fn to_end(&mut self) -> String {
        self.to_end_within(PATIENCE).await
    }

    pub async fn to_end_within(&mut self, patience: Duration) -> String {
        let reading = async { while let Ok(1..) = self.stream.read_buf(&mut self.received).await {} };
        within(patience, "the end of the connection", reading).await;
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads until `wanted` has come.
    pub async fn read_until(&mut self, wanted: &str) -> String {
        let reading = async {
            while !String::from_utf8_lossy(&self.received).contains(wanted) {
                let Ok(1..) = self.stream.read_buf(&mut self.received).await else { break };
            }
        };
        within(PATIENCE, wanted, reading).await;
        let text = String::from_utf8_lossy(&self.received).into_owned();
        assert!(text.contains(wanted), "closed before {wanted:?}: {text:?}");
        text
    }

    /// Sends no more, and reads on.
    pub async fn finish(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown().await;
    }

    /// Closes with a TCP RST.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// The status of a raw response; 0 when there is none.
pub fn status(response: &str) -> u16 {
    response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// A chat completion as bytes. `headers` are whole lines.
pub fn chat_bytes(body: &Value, headers: &str) -> String {
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         {headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

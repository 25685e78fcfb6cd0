//! A request as an upstream sees it.

use std::io;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What arrived.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Head and body, to be searched.
    pub fn text(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("{} {}\n{:?}\n{body}", self.method, self.target, self.headers)
    }
}

/// Reads one request; `None` when the connection ends before one begins.
pub(super) async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    let Some(end) = find(stream, buffer, b"\r\n\r\n").await? else { return Ok(None) };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let mut seen = Seen {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        ..Seen::default()
    };
    let fields = lines.filter_map(|line| line.split_once(':'));
    seen.headers = fields.map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned())).collect();
    if seen.header("transfer-encoding").is_some() {
        loop {
            let line = find(stream, buffer, b"\r\n").await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let size: Vec<u8> = buffer.drain(..line + 2).collect();
            let size = String::from_utf8_lossy(&size);
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            seen.body.extend(take(stream, buffer, size).await?);
            take(stream, buffer, 2).await?;
            if size == 0 {
                return Ok(Some(seen));
            }
        }
    }
    let length = seen.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
    seen.body = take(stream, buffer, length).await?;
    Ok(Some(seen))
}

async fn find(stream: &mut TcpStream, buffer: &mut Vec<u8>, wanted: &[u8]) -> io::Result<Option<usize>> {
    loop {
        if let Some(at) = buffer.windows(wanted.len()).position(|window| window == wanted) {
            return Ok(Some(at));
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

async fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, count: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < count {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..count).collect())
}

//! A client that sends what it is given and keeps what comes, to the byte, with how the connection ended.
//!
//! It is no library's: those refuse what a case wants to send and hide how an answer ended.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Semaphore;

/// A part of what is sent.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Wait(Duration),
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As its framing says.
    Clean,
    /// Before that.
    Aborted,
    /// The client left.
    Left,
}

impl Ended {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Aborted => "aborted",
            Self::Left => "left",
        }
    }
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// 0 when the connection was closed without a word.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) ended: Ended,
    pub(crate) took: Duration,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// When a client stops reading.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaving<'a> {
    Never,
    /// With so many bytes of the body.
    After(usize),
    /// When this is opened.
    On(&'a Semaphore),
}

/// Sends one request on a connection of its own and reads its answer.
pub(crate) async fn exchange(
    address: SocketAddr,
    request: &[Piece],
    is_head: bool,
    leaving: Leaving<'_>,
) -> Result<Reply, String> {
    let started = Instant::now();
    let stream = TcpStream::connect(address).await.map_err(|e| format!("no connection: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let (download, mut upload) = stream.into_split();
    let sending = async {
        for piece in request {
            match piece {
                // Who refuses early may have closed by now; what it said is still to be read.
                Piece::Bytes(bytes) => _ = upload.write_all(bytes).await,
                Piece::Wait(pause) => tokio::time::sleep(*pause).await,
            }
        }
        std::future::pending::<()>().await;
    };
    let mut reading = Reading { download, held: BytesMut::new() };
    let mut reply =
        Reply { status: 0, headers: Vec::new(), body: Vec::new(), ended: Ended::Clean, took: Duration::ZERO };
    let (enough, gone) = match leaving {
        Leaving::Never => (usize::MAX, None),
        Leaving::After(bytes) => (bytes, None),
        Leaving::On(signal) => (usize::MAX, Some(signal)),
    };
    let leaving = async {
        match gone {
            Some(signal) => _ = signal.acquire().await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        () = sending => Ended::Clean,
        () = leaving => Ended::Left,
        ended = reading.read(&mut reply, is_head, enough) => ended?,
    };
    if ended == Ended::Left {
        // A reset, as of a program that has died: workerd takes a mere end of the request for no farewell.
        upload.as_ref().set_zero_linger().map_err(|e| e.to_string())?;
    }
    (reply.ended, reply.took) = (ended, started.elapsed());
    Ok(reply)
}

struct Reading {
    download: OwnedReadHalf,
    held: BytesMut,
}

impl Reading {
    async fn read(&mut self, reply: &mut Reply, is_head: bool, enough: usize) -> Result<Ended, String> {
        loop {
            let Some(head) = self.until(b"\r\n\r\n").await else {
                let is_silent = self.held.is_empty();
                return if is_silent {
                    Ok(Ended::Clean)
                } else {
                    Err(format!("half a head: {:?}", self.held))
                };
            };
            (reply.status, reply.headers) = parse_head(&head)?;
            if !(100..200).contains(&reply.status) {
                break;
            }
        }
        if enough == 0 {
            return Ok(Ended::Left);
        }
        if is_head || matches!(reply.status, 204 | 304) {
            return Ok(Ended::Clean);
        }
        if reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(&mut reply.body, enough).await;
        }
        let length = match reply.header("content-length") {
            Some(length) => Some(length.parse::<usize>().map_err(|e| format!("content-length: {e}"))?),
            None => None,
        };
        let wanted = length.unwrap_or(usize::MAX);
        while reply.body.len() < wanted.min(enough) {
            if self.held.is_empty() && !self.fill().await {
                return Ok(if length.is_some() { Ended::Aborted } else { Ended::Clean });
            }
            let take = self.held.len().min(wanted - reply.body.len());
            reply.body.extend_from_slice(&self.held.split_to(take));
        }
        Ok(if reply.body.len() >= wanted { Ended::Clean } else { Ended::Left })
    }

    async fn read_chunks(&mut self, body: &mut Vec<u8>, enough: usize) -> Result<Ended, String> {
        loop {
            let Some(line) = self.until(b"\r\n").await else { return Ok(Ended::Aborted) };
            let line = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(line.trim(), 16).map_err(|e| format!("chunk {line:?}: {e}"))?;
            while self.held.len() < size + 2 {
                if !self.fill().await {
                    body.extend_from_slice(&self.held);
                    return Ok(Ended::Aborted);
                }
            }
            body.extend_from_slice(&self.held.split_to(size));
            let _ = self.held.split_to(2);
            if size == 0 {
                return Ok(Ended::Clean);
            }
            if body.len() >= enough {
                return Ok(Ended::Left);
            }
        }
    }

    /// What comes up to and with `end`; `None` when the connection ends before.
    async fn until(&mut self, end: &[u8]) -> Option<BytesMut> {
        loop {
            if let Some(at) = self.held.windows(end.len()).position(|window| window == end) {
                return Some(self.held.split_to(at + end.len()));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Whether more has come. A reset is an end like any other: what it cuts off is seen by the framing.
    async fn fill(&mut self) -> bool {
        matches!(self.download.read_buf(&mut self.held).await, Ok(1..))
    }
}

type Head = (u16, Vec<(String, String)>);

fn parse_head(head: &[u8]) -> Result<Head, String> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("no status line: {line:?}"))?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Ok((status, headers.collect()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Whatever a server sends before it closes, and how that is understood.
    async fn answered(bytes: &'static [u8]) -> Result<Reply, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(bytes).await.unwrap();
        };
        let request = [Piece::Bytes(b"G".to_vec())];
        tokio::join!(server, exchange(address, &request, false, Leaving::Never)).1
    }

    #[tokio::test]
    async fn the_framing_says_how_an_answer_ended() {
        let table: [(&[u8], u16, &str, Ended); 6] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, "hi", Ended::Clean),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", 200, "hi", Ended::Aborted),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                200,
                "hi",
                Ended::Clean,
            ),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", 200, "hi", Ended::Aborted),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhi", 200, "hi", Ended::Clean),
            (b"", 0, "", Ended::Clean),
        ];
        for (bytes, status, body, ended) in table {
            let reply = answered(bytes).await.unwrap();
            let got = (reply.status, reply.text(), reply.ended);
            assert_eq!(got, (status, body.to_owned(), ended), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(answered(b"HTTP/1.1 200 OK\r\n").await.is_err());
    }
}

//! A client's body, read within its bounds: bytes, time, and what it becomes when it is decoded.
//!
//! A body holds no slot of the process while it is awaited. What is held of it counts against its tenant's share of
//! `max_buffered`, decoded bytes as well as those that came, and goes on to count until the last of it is let go.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, header};

use crate::config::Server;
use crate::limits::admission::{Buffered, Full};
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::wire::coding::{self, Coding, Decoder, Fault};
use crate::wire::upload::Broken;

/// The slowest body that is waited for, once it has taken the configured time.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;

/// How long a body may take before it has to keep to the slowest rate.
const GRACE: Duration = Duration::from_secs(10);

/// What a body that is awaited counts at least, however little of it is here: its task and its connection's buffers.
const AWAITED: u64 = 8 * 1024;

/// A body that says that it is no larger than this is read without asking whether there will be room.
const SMALL: u64 = 64 * 1024;

/// Bytes, taken and made, that are decoded in one go: some two milliseconds.
const SLICE: usize = 256 * 1024;

/// Bytes that a decoder is given at a time.
const BITE: usize = 64 * 1024;

/// How long a client may take for its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    timeout: Duration,
    /// Bytes a second; 0 asks for none.
    rate: u64,
}

impl Pace {
    pub(crate) const fn new(timeout: Duration, rate: u64) -> Self {
        Self { timeout, rate }
    }

    pub(crate) fn of(server: &Server) -> Self {
        Self::new(server.body_timeout, server.min_upload_rate)
    }

    /// Time from the body's beginning until more than so many bytes have to be here.
    pub(crate) fn allows(self, received: u64) -> Duration {
        let whole = self.timeout + Duration::from_secs(received / SLOWEST_BYTES_PER_SECOND);
        let millis = received.saturating_mul(1000).checked_div(self.rate);
        millis.map_or(whole, |millis| whole.min(GRACE.saturating_add(Duration::from_millis(millis))))
    }
}

/// Reads the whole body, decoded.
pub(crate) async fn collect<P: Platform>(
    platform: &P,
    server: &Server,
    tenant: &str,
    headers: &HeaderMap,
    upload: P::Upload,
) -> Result<Bytes, Refusal> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let most = platform.admission().longest_body(server.max_body);
    if declared.is_some_and(|length: u64| length > most) {
        return Err(Refusal::TooLarge { limit: most });
    }
    let mut buffered = platform.admission().buffer(tenant, server.max_buffered);
    if let Some(declared) = declared.filter(|length| *length > SMALL) {
        // What would not find room need not come.
        buffered.reach(declared).map_err(full)?;
        buffered.shrink(0);
    }
    let body = read(platform, server, most, upload, &mut buffered).await?;
    let body = match coding_of(headers)? {
        Some(coding) => {
            let mut decoding = Decoding::new(coding, body, most);
            loop {
                match decoding.slice(&mut buffered)? {
                    Slice::Whole(body) => break body,
                    Slice::Done => platform.sleep(Duration::ZERO).await,
                }
            }
        }
        None => body,
    };
    buffered.shrink(body.len() as u64);
    Ok(buffered.around(body))
}

async fn read<P: Platform>(
    platform: &P,
    server: &Server,
    most: u64,
    mut upload: P::Upload,
    buffered: &mut Buffered,
) -> Result<Bytes, Refusal> {
    let (pace, started) = (Pace::of(server), platform.now());
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    loop {
        let received = (first.len() + rest.len()) as u64;
        let mut patience: Option<P::Sleep> = None;
        // Most bodies are here with their heads, and need no timer.
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = upload.poll_next_unpin(cx) {
                return Poll::Ready(Ok(next));
            }
            if patience.is_none()
                && let Err(why) = buffered.reach(received.max(AWAITED))
            {
                return Poll::Ready(Err(full(why)));
            }
            let left = || pace.allows(received).saturating_sub(platform.now().since(started));
            let sleep = patience.get_or_insert_with(|| platform.sleep(left()));
            Pin::new(sleep).poll(cx).map(|()| Err(Refusal::TooSlow))
        });
        let chunk = match next.await? {
            Some(Ok(chunk)) => chunk,
            None => break,
            Some(Err(Broken)) => {
                return Err(Refusal::InvalidJson { problem: "the body ended before it was complete".into() });
            }
        };
        let received = received + chunk.len() as u64;
        if received > most {
            return Err(Refusal::TooLarge { limit: most });
        }
        buffered.reach(received).map_err(full)?;
        // Most bodies are one chunk, and that is not copied.
        if first.is_empty() && rest.is_empty() {
            first = chunk;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&chunk);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

const fn full(full: Full) -> Refusal {
    Refusal::BuffersFull { full }
}

/// The coding that a body comes in, if it is to be undone.
fn coding_of(headers: &HeaderMap) -> Result<Option<Coding>, Refusal> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
    let encoding = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
    if matches!(encoding.as_str(), "" | "identity") {
        return Ok(None);
    }
    Coding::named(&encoding).map(Some).ok_or_else(|| {
        let problem = format!("Content-Encoding must be {}", coding::TAKEN);
        Refusal::UnsupportedMedia { problem }
    })
}

/// A body whose coding is undone slice by slice, so that others have their turn in between.
struct Decoding {
    coding: Coding,
    decoder: Decoder,
    /// What came, and what of it is being decoded.
    body: Bytes,
    bite: Bytes,
    coded: usize,
    out: Vec<u8>,
    limit: u64,
}

/// What a slice of the work comes to.
#[derive(Debug)]
enum Slice {
    Done,
    /// It was the last one.
    Whole(Bytes),
}

impl Decoding {
    /// The bound holds for what comes out.
    fn new(coding: Coding, body: Bytes, limit: u64) -> Self {
        let (decoder, coded) = (Decoder::new(coding, limit), body.len());
        Self { coding, decoder, body, bite: Bytes::new(), coded, out: Vec::new(), limit }
    }

    fn slice(&mut self, buffered: &mut Buffered) -> Result<Slice, Refusal> {
        let mut done = 0;
        while done < SLICE {
            if self.bite.is_empty() {
                self.bite = self.body.split_to(self.body.len().min(BITE));
            }
            if self.bite.is_empty() && !self.decoder.holds_more() {
                self.decoder.finish(&mut self.out).map_err(|fault| self.refused(fault))?;
                return Ok(Slice::Whole(std::mem::take(&mut self.out).into()));
            }
            let before = (self.bite.len(), self.out.len());
            self.decoder.decode(&mut self.bite, &mut self.out).map_err(|fault| self.refused(fault))?;
            buffered.reach((self.coded + self.out.len()) as u64).map_err(full)?;
            done += before.0.saturating_sub(self.bite.len()) + (self.out.len() - before.1);
        }
        Ok(Slice::Done)
    }

    fn refused(&self, fault: Fault) -> Refusal {
        match fault {
            Fault::TooLarge | Fault::TooDense | Fault::TooManyMembers => {
                Refusal::TooLarge { limit: self.limit }
            }
            Fault::Malformed | Fault::Truncated => {
                Refusal::InvalidJson { problem: format!("the body is not valid {}", self.coding.name()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;
    use crate::limits::admission::Admission;

    fn decoded(encoding: &'static str, body: Vec<u8>, limit: u64) -> Result<Bytes, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let status = |refusal: Refusal| refusal.status().as_u16();
        let Some(coding) = coding_of(&headers).map_err(status)? else { return Ok(body.into()) };
        slices(coding, body, limit, 1 << 40).map(|(body, _)| body).map_err(status)
    }

    /// What comes out, and the most that was made of it in one go.
    fn slices(coding: Coding, body: Vec<u8>, limit: u64, room: u64) -> Result<(Bytes, usize), Refusal> {
        let mut buffered = Admission::default().buffer("t", room);
        let (mut decoding, mut most, mut made) = (Decoding::new(coding, body.into(), limit), 0, 0);
        loop {
            match decoding.slice(&mut buffered)? {
                Slice::Done => {
                    most = most.max(decoding.out.len() - made);
                    made = decoding.out.len();
                }
                Slice::Whole(body) => return Ok((body, most)),
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_bound_holds_for_what_comes_out() {
        assert_eq!(decoded("gzip", gzip(b"{}"), 2), Ok("{}".into()));
        assert_eq!(decoded("gzip", gzip(&vec![0; 100_000]), 99_999), Err(413), "a bomb");
        assert_eq!(decoded("gzip", b"{}".to_vec(), 99), Err(400));
        assert_eq!(decoded("compress", b"{}".to_vec(), 99), Err(415));
        assert_eq!(decoded("gzip, br", b"{}".to_vec(), 99), Err(415), "one after the other");
        assert_eq!(decoded("Identity", b"{}".to_vec(), 99), Ok("{}".into()));
    }

    #[test]
    fn a_body_is_decoded_in_slices() {
        for (packed, length) in [(gzip(&vec![b' '; 4 << 20]), 4 << 20), (gzip(b"{}").repeat(200), 400)] {
            let (body, most) = slices(Coding::Gzip, packed, 32 << 20, 1 << 40).unwrap();
            assert_eq!(body.len(), length);
            assert!(most <= 2 * SLICE, "{most} in one go");
        }
        // Blocks of nothing: much is taken, and nothing comes of it.
        let nothing = [&[0, 0, 0, 0xff, 0xff][..]].concat().repeat(1 << 18);
        let mut decoding = Decoding::new(Coding::Deflate, nothing.into(), 1 << 20);
        let mut buffered = Admission::default().buffer("t", 1 << 40);
        assert!(matches!(decoding.slice(&mut buffered), Ok(Slice::Done)));
        assert!(decoding.body.len() + decoding.bite.len() >= (5 << 18) - 2 * SLICE);
    }

    #[test]
    fn decoded_bytes_count_against_the_share() {
        let packed = gzip(&vec![b' '; 1 << 20]);
        assert!(packed.len() < 4096);
        let refusal = slices(Coding::Gzip, packed, 32 << 20, 1 << 20).unwrap_err();
        assert_eq!(refusal, Refusal::BuffersFull { full: Full::Share });
    }

    #[test]
    fn a_body_keeps_to_the_slowest_rate_behind_its_first_seconds() {
        let pace = Pace::new(Duration::from_secs(30), 1024);
        for (received, seconds) in [(0, 10), (1024, 11), (20 * 1024, 30), (64 << 10, 31), (1 << 20, 46)] {
            assert_eq!(pace.allows(received), Duration::from_secs(seconds), "{received} bytes");
        }
        assert_eq!(Pace::new(Duration::from_secs(1), 1024).allows(0), Duration::from_secs(1));
        assert_eq!(Pace::new(Duration::from_secs(30), 0).allows(0), Duration::from_secs(30));
    }
}

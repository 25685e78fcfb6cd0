//! A client's body, read within its bounds: bytes, time, and what it becomes when it is decoded.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use http::{HeaderMap, header};

use crate::coding::{self, Coding, Fault};
use crate::config::Server;
use crate::platform::{Broken, Platform};
use crate::refusal::Refusal;

/// The slowest body that is waited for, once it has taken the configured time.
pub(crate) const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Reads the whole body, decoded.
pub(crate) async fn collect<P: Platform>(
    platform: &P,
    server: &Server,
    headers: &HeaderMap,
    upload: P::Upload,
) -> Result<Bytes, Refusal> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > server.max_body) {
        return Err(Refusal::TooLarge { limit: server.max_body });
    }
    let body = read(platform, server, upload).await?;
    decode(headers, body, server.max_body)
}

async fn read<P: Platform>(platform: &P, server: &Server, mut upload: P::Upload) -> Result<Bytes, Refusal> {
    let started = platform.now();
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    loop {
        let received = (first.len() + rest.len()) as u64;
        let allowed = server.body_timeout + Duration::from_secs(received / SLOWEST_BYTES_PER_SECOND);
        let left = allowed.saturating_sub(platform.now().since(started));
        let next = pin!(upload.next());
        let chunk = match select(next, platform.sleep(left)).await {
            Either::Left((Some(Ok(chunk)), _)) => chunk,
            Either::Left((None, _)) => break,
            Either::Left((Some(Err(Broken)), _)) => {
                return Err(Refusal::InvalidJson { problem: "the body ended before it was complete".into() });
            }
            Either::Right(_) => return Err(Refusal::TooSlow),
        };
        if received + chunk.len() as u64 > server.max_body {
            return Err(Refusal::TooLarge { limit: server.max_body });
        }
        // Most bodies are one chunk, and that is not copied.
        if first.is_empty() {
            first = chunk;
        } else {
            rest.extend_from_slice(&chunk);
        }
    }
    Ok(if rest.is_empty() { first } else { [first, rest.freeze()].concat().into() })
}

/// Undoes `content-encoding`; the bound holds for what comes out.
fn decode(headers: &HeaderMap, body: Bytes, limit: u64) -> Result<Bytes, Refusal> {
    let encoding = match headers.get(header::CONTENT_ENCODING) {
        None => return Ok(body),
        Some(value) => String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase(),
    };
    if matches!(encoding.as_str(), "" | "identity") {
        return Ok(body);
    }
    let Some(coding) = Coding::named(&encoding) else {
        let problem = format!("Content-Encoding must be {}", coding::TAKEN);
        return Err(Refusal::UnsupportedMedia { problem });
    };
    coding::decode(coding, body, limit).map_err(|fault| match fault {
        Fault::TooLarge | Fault::TooDense | Fault::TooManyMembers => Refusal::TooLarge { limit },
        Fault::Malformed | Fault::Truncated => {
            Refusal::InvalidJson { problem: format!("the body is not valid {encoding}") }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn decoded(encoding: &'static str, body: Vec<u8>, limit: u64) -> Result<Bytes, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        decode(&headers, body.into(), limit).map_err(|refusal| refusal.status().as_u16())
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
}

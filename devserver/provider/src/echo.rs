//! The answer to every other path under `/v1`: what came in, so that a test can prove that a
//! gateway passed it on byte for byte. Bodies of any size are hashed as they come, never held.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    playback::Step,
    refusal::Refusal,
    reply::{self, Reply},
    score,
};

const MOST_EVENTS: u64 = 1_000_000;
const MOST_BYTES: u64 = 1 << 30;
const CHUNK: u64 = 64 * 1024;
/// Byte `i` of a binary answer is `i % CYCLE`; a prime shows a lost or doubled block.
const CYCLE: u64 = 251;

/// `?sse=N` answers with N events and `?bytes=N` with N bytes; else JSON about the request.
pub(crate) async fn answer<B>(head: &Parts, body: B) -> Result<Reply, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (length, digest) = digest(body).await?;
    let query = head.uri.query().unwrap_or_default();
    if let Some(wanted) = amount(query, "sse", MOST_EVENTS)? {
        return Ok(reply::events((0..wanted).map(event)));
    }
    if let Some(wanted) = amount(query, "bytes", MOST_BYTES)? {
        let starts = (0..wanted.div_ceil(CHUNK)).map(|chunk| chunk * CHUNK);
        let steps = starts.map(move |start| binary(start, wanted.min(start + CHUNK)));
        return Ok(reply::binary(wanted, steps));
    }
    let headers = values(&head.headers);
    let echo = json!({
        "object": "sim.echo",
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": query,
        "content_type": headers.get(header::CONTENT_TYPE.as_str()),
        "body_bytes": length,
        "body_sha256": digest,
        "headers": headers,
    });
    Ok(reply::json(StatusCode::OK, &echo))
}

/// The length of a body and its SHA-256 in hex.
async fn digest<B>(mut body: B) -> Result<(u64, String), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut hash = Sha256::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        if let Some(data) = frame.data_ref() {
            length += data.len() as u64;
            hash.update(data);
        }
    }
    Ok((length, format!("{:x}", hash.finalize())))
}

/// Names are lower-case; the values of a repeated header are joined by commas.
fn values(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        values
            .entry(name.as_str().to_owned())
            .and_modify(|before| *before = format!("{before}, {value}"))
            .or_insert_with(|| value.clone().into_owned());
    }
    values
}

fn amount(query: &str, name: &str, most: u64) -> Result<Option<u64>, Refusal> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, text)) = pairs.find(|(key, _)| *key == name) else {
        return Ok(None);
    };
    let amount = text.parse().ok().filter(|amount| *amount <= most);
    amount.map(Some).ok_or_else(|| Refusal::BadValue {
        param: name.to_owned(),
        why: format!("it has to be a number up to {most}"),
    })
}

fn event(index: u64) -> Step {
    Step::Send(score::event(&json!({"object": "sim.echo.event", "index": index})))
}

fn binary(start: u64, end: u64) -> Step {
    let byte = |place: u64| u8::try_from(place % CYCLE).unwrap_or_default();
    Step::Send((start..end).map(byte).collect())
}

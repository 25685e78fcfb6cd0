//! The beginning of an answer, and how it is told to other replicas.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::ledger::explanation::Explanation;

/// The beginning of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// An answer that is here as a whole.
    pub(crate) whole: Option<Bytes>,
    /// Of the one who asked first.
    pub(crate) explanation: Option<Explanation>,
}

impl Head {
    /// Status and headers, a line each; neither has line ends in it.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_slice(self.status.as_str().as_bytes());
        for (name, value) in &self.headers {
            bytes.put_u8(b'\n');
            bytes.put_slice(name.as_str().as_bytes());
            bytes.put_u8(b':');
            bytes.put_slice(value.as_bytes());
        }
        bytes.freeze()
    }

    /// `None`: another version wrote it, or nobody should have.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let status = StatusCode::from_bytes(lines.next()?).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            let value = HeaderValue::from_bytes(value.get(1..)?).ok()?;
            headers.append(HeaderName::from_bytes(name).ok()?, value);
        }
        Some(Self { status, headers, whole: None, explanation: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_told() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/event-stream"));
        headers.append("x-twice", HeaderValue::from_static("a: b"));
        headers.append("x-twice", HeaderValue::from_bytes(b"\xff\t").unwrap());
        headers.append("x-empty", HeaderValue::from_static(""));
        let head = Head { status: StatusCode::OK, headers, whole: None, explanation: None };
        let read = Head::read(&head.to_bytes()).unwrap();
        assert_eq!((read.status, read.headers), (head.status, head.headers));
        for wrong in ["", "x", "200\n", "200\nx", "200\n:x", "200\nx y:z"] {
            assert!(Head::read(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
    }
}

//! An answer, read no further than the measurement needs: is it a 200 or a 503, has the first word come, is
//! it whole.

use memchr::memmem;

/// What the first word of a stream looks like.
pub(crate) const FIRST_WORD: &[u8] = br#""content":"word"#;

/// The end of a chunked body, behind the chunk before it.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// How far an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// Nothing that the caller has waited for.
    Begun,
    /// The first word of a stream is here.
    Speaking,
    Whole,
    /// A whole 503: whoever answers has too much to do.
    Refused,
    /// It is not the answer that was asked for.
    Wrong,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// Where the answer ends.
    At(usize),
    Chunked,
}

/// One answer after another over one connection. The buffer is kept.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    end: Option<End>,
    speaks: bool,
    refuses: bool,
}

impl Reply {
    /// Takes what came.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Progress {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if self.end.is_none() {
            let Some(head) = memmem::find(&self.bytes, b"\r\n\r\n") else { return Progress::Begun };
            self.refuses = self.bytes.starts_with(b"HTTP/1.1 503");
            if !self.refuses && !self.bytes.starts_with(b"HTTP/1.1 200") {
                return Progress::Wrong;
            }
            let Some(end) = end(&self.bytes[..head + 2], head + 4) else { return Progress::Wrong };
            self.end = Some(end);
        }
        let is_whole = match self.end {
            Some(End::At(end)) => self.bytes.len() >= end,
            Some(End::Chunked) => self.bytes.ends_with(LAST_CHUNK),
            None => false,
        };
        if is_whole {
            return if self.refuses { Progress::Refused } else { Progress::Whole };
        }
        let from = before.saturating_sub(FIRST_WORD.len());
        self.speaks |= memmem::find(&self.bytes[from..], FIRST_WORD).is_some();
        if self.speaks { Progress::Speaking } else { Progress::Begun }
    }

    /// The next answer may come.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.end = None;
        self.speaks = false;
        self.refuses = false;
    }

    /// The value of a header, once the head is here.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = &self.bytes[..memmem::find(&self.bytes, b"\r\n\r\n")?];
        let lines = head.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// What has come of the body, as it came.
    pub(crate) fn body(&self) -> &[u8] {
        let head = memmem::find(&self.bytes, b"\r\n\r\n").map_or(self.bytes.len(), |head| head + 4);
        &self.bytes[head..]
    }

    /// How many events the answer had.
    pub(crate) fn events(&self) -> u64 {
        memmem::find_iter(&self.bytes, b"data: ").count() as u64
    }

    /// The beginning, for a complaint.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(400)]).into_owned()
    }
}

fn end(head: &[u8], body: usize) -> Option<End> {
    let lines = head.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        if name.eq_ignore_ascii_case("content-length") {
            Some(End::At(body + value.trim().parse::<usize>().ok()?))
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            Some(End::Chunked)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_a_length_is_whole_when_it_is_there() {
        let mut reply = Reply::default();
        assert_eq!(reply.take(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"), Progress::Begun);
        assert_eq!(reply.take(b"{}"), Progress::Begun);
        assert_eq!(reply.take(b"{}"), Progress::Whole);
        assert_eq!((reply.header("content-length"), reply.body()), (Some("4"), &b"{}{}"[..]));
        reply.clear();
        assert_eq!(reply.take(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n"), Progress::Begun);
        assert_eq!(reply.take(b"{}"), Progress::Refused);
        reply.clear();
        assert_eq!(reply.take(b"HTTP/1.1 404 Not Found\r\n\r\n"), Progress::Wrong);
    }

    #[test]
    fn a_stream_speaks_before_it_is_whole() {
        let mut reply = Reply::default();
        assert_eq!(reply.take(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Progress::Begun);
        assert_eq!(reply.take(b"10\r\ndata: {\"content\":\"wo"), Progress::Begun);
        assert_eq!(reply.take(b"rd\"}\n\n\r\n"), Progress::Speaking);
        assert_eq!(reply.take(b"0\r\n"), Progress::Speaking);
        assert_eq!(reply.take(b"\r\n"), Progress::Whole);
        assert_eq!(reply.events(), 1);
    }
}

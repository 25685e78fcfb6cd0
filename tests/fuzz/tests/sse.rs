//! A stream of events: however it is cut, the same bytes and the same events.
#![cfg(test)]

use bytes::Bytes;
use weir::wire::sse::{Splitter, TooLarge, frames};

#[test]
fn sse() {
    bolero::check!().for_each(holds);
}

#[test]
fn sse_damaged() {
    weir_fuzz::mutants("sse", 150).for_each(|bytes| holds(&bytes));
}

type Event = (Option<Vec<u8>>, Option<Vec<u8>>);

fn holds(bytes: &[u8]) {
    let expected = events(bytes);
    for pieces in [vec![bytes], bytes.chunks(1).collect(), weir_fuzz::pieces(bytes)] {
        let (mut splitter, mut out, mut read) = (Splitter::new(usize::MAX), Vec::new(), Vec::new());
        let mut given = 0;
        for piece in pieces {
            given += piece.len();
            let block = splitter.push(Bytes::copy_from_slice(piece)).unwrap();
            read.extend(parsed(&block));
            out.extend_from_slice(&block);
            assert_eq!(out.len() + splitter.held(), given, "nothing is lost, nothing is made up");
        }
        let rest = splitter.take_rest();
        assert_eq!(splitter.held(), 0);
        read.extend(parsed(&rest));
        out.extend_from_slice(&rest);
        assert_eq!(out, bytes);
        assert_eq!(read, expected);
    }
    keeps_its_limit(bytes);
}

/// The events of a block. Their bytes are the block's.
fn parsed(block: &[u8]) -> Vec<Event> {
    let frames: Vec<_> = frames(block).collect();
    assert_eq!(frames.iter().flat_map(|frame| frame.raw.iter().copied()).collect::<Vec<_>>(), block);
    let event = |frame: weir::wire::sse::Frame<'_>| {
        (frame.data.map(std::borrow::Cow::into_owned), frame.event.map(<[u8]>::to_vec))
    };
    frames.into_iter().map(event).collect()
}

fn keeps_its_limit(bytes: &[u8]) {
    const LIMIT: usize = 48;
    let mut splitter = Splitter::new(LIMIT);
    for piece in weir_fuzz::pieces(bytes) {
        match splitter.push(Bytes::copy_from_slice(piece)) {
            Ok(_) => assert!(splitter.held() <= LIMIT),
            Err(TooLarge) => return,
        }
    }
}

/// The same by the standard's words, line by line (WHATWG HTML, 9.2.6), without an eye to speed. An event that
/// lacks its blank line is read too: what becomes of it is the caller's decision.
fn events(bytes: &[u8]) -> Vec<Event> {
    let (mut events, mut data, mut name) = (Vec::new(), Vec::<Vec<u8>>::new(), None);
    let mut take = |data: &mut Vec<Vec<u8>>, name: &mut Option<Vec<u8>>| {
        let lines = std::mem::take(data);
        events.push(((!lines.is_empty()).then(|| lines.join(&b"\n"[..])), name.take()));
    };
    let mut is_open = false;
    for line in lines(bytes) {
        if line.is_empty() {
            take(&mut data, &mut name);
            is_open = false;
            continue;
        }
        is_open = true;
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = colon.map_or((line, &b""[..]), |at| (&line[..at], &line[at + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
        match field {
            b"data" => data.push(value),
            b"event" => name = Some(value),
            _ => {}
        }
    }
    if is_open {
        take(&mut data, &mut name);
    }
    events
}

/// Lines end in LF, CR or both; the last may end in nothing.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        lines.push(&rest[..end]);
        let ending = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = rest.get(end + ending..).unwrap_or_default();
    }
    lines
}

//! A case's request as bytes on a connection.

use std::net::SocketAddr;

use weir_native_tests::reply;

use crate::case::{Body, Part, Request};
use crate::client::Piece;
use crate::words::Words;

/// What is sent for `request`. What the headers do not say themselves is added: host, length, coding.
pub(super) fn pieces(request: &Request, address: SocketAddr, words: &Words) -> Result<Vec<Piece>, String> {
    if let Body::Raw(parts) = &request.body {
        return parts.iter().map(|part| raw(part, words)).collect();
    }
    let spelled = |text: &str| words.spell(text).into_bytes();
    let (body, framing) = match &request.body {
        Body::Nothing | Body::Raw(_) => (Vec::new(), None),
        Body::Text(text) => (spelled(text), Some(("content-length", None))),
        Body::Bytes(bytes) => (bytes.clone(), Some(("content-length", None))),
        Body::Packed(packing, text) => {
            (packing.pack(&[spelled(text)]).concat(), Some(("content-length", Some(packing.coding()))))
        }
        Body::Chunks(chunks) => {
            let chunks = chunks.iter().map(|chunk| words.spell(chunk));
            let framed: Vec<_> =
                chunks.map(|chunk| reply::chunk(&chunk)).chain(["0\r\n\r\n".into()]).collect();
            (framed.concat(), Some(("transfer-encoding", None)))
        }
    };
    let says = |name: &str| request.headers.iter().any(|(have, _)| have.eq_ignore_ascii_case(name));
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, words.spell(&request.target));
    let mut field = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
    if !says("host") {
        field("host", &address.to_string());
    }
    for (name, value) in &request.headers {
        field(name, &words.spell(value));
    }
    if let Some((framing, coding)) = framing {
        if !says(framing) {
            let length = body.len().to_string();
            field(framing, if framing == "content-length" { &length } else { "chunked" });
        }
        if let Some(coding) = coding.filter(|_| !says("content-encoding")) {
            field("content-encoding", coding);
        }
    }
    head.push_str("\r\n");
    Ok(vec![Piece::Bytes([head.into_bytes(), body].concat())])
}

fn raw(part: &Part, words: &Words) -> Result<Piece, String> {
    match part {
        Part::Text(text) => Ok(Piece::Bytes(words.spell(text).into_bytes())),
        Part::Wait(pause) => Ok(Piece::Wait(*pause)),
        Part::Gate(name) => Err(format!("a client has no gate: {name}")),
    }
}

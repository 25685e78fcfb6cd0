//! Answers that come packed though nobody asked: read, metered, kept and passed on unpacked. What passes through
//! keeps its bytes.
#![cfg(test)]

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use weir::Config;
use weir::ledger::record::Ending;
use weir_portability::samples::{self, WHOLE_CHAT};
use weir_portability::{Answer, Beat, Shell, config, exchange, get, post};

fn one() -> Arc<Config> {
    config(
        r#"
        auth = "open"
        passthrough = "a"
        [upstream.a]
        tenant = "default"
        dialect = "openai"
        base_url = "https://a.example/v1"
        [[route]]
        model = "*"
        to = ["a"]
        retry = { attempts = 1 }
        cache = true
        "#,
    )
}

fn codings(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let best = flate2::Compression::best();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), best);
    gzip.write_all(bytes).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), best);
    zlib.write_all(bytes).unwrap();
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), best);
    raw.write_all(bytes).unwrap();
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    brotli.write_all(bytes).unwrap();
    vec![
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
        ("br", brotli.into_inner()),
        ("zstd", zstd::encode_all(bytes, 3).unwrap()),
    ]
}

fn pieces(packed: &[u8], size: usize) -> Vec<Beat> {
    packed.chunks(size).map(|piece| Beat::Bytes(Bytes::copy_from_slice(piece))).collect()
}

#[test]
fn a_packed_stream_is_the_stream_and_is_kept_as_such() {
    for sample in samples::all() {
        for (coding, packed) in codings(sample.sent().as_bytes()) {
            for size in [1, 7, packed.len()] {
                let shell = Shell::default();
                shell.script(
                    "a",
                    [Answer::events("").header("content-encoding", coding).beats(pieces(&packed, size))],
                );
                let ask = || post(shell.clock(), sample.path, sample.request.clone());
                let reply = exchange(&shell, &one(), ask());
                let label = format!("{}, {coding} in pieces of {size}", sample.label);
                assert_eq!((reply.status, reply.text()), (200, sample.seen()), "{label}");
                assert_eq!(reply.header("content-encoding"), "", "{label}");
                assert_eq!(shell.records()[0].ending, Ending::Complete, "{label}");
                let again = exchange(&shell, &one(), ask());
                assert_eq!((again.header("x-cache"), again.text()), ("HIT", sample.seen()), "{label}");
            }
        }
    }
}

#[test]
fn a_packed_whole_answer_is_read_and_kept() {
    for (coding, packed) in codings(WHOLE_CHAT.answer.as_bytes()) {
        let shell = Shell::default();
        let length = packed.len().to_string();
        let answer = Answer::json("").header("content-encoding", coding).header("content-length", &length);
        shell.script("a", [answer.beats(pieces(&packed, 7))]);
        let ask = || post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request);
        let reply = exchange(&shell, &one(), ask());
        assert_eq!((reply.status, reply.text().as_str()), (200, WHOLE_CHAT.answer), "{coding}");
        assert_eq!(reply.header("content-encoding"), "", "{coding}");
        assert_eq!(exchange(&shell, &one(), ask()).header("x-cache"), "HIT", "{coding}");
    }
}

#[test]
fn a_packed_refusal_keeps_its_words() {
    let error =
        r#"{"error":{"message":"no such thing","type":"invalid_request_error","param":null,"code":"odd"}}"#;
    for (coding, packed) in codings(error.as_bytes()) {
        let shell = Shell::default();
        shell.script("a", [Answer::new(400, "application/json", packed).header("content-encoding", coding)]);
        let reply = exchange(&shell, &one(), post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request));
        assert_eq!(reply.status, 400, "{coding}");
        assert!(reply.text().contains("no such thing"), "{coding}: {}", reply.text());
    }
}

#[test]
fn what_is_cut_or_broken_inside_is_no_answer() {
    for (coding, packed) in codings(WHOLE_CHAT.answer.as_bytes()) {
        let shell = Shell::default();
        let cut = packed[..packed.len() - 1].to_vec();
        shell.script("a", [Answer::json(cut).header("content-encoding", coding)]);
        let reply = exchange(&shell, &one(), post(shell.clock(), WHOLE_CHAT.path, WHOLE_CHAT.request));
        assert_eq!(reply.status, 502, "{coding}");
    }
}

#[test]
fn what_passes_through_is_unpacked_for_a_credential_may_be_in_it() {
    for (coding, packed) in codings(b"{\"data\":[]}") {
        let shell = Shell::default();
        shell.script("a", [Answer::json(packed).header("content-encoding", coding)]);
        let reply = exchange(&shell, &one(), get(shell.clock(), "/v1/files"));
        assert_eq!(reply.header("content-encoding"), "");
        assert_eq!(reply.text(), "{\"data\":[]}", "{coding}");
    }
}

//! A stored answer in the other form: made of any bytes at all, it is bounded, and it is a whole answer.
#![cfg(test)]

use bytes::Bytes;
use weir::dialect::endpoint::Operation;
use weir::dialect::openai::replay::{UsageChunk, to_events, to_whole, without_usage};

const OPERATIONS: [Operation; 3] = [Operation::Chat, Operation::Completions, Operation::Responses];

#[test]
fn replay() {
    bolero::check!().for_each(holds);
}

#[test]
fn replay_damaged() {
    weir_fuzz::mutants("replay", 300).for_each(|bytes| holds(&bytes));
}

#[test]
fn most_of_the_corpus_is_understood() {
    let files = weir_fuzz::corpus("replay");
    let is_understood = |bytes: &&Vec<u8>| {
        let is = |operation| {
            to_events(operation, bytes, UsageChunk::Wanted).is_some() || to_whole(operation, bytes).is_some()
        };
        OPERATIONS.into_iter().any(is)
    };
    assert!(files.iter().filter(is_understood).count() * 2 > files.len());
}

fn holds(bytes: &[u8]) {
    for operation in OPERATIONS {
        if let Some(events) = to_events(operation, bytes, UsageChunk::Wanted) {
            assert!(events.len() <= bytes.len() * 16 + (64 << 10), "{} of {}", events.len(), bytes.len());
            // Whatever was told can be put together again, and then it tells the same.
            let whole = to_whole(operation, &events).unwrap();
            assert_eq!(to_events(operation, &whole, UsageChunk::Wanted), Some(events));
        }
        if let Some(whole) = to_whole(operation, bytes) {
            assert!(whole.len() <= bytes.len() + 256, "{} of {}", whole.len(), bytes.len());
            let text = std::str::from_utf8(&whole).unwrap();
            let _: &serde_json::value::RawValue = serde_json::from_str(text).unwrap();
        }
        let stored = Bytes::copy_from_slice(bytes);
        assert!(without_usage(operation, &stored).len() <= bytes.len() + 2);
    }
}

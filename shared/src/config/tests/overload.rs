//! What a document says of calls at the same time.

use super::*;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn concurrency_is_a_number_unlimited_or_a_table() {
    let five = SECONDS(5);
    let fixed = |limit, queue, wait| Some(Concurrency { bound: Bound::Fixed(limit), queue, wait });
    let adaptive =
        |least, most, queue| Some(Concurrency { bound: Bound::Adaptive { least, most }, queue, wait: five });
    for (text, server, upstream) in [
        ("1", fixed(1, 1000, five), fixed(1, 100, five)),
        ("5000000000", fixed(u32::MAX, 1000, five), fixed(u32::MAX, 100, five)),
        ("\"unlimited\"", None, None),
        ("{ limit = 7 }", fixed(7, 1000, five), fixed(7, 100, five)),
        ("{ limit = 7, queue = 0 }", fixed(7, 0, five), fixed(7, 0, five)),
        (
            "{ limit = 7, queue = 1000000, wait = \"1ms\" }",
            fixed(7, 1_000_000, Duration::from_millis(1)),
            fixed(7, 1_000_000, Duration::from_millis(1)),
        ),
        ("{ limit = \"adaptive\" }", adaptive(4, 1000, 1000), adaptive(4, 1000, 100)),
        ("{ limit = \"adaptive\", least = 9, most = 9 }", adaptive(9, 9, 1000), adaptive(9, 9, 100)),
        (
            "{ limit = \"adaptive\", least = 1, most = 1000000, queue = 3 }",
            adaptive(1, 1_000_000, 3),
            adaptive(1, 1_000_000, 3),
        ),
    ] {
        let of_upstream = LEAST.replace("[[route]]", &format!("concurrency = {text}\n[[route]]"));
        let config = load(&format!("server.concurrency = {text}{of_upstream}")).unwrap().config;
        assert_eq!(config.server.concurrency, server, "{text}");
        assert_eq!(config.upstreams[0].concurrency, upstream, "{text}");
    }
}

#[test]
fn answers_to_an_idempotency_key_are_kept_for_a_second_to_a_week() {
    for (text, expected) in [("1s", SECONDS(1)), ("90m", SECONDS(5400)), ("168h", SECONDS(604_800))] {
        let config = load(&format!("server.idempotency = \"{text}\"{LEAST}")).unwrap().config;
        assert_eq!(config.server.idempotency, expected, "{text}");
    }
}

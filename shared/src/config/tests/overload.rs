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

#[test]
fn faults_of_concurrency_are_told() {
    let server = |text: &str| format!("server.{text}{LEAST}");
    let upstream = |text: &str| LEAST.replace("[[route]]", &format!("concurrency = {text}\n[[route]]"));
    for (text, expected) in [
        (server("idempotency = \"999ms\""), "1: server.idempotency: must be at least 1s and at most 168h"),
        (server("idempotency = \"169h\""), "1: server.idempotency: must be at least 1s and at most 168h"),
        (server("idempotency = 24"), "1: server.idempotency: expected a duration"),
        (server("concurrency = 0"), "1: server.concurrency: must be at least 1"),
        (
            server("concurrency = -1"),
            "1: server.concurrency: expected a number of calls, \"unlimited\" or { limit =",
        ),
        (server("concurrency = false"), "1: server.concurrency: expected a number of calls"),
        (server("concurrency = \"unlimitd\""), "1: server.concurrency: not a concurrency; write a number"),
        (
            server("concurrency = \"adaptive\""),
            "1: server.concurrency: has bounds of its own; write { limit =",
        ),
        (server("concurrency = {}"), "1: server.concurrency.limit: missing; write limit = 100, or"),
        (upstream("0"), "6: upstream.one.concurrency: must be at least 1"),
        (upstream("[1]"), "6: upstream.one.concurrency: expected a number of calls"),
        (upstream("{ queue = 5 }"), "6: upstream.one.concurrency.limit: missing"),
        (
            upstream("{ limt = 5 }"),
            "6: upstream.one.concurrency.limt: unknown key \"limt\"; did you mean \"limit\"?",
        ),
        (upstream("{ limit = 0 }"), "6: upstream.one.concurrency.limit: must be at least 1"),
        (
            upstream("{ limit = \"adaptiv\" }"),
            "6: upstream.one.concurrency.limit: not a limit; write a number of",
        ),
        (
            upstream("{ limit = 1.5 }"),
            "6: upstream.one.concurrency.limit: expected a number of calls or \"adaptive\", found \
             a number with a fraction",
        ),
        (
            upstream("{ limit = 5, least = 1, most = 9 }"),
            "6: upstream.one.concurrency.least: only limit = \"adaptive\"|\
             6: upstream.one.concurrency.most: only",
        ),
        (
            upstream("{ limit = 5, queue = 1000001 }"),
            "6: upstream.one.concurrency.queue: must be 0 to 1000000",
        ),
        (
            upstream("{ limit = 5, wait = \"0s\" }"),
            "6: upstream.one.concurrency.wait: must be longer than nothing",
        ),
        (
            upstream("{ limit = \"adaptive\", least = 0 }"),
            "6: upstream.one.concurrency.least: must be 1 to 1000000",
        ),
        (
            upstream("{ limit = \"adaptive\", most = 0 }"),
            "6: upstream.one.concurrency.most: must be 1 to 1000000",
        ),
        (
            upstream("{ limit = \"adaptive\", most = 1000001 }"),
            "6: upstream.one.concurrency.most: must be 1 to",
        ),
        (
            upstream("{ limit = \"adaptive\", least = 9, most = 8 }"),
            "6: upstream.one.concurrency.least: 9 is more than most, which is 8",
        ),
        (
            upstream("{ limit = \"adaptive\", least = 1001 }"),
            "6: upstream.one.concurrency.least: 1001 is more than most, which is 1000; write most as well",
        ),
        (
            upstream("{ limit = \"adaptive\", most = 3 }"),
            "6: upstream.one.concurrency.most: 3 is less than least, which is 4; write least as well",
        ),
        (
            upstream("{ limit = \"adaptive\", least = 0, most = 3 }"),
            "6: upstream.one.concurrency.least: must be",
        ),
        (
            upstream("{ limit = \"adaptive\", least = 2000, most = 0 }"),
            "6: upstream.one.concurrency.most: must be",
        ),
        (
            upstream("{ limit = \"adaptive\", lest = 1, most = 3 }"),
            "6: upstream.one.concurrency.lest: unknown key",
        ),
        (
            upstream("{ limit = \"adaptive\", least = \"1\", most = 3 }"),
            "6: upstream.one.concurrency.least: expected",
        ),
        (
            upstream("{ limit = 0, queue = 1000001, wait = \"0s\", que = 1 }"),
            "6: upstream.one.concurrency.que: unknown key|\
             6: upstream.one.concurrency.limit: must be at least 1|\
             6: upstream.one.concurrency.queue: must be|6: upstream.one.concurrency.wait: must be longer",
        ),
    ] {
        tells(&text, expected);
    }
}

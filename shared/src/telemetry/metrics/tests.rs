//! The table, the way of a number through a store, and the text.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::field::{self, Part};
use super::*;
use crate::config::{Config, Document, Format, Surroundings};
use crate::identity::caller::Caller;
use crate::ledger::cache_status::Status;
use crate::ledger::connect_fault::ConnectFault;
use crate::ledger::failure::Condition;
use crate::ledger::record::{Ending, Record, Session};
use crate::ledger::usage::{Source, Tokens, Usage};
use crate::limits::concurrency::Why;
use crate::refusal::Refusal;
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Change, Entry, Forced, Listing, Order, Override};
use crate::telemetry::event::Event;
use crate::time::{Instant, UnixMillis};

/// Wants of whatever comes that the table has it so.
#[derive(Default)]
struct Strict {
    seen: BTreeSet<Family>,
    lines: Vec<String>,
}

impl Strict {
    fn told(&mut self, family: Family, labels: &[&str], what: &str) {
        assert_eq!(labels.len(), family.labels().len(), "{family:?} {labels:?}");
        self.seen.insert(family);
        self.lines.push(format!("{family:?} {labels:?} {what}"));
    }
}

impl Sink for Strict {
    fn count(&mut self, family: Family, labels: &[&str], by: u64) {
        assert_eq!(family.kind(), Kind::Counter, "{family:?}");
        self.told(family, labels, &by.to_string());
    }

    fn shift(&mut self, family: Family, labels: &[&str], by: i64) {
        assert_eq!(family.kind(), Kind::Gauge, "{family:?}");
        self.told(family, labels, &by.to_string());
    }

    fn observe(&mut self, family: Family, labels: &[&str], value: u64) {
        assert!(matches!(family.kind(), Kind::Histogram(_)), "{family:?}");
        self.told(family, labels, &value.to_string());
    }
}

fn tell_events(sink: &mut impl Sink) {
    let order = Order { breaker: "a/made/up".into(), change: Change::Release };
    let after = Duration::from_millis(2);
    for one in [
        Event::Started { upstream: "a" },
        Event::Answered { upstream: "a", after, failure: None },
        Event::Answered { upstream: "a", after, failure: Some(Condition::Timeout) },
        Event::Over { upstream: "a" },
        Event::Stale { upstream: "a" },
        Event::Unprocessed { upstream: "a" },
        Event::Unconnected { upstream: "a", cause: ConnectFault::NoPorts },
        Event::Unconnected { upstream: "a", cause: ConnectFault::Refused },
        Event::WebSocketOpened { upstream: "a" },
        Event::WebSocketClosed { upstream: "a" },
        Event::Retried { upstream: "a" },
        Event::FellBack { route: "gpt-*", upstream: "a" },
        Event::Queued { limiter: "all", waited: after },
        Event::Shed { limiter: "all", why: Why::QueueFull },
        Event::Refused { request_id: "r", caller: "c", refusal: &Refusal::Internal },
        Event::Ordered { request_id: "r", who: "admin", order: &order },
    ] {
        event(&one, sink);
    }
}

fn a_record() -> Record {
    Record {
        request_id: "req_0".into(),
        trace_id: "0".into(),
        at: UnixMillis::default(),
        caller: Arc::new(Caller::anyone(crate::limits::Limits::default())),
        operation: "chat",
        model: "gpt-5".into(),
        route: "gpt-*".into(),
        upstream: "a".into(),
        upstream_model: "gpt-5".into(),
        response_model: "gpt-5".into(),
        streamed: true,
        cache: Some(Status::Miss),
        status: 200,
        ending: Ending::Complete,
        usage: Usage {
            input: Tokens(10),
            cached: Tokens(0),
            output: Tokens(3),
            reasoning: Tokens(0),
            source: Source::Reported,
        },
        attempts: Vec::new(),
        fallbacks: 0,
        took: Duration::from_millis(5),
        first_byte: Some(Duration::from_nanos(1_000_001)),
        websocket: None,
    }
}

#[test]
fn the_table_is_one_that_can_be_read() {
    let names: BTreeSet<_> = Family::ALL.iter().map(|family| family.name()).collect();
    let codes: BTreeSet<_> = Family::ALL.iter().map(|family| family.code()).collect();
    assert_eq!((names.len(), codes.len()), (Family::ALL.len(), Family::ALL.len()));
    assert!(Family::ALL.is_sorted(), "ALL is in the order of the variants");
    for family in Family::ALL {
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(
            letters(family.name()) && family.code().bytes().all(|b| b.is_ascii_lowercase()),
            "{family:?}"
        );
        assert!(family.labels().iter().all(|label| letters(label) && *label != "le"), "{family:?}");
        // The specification of OpenMetrics wants both.
        assert!(family.unit().is_none_or(|unit| family.name().ends_with(unit)), "{family:?}");
        assert!(!family.name().ends_with("_total"), "{family:?}");
        let source = family.source();
        assert_eq!(
            (source.kind(), source.labels(), source.source()),
            (family.kind(), family.labels(), source)
        );
        if let Kind::Histogram(grain) = family.kind() {
            assert!(grain.bounds().is_sorted_by(|a, b| a < b), "{family:?}");
        }
    }
}

#[test]
fn whatever_happens_is_told_as_the_table_has_it() {
    let mut sink = Strict::default();
    tell_events(&mut sink);
    let session = Session { sent: 1, received: 2, code: Some(1000) };
    record(&Record { websocket: Some(session), ..a_record() }, &mut sink);
    let shells_own = [
        Family::InFlight,
        Family::ConnectionsRefused,
        Family::StreamsQueued,
        Family::StreamWait,
        Family::Reloads,
        Family::StoreFaults,
        Family::StoreConnections,
        Family::StoreWaiting,
        Family::StoreUnsettled,
        Family::AnswersNotKept,
        Family::StoreForbidden,
        Family::LogLinesDropped,
        Family::ServerDuration,
        Family::LedgerRecent,
        Family::CacheKept,
        Family::ConcurrencyLimit,
        Family::Concurrency,
        Family::Queued,
        Family::Breakers,
    ];
    let rest: Vec<_> = Family::ALL.into_iter().filter(|family| !sink.seen.contains(family)).collect();
    assert_eq!(rest, shells_own);
}

#[test]
fn a_record_is_counted_once_under_each_name() {
    let mut sink = Strict::default();
    record(&a_record(), &mut sink);
    let expected = [
        r#"Requests ["gpt-*", "a", "200"] 1"#,
        r#"Usage ["reported"] 1"#,
        r#"Endings ["complete"] 1"#,
        r#"RequestDuration ["gpt-*"] 5000"#,
        r#"FirstByte ["gpt-*"] 1001"#,
        r#"StreamsEnded ["gpt-*", "complete"] 1"#,
        r#"Cache ["gpt-*", "MISS"] 1"#,
        r#"OperationDuration ["chat", "a", "gpt-*"] 5000"#,
        r#"TokenUsage ["chat", "a", "gpt-*", "input"] 10"#,
        r#"TokenUsage ["chat", "a", "gpt-*", "output"] 3"#,
        r#"PerOutputToken ["chat", "a", "gpt-*"] 2000"#,
    ];
    assert_eq!(sink.lines, expected);
}

/// (what is special, the record, what is not told)
#[test]
fn what_was_not_there_is_not_counted() {
    let whole = a_record();
    for (label, record, missing) in [
        ("no upstream", Record { upstream: String::new(), ..whole.clone() }, "OperationDuration"),
        ("not streamed", Record { streamed: false, ..whole.clone() }, "StreamsEnded"),
        ("not streamed", Record { streamed: false, ..whole.clone() }, "PerOutputToken"),
        ("no cache", Record { cache: None, ..whole.clone() }, "Cache"),
        ("no answer", Record { first_byte: None, ..whole.clone() }, "FirstByte"),
        ("no usage", Record { usage: Usage::NOTHING, ..whole.clone() }, "TokenUsage"),
    ] {
        let mut sink = Strict::default();
        super::record(&record, &mut sink);
        let is_told = |line: &String| line.split(' ').next() == Some(missing);
        assert!(!sink.lines.iter().any(is_told), "{label}: {:?}", sink.lines);
    }
}

#[test]
fn orders_are_counted_by_upstream_and_not_by_model() {
    let mut sink = Strict::default();
    for breaker in ["a/made", "a/up", "a"] {
        let order = Order { breaker: breaker.into(), change: Change::Release };
        event(&Event::Ordered { request_id: "r", who: "admin", order: &order }, &mut sink);
    }
    assert_eq!(sink.lines, [r#"Orders ["a", "auto"] 1"#; 3]);
}

#[test]
fn breakers_are_counted_by_upstream_and_state() {
    let text = "auth = \"open\"\nroute = [{ model = \"*\", to = [\"a\"] }]\n\
                [upstream.a]\ndialect = \"openai\"\nbase_url = \"https://a.example\"\n\
                [upstream.b]\ndialect = \"openai\"\nbase_url = \"https://b.example\"\n";
    let document = Document { name: "test", text, format: Format::Toml };
    let config = Config::load(&document, &Nowhere).unwrap().config;
    let until = Instant::from_micros(1);
    let held = |forced| Gate::Forced(Override { forced, until: None });
    let entries = [
        ("a", Gate::HalfOpen),
        ("a/made/up", Gate::Open { until }),
        ("a/made", Gate::Open { until }),
        ("a/m", held(Forced::Open)),
        ("b", held(Forced::Closed)),
        ("b/m", Gate::Closed),
        ("gone", Gate::Open { until }),
    ];
    let entry = |(breaker, gate): (&str, Gate)| Entry {
        breaker: breaker.to_owned(),
        gate,
        automatic: Gate::Closed,
        own: None,
    };
    let listing = Listing { entries: entries.into_iter().map(entry).collect(), has_more: false };
    let mut sink = Strict::default();
    breakers(&config.upstreams, &listing, &mut sink);
    let expected = [
        r#"["a", "open"] 2"#,
        r#"["a", "half_open"] 1"#,
        r#"["a", "held_open"] 1"#,
        r#"["a", "held_closed"] 0"#,
        r#"["b", "open"] 0"#,
        r#"["b", "half_open"] 0"#,
        r#"["b", "held_open"] 0"#,
        r#"["b", "held_closed"] 1"#,
    ];
    assert_eq!(sink.lines, expected.map(|line| format!("Breakers {line}")));
}

struct Nowhere;

impl Surroundings for Nowhere {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("no such file".into())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}

#[test]
fn a_value_on_a_bound_belongs_to_its_bucket() {
    for (value, bucket) in [(0, 0), (1, 0), (2, 1), (4, 1), (1_048_576, 10), (1_048_577, 11), (u64::MAX, 11)]
    {
        assert_eq!(Grain::Tokens.bucket(value), bucket, "{value}");
    }
}

/// The same is printed whether numbers were added up in a store or in the process.
#[test]
fn what_a_store_adds_up_is_printed_as_what_a_process_counts() {
    let (mut stored, mut alone) = (Tally::default(), Exposition::default());
    for status in [200, 200, 503] {
        let one = Record { status, ..a_record() };
        let mut tally = Tally::default();
        tell_events(&mut tally);
        record(&one, &mut tally);
        stored.merge(tally);
        tell_events(&mut alone);
        record(&one, &mut alone);
    }
    let mut read = Exposition::default();
    for (field, number) in stored.fields() {
        read.field(field, number);
    }
    // The gauges there are in it are back where they were.
    read.shift(Family::UpstreamInFlight, &["a"], 0);
    read.shift(Family::WebSocketsOpen, &["a"], 0);
    let text = alone.to_string();
    assert_eq!(read.to_string(), text);
    assert_eq!(read.skipped(), 0);
    assert!(
        text.contains("weir_requests_total{route=\"gpt-*\",upstream=\"a\",status=\"200\"} 2\n"),
        "{text}"
    );
}

#[test]
fn a_field_comes_back_as_it_was_written() {
    let hard = ["", "a", "\t", "\\", "\\t", "a\tb\\", "\n", "é\u{1f600}", ":b", "\\\\t\t"];
    for label in hard {
        for other in hard {
            let field = field::encode(Family::Fallbacks, Part::Whole, &[label, other]);
            let back = Some((Family::Fallbacks, Part::Whole, vec![label.to_owned(), other.to_owned()]));
            assert_eq!(field::decode(&field), back, "{field:?}");
        }
    }
    for part in (0..=18).map(Part::Bucket).chain([Part::Sum]) {
        let field = field::encode(Family::QueueWait, part, &["all"]);
        assert_eq!(field::decode(&field), Some((Family::QueueWait, part, vec!["all".to_owned()])), "{field}");
    }
}

/// Written by another version, or by nobody who should.
#[test]
fn what_is_no_field_is_skipped_and_counted() {
    let mut exposition = Exposition::default();
    let empty = exposition.to_string();
    let wrong = [
        "",
        "rq",
        "zz\ta",
        "rq\ta\tb",
        "rq\ta\tb\tc\td",
        "rq:s\ta\tb\tc",
        "qw\tall",
        "qw:b\tall",
        "qw:b7\tall",
        "qw:b+1000\tall",
        "qw:b01000\tall",
        "qw:1000\tall",
        "rt\t\\",
        "rt\t\\x",
        "ui\ta",
    ];
    for field in wrong {
        exposition.field(field, 1);
    }
    assert_eq!(exposition.skipped(), wrong.len() as u64);
    assert_eq!(exposition.to_string(), empty);
}

#[test]
fn sums_end_at_the_largest_number() {
    let mut tally = Tally::default();
    tally.observe(Family::QueueWait, &["all"], u64::MAX);
    tally.merge(tally.clone());
    let fields: Vec<_> = tally.fields().collect();
    assert_eq!(fields, [("qw:binf\tall", 2), ("qw:s\tall", u64::MAX)]);
}

#[test]
fn labels_are_escaped_and_numbers_are_decimal() {
    let mut exposition = Exposition::default();
    exposition.count(Family::Retries, &["a\"b\\c\nd\te"], 7);
    exposition.shift(Family::InFlight, &[], -2);
    for micros in [0, 1, 1_000, 1_001, 320_000_001] {
        exposition.observe(Family::QueueWait, &["all"], micros);
    }
    exposition.observe(Family::TokenUsage, &["chat", "a", "r", "input"], 12);
    let text = exposition.to_string();
    for line in [
        r#"weir_retries_total{upstream="a\"b\\c\nd	e"} 7"#,
        "weir_in_flight -2",
        "# HELP weir_queue_wait_seconds How long calls waited for their turn.",
        "# TYPE weir_queue_wait_seconds histogram",
        "# UNIT weir_queue_wait_seconds seconds",
        r#"weir_queue_wait_seconds_sum{limiter="all"} 320.002003"#,
        r#"weir_queue_wait_seconds_count{limiter="all"} 5"#,
        r#"weir_queue_wait_seconds_bucket{le="0.001",limiter="all"} 3"#,
        r#"weir_queue_wait_seconds_bucket{le="0.0025",limiter="all"} 4"#,
        r#"weir_queue_wait_seconds_bucket{le="320.0",limiter="all"} 4"#,
        r#"weir_queue_wait_seconds_bucket{le="+Inf",limiter="all"} 5"#,
        concat!(
            r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="a","#,
            r#"gen_ai_request_model="r",gen_ai_token_type="input"} 12.0"#
        ),
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(text.lines().all(|line| !line.is_empty()), "{text}");
}

#[test]
fn every_name_is_printed_once_in_the_order_of_the_table() {
    assert_eq!(Exposition::default().to_string(), "# EOF\n");
    let mut exposition = Exposition::default();
    for family in Family::ALL {
        let labels = vec!["a"; family.labels().len()];
        match family.kind() {
            Kind::Counter => exposition.count(family, &labels, 1),
            Kind::Gauge => exposition.shift(family, &labels, 1),
            Kind::Histogram(_) => exposition.observe(family, &labels, 1),
        }
    }
    let text = exposition.to_string();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert!(names.eq(Family::ALL.iter().map(|family| family.name())), "{text}");
}

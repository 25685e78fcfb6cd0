//! Whose an object is: the script knows what the embedded store knows.
#![cfg(test)]

use std::time::Duration;

use weir::cache::fingerprint::{Fingerprint, of_provider_object, of_tenant};
use weir::store::embedded::Store;
use weir::store::protocol::Ownership;
use weir::store::redis::{Clock, Codec, Moment};
use weir::time::Instant;
use weir_redis_tests::Server;

const DAY: Duration = Duration::from_hours(24);

fn objects(ids: std::ops::Range<usize>) -> Vec<Fingerprint> {
    ids.map(|id| of_provider_object(&format!("file-{id}"))).collect()
}

#[test]
fn both_stores_know_whose_an_object_is_for_as_long_and_as_many() {
    let server = Server::start();
    let (mut connection, codec) = (server.connect(), Codec::new("owners", Clock::Sender));
    let begin = Instant::from_micros(1_790_000_000_000_000);
    let mut store = Store::new(begin, 0);
    let (none, many) = (Vec::new(), objects(100..10_098));
    for (at, (days, tenant, named, made, expected)) in [
        (0, "a", objects(0..1), none.clone(), false),
        (0, "a", none.clone(), objects(0..2), true),
        (0, "a", objects(0..2), none.clone(), true),
        (0, "b", objects(0..1), none.clone(), false),
        (0, "a", objects(0..3), objects(2..3), false),
        (0, "a", objects(2..3), none.clone(), false),
        (15, "a", objects(0..1), objects(3..4), true),
        (30, "a", objects(0..1), none.clone(), true),
        (30, "a", objects(1..2), none.clone(), false),
        (31, "b", none.clone(), objects(0..1), true),
        (32, "a", none.clone(), many.clone(), true),
        (32, "a", objects(0..1), none.clone(), true),
        (33, "a", none.clone(), objects(5..6), true),
        (33, "a", objects(3..4), none.clone(), false),
        (33, "a", objects(0..1), none.clone(), true),
        (33, "b", objects(0..1), none.clone(), true),
        (90, "a", many, none, false),
    ]
    .into_iter()
    .enumerate()
    {
        let now = begin.after(DAY * days);
        let ownership = Ownership { tenant: of_tenant(tenant), named: &named, made: &made };
        let command = codec.own(ownership, Moment { now, nonce: at as u64 });
        let value = connection.run(&command).unwrap();
        let told = codec.owned(&command, value).unwrap();
        assert_eq!((told.answer, told.faults), (expected, 0), "step {at} in Redis");
        assert_eq!(store.own(ownership, now), expected, "step {at} in the process");
    }
}

//! One value has one spelling, and what is no value is refused.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::limits::account::{Denied, Measure};
use crate::limits::rate::{Denial, Rate};
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Forced, Override};

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn round<T: Pack + PartialEq + Debug>(value: &T) {
    let bytes = pack(1, value, at(7));
    assert_eq!(unpack::<T>(1, &bytes, at(7)).as_ref(), Ok(value));
    for end in 0..bytes.len() {
        assert!(unpack::<T>(1, &bytes[..end], at(7)).is_err(), "{value:?} is cut at {end}");
    }
    assert!(
        unpack::<T>(1, &[&bytes[..], &[0]].concat(), at(7)).is_err(),
        "{value:?} has something behind it"
    );
    assert!(unpack::<T>(2, &bytes, at(7)).is_err(), "{value:?} is of another version");
}

#[test]
fn what_is_written_is_read() {
    for number in [0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX] {
        round(&number);
        round(&u128::from(number));
        round(&(u128::MAX - u128::from(number)));
        round(&Duration::from_nanos(number));
    }
    round(&Duration::MAX);
    round(&vec![Some("a".to_owned()), None, Some("ключ".to_owned())]);
    round(&[3_u32; 10]);
    round(&BTreeMap::from([("a".to_owned(), 1_usize), ("b".to_owned(), usize::MAX)]));
    for number in [0.1, -0.0, f64::MAX, f64::INFINITY] {
        round(&number);
    }
    round(&Bytes::from_static(b"\0bytes"));
    let denial = Denial::NotYet { wait: Duration::from_millis(3) };
    let rate = Rate { count: 3, per: Duration::from_mins(1) };
    round(&Denied { measure: Measure::Requests(rate), used: 3, requested: 1, denial });
    round(&Gate::Forced(Override { forced: Forced::Open, until: Some(at(u64::MAX)) }));
    round(&std::net::IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]));
}

#[test]
fn points_in_time_are_as_far_from_the_readers_now_as_from_the_writers() {
    for (written, writer, reader, read) in [
        (1500, 1000, 90_000, 90_500),
        (1000, 1000, 90_000, 90_000),
        (400, 1000, 90_000, 90_000),
        (400, 0, 0, 400),
        (u64::MAX, 0, 5, u64::MAX),
    ] {
        let bytes = pack(1, &at(written), at(writer));
        assert_eq!(unpack(1, &bytes, at(reader)), Ok(at(read)), "{written} by {writer}, read at {reader}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    for (bytes, why) in [
        (&[1, 0x80, 0][..], "7 bits too many"),
        (&[1, 0xff, 0xff, 0xff, 0xff, 0x10], "more than 32 bits"),
        (&[1], "nothing"),
        (&[], "no version"),
    ] {
        assert_eq!(unpack::<u32>(1, bytes, at(0)), Err(Garbled), "{why}");
    }
    assert_eq!(unpack::<bool>(1, &[1, 2], at(0)), Err(Garbled));
    assert_eq!(unpack::<Gate>(1, &[1, 4], at(0)), Err(Garbled));
    assert_eq!(unpack::<String>(1, &[1, 1, 0xff], at(0)), Err(Garbled));
    assert_eq!(unpack::<u128>(1, &[[1].as_slice(), &[0xff; 18], &[0x07]].concat(), at(0)), Err(Garbled));
    for (items, why) in [([(2_u32, 0_u32), (1, 0)], "out of order"), ([(1, 0), (1, 1)], "one key twice")] {
        let bytes = pack(1, &items.to_vec(), at(0));
        assert_eq!(unpack::<BTreeMap<u32, u32>>(1, &bytes, at(0)), Err(Garbled), "{why}");
    }
    // 2^63 of them are said to follow.
    let many = [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
    assert_eq!(unpack::<Vec<u64>>(1, &many, at(0)), Err(Garbled));
    assert_eq!(unpack::<Bytes>(1, &many, at(0)), Err(Garbled));
}

proptest! {
    #[test]
    fn a_number_has_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 1..20)) {
        let bytes = [&[1], &bytes[..]].concat();
        if let Ok(number) = unpack::<u128>(1, &bytes, at(0)) {
            prop_assert_eq!(pack(1, &number, at(0)), bytes);
        }
    }
}

//! A number's name in a store: the family's code, what of a histogram it is, and the labels.
//!
//! `rq⇥gpt-*⇥openai⇥200`; of a histogram `rd:b1000⇥gpt-*` is a bucket by its bound, not by its place, so that
//! another version's bounds are not taken for this one's; `rd:s⇥gpt-*` is the sum. The count is what the buckets
//! make together. In labels a tab is `\t` and a backslash `\\`.

use super::{Family, Kind};

/// What of a series a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All there is of a counter.
    Whole,
    /// An index into the bounds, or their number.
    Bucket(usize),
    Sum,
}

pub(super) fn encode(family: Family, part: Part, labels: &[&str]) -> String {
    let mut field = family.code().to_owned();
    match part {
        Part::Whole => {}
        Part::Bucket(at) => {
            field.push_str(":b");
            match bounds(family).get(at) {
                Some(bound) => field.push_str(&bound.to_string()),
                None => field.push_str("inf"),
            }
        }
        Part::Sum => field.push_str(":s"),
    }
    for label in labels {
        field.push('\t');
        for letter in label.chars() {
            match letter {
                '\t' => field.push_str("\\t"),
                '\\' => field.push_str("\\\\"),
                plain => field.push(plain),
            }
        }
    }
    field
}

/// `None`: another version wrote it, or nobody should have.
pub(super) fn decode(field: &str) -> Option<(Family, Part, Vec<String>)> {
    let mut words = field.split('\t');
    let head = words.next()?;
    let (code, part) = head.split_once(':').map_or((head, None), |(code, part)| (code, Some(part)));
    let family = Family::ALL.into_iter().find(|family| family.code() == code)?;
    let part = match (family.kind(), part) {
        (Kind::Counter, None) => Part::Whole,
        (Kind::Histogram(_), Some("s")) => Part::Sum,
        (Kind::Histogram(_), Some(part)) => Part::Bucket(bucket(family, part.strip_prefix('b')?)?),
        (Kind::Counter, Some(_)) | (Kind::Gauge, _) | (Kind::Histogram(_), None) => return None,
    };
    let labels: Vec<String> = words.map(plain).collect::<Option<_>>()?;
    (labels.len() == family.labels().len()).then_some((family, part, labels))
}

fn bucket(family: Family, bound: &str) -> Option<usize> {
    let bounds = bounds(family);
    if bound == "inf" {
        return Some(bounds.len());
    }
    // As it was written: `+1` and `01` are none.
    let value = bound.parse().ok().filter(|value: &u64| value.to_string() == bound)?;
    bounds.binary_search(&value).ok()
}

fn plain(label: &str) -> Option<String> {
    let mut plain = String::with_capacity(label.len());
    let mut letters = label.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next()? {
                't' => '\t',
                '\\' => '\\',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(plain)
}

fn bounds(family: Family) -> &'static [u64] {
    match family.kind() {
        Kind::Histogram(grain) => grain.bounds(),
        Kind::Counter | Kind::Gauge => &[],
    }
}

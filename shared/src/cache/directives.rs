//! What a client's `cache-control` says (RFC 9111, 5.2.1).

use std::time::Duration;

/// The directives of a request that a shared cache follows; others are passed over, as the RFC wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Nothing that is kept; what comes may be kept.
    pub no_cache: bool,
    /// Nothing that is kept, and nothing is.
    pub no_store: bool,
    /// Nothing but what is kept.
    pub only_if_cached: bool,
    pub max_age: Option<Duration>,
    /// How long behind its time an answer is still taken; as long as there is one, where no number stands.
    pub max_stale: Option<Duration>,
    pub min_fresh: Duration,
}

/// Whoever takes any age gets what is still there.
const ANY_AGE: Duration = Duration::from_hours(24 * 365);

impl Directives {
    /// Reads the values of all `cache-control` headers. A number that is none makes an age of 0: on the safe side
    /// of what may have been meant.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut directives = Self::default();
        let parts = values.into_iter().flat_map(|value| value.split(','));
        for part in parts {
            let (name, number) = match part.split_once('=') {
                Some((name, number)) => (name.trim(), Some(number.trim().trim_matches('"'))),
                None => (part.trim(), None),
            };
            let seconds = || Duration::from_secs(number.and_then(|text| text.parse().ok()).unwrap_or(0));
            match name.to_ascii_lowercase().as_str() {
                "no-cache" => directives.no_cache = true,
                "no-store" => directives.no_store = true,
                "only-if-cached" => directives.only_if_cached = true,
                "max-age" => {
                    directives.max_age = Some(directives.max_age.map_or(seconds(), |age| age.min(seconds())));
                }
                "max-stale" => {
                    directives.max_stale = Some(if number.is_some() { seconds() } else { ANY_AGE });
                }
                "min-fresh" => directives.min_fresh = directives.min_fresh.max(seconds()),
                _ => {}
            }
        }
        directives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_as_they_are_written() {
        let none = Directives::default();
        let seconds = Duration::from_secs;
        for (values, expected) in [
            (&[][..], none),
            (&[""], none),
            (&["no-transform, unknown=3"], none),
            (&["No-Cache"], Directives { no_cache: true, ..none }),
            (&["no-store,only-if-cached"], Directives { no_store: true, only_if_cached: true, ..none }),
            (&[" max-age = 7 "], Directives { max_age: Some(seconds(7)), ..none }),
            (&["max-age=\"7\""], Directives { max_age: Some(seconds(7)), ..none }),
            (&["max-age=7", "max-age=3"], Directives { max_age: Some(seconds(3)), ..none }),
            (&["max-age=soon"], Directives { max_age: Some(seconds(0)), ..none }),
            (&["max-stale"], Directives { max_stale: Some(ANY_AGE), ..none }),
            (
                &["max-stale=5, min-fresh=2"],
                Directives { max_stale: Some(seconds(5)), min_fresh: seconds(2), ..none },
            ),
        ] {
            assert_eq!(Directives::parse(values.iter().copied()), expected, "{values:?}");
        }
    }
}

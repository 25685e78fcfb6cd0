//! Which labels a selector means.

use crate::object::Labels;

/// A selector by equality; one that asks for nothing selects everything, as in Kubernetes.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_pair_of_a_selector_has_to_be_there() {
        let pod = labels(&[("name", "a"), ("track", "stable")]);
        let cases = [
            (labels(&[]), true),
            (labels(&[("name", "a")]), true),
            (labels(&[("name", "b")]), false),
            (labels(&[("name", "a"), ("zone", "x")]), false),
        ];
        for (selector, expected) in cases {
            assert_eq!(selects(&selector, &pod), expected, "{selector:?}");
        }
    }
}

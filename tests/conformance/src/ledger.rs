//! What a span of a case has changed in `/metrics`, in the words of cases.

use weir_native_tests::Exposition;

use crate::case::{Expectation, Ledger, Refused};
use crate::matching::Count;

/// Requests whose books are open.
pub(crate) const IN_FLIGHT: &str = "weir_in_flight";
/// Calls at upstreams.
pub(crate) const AT_UPSTREAMS: &str = "weir_upstream_in_flight";

/// Two readings of `/metrics`.
pub(crate) struct Change<'a> {
    pub(crate) before: &'a Exposition,
    pub(crate) after: &'a Exposition,
    /// Counters that the runtime does not keep.
    pub(crate) untold: &'a [&'a str],
}

impl Change<'_> {
    /// What is not as `expect` says.
    pub(crate) fn differences(&self, expect: &Expectation) -> Vec<String> {
        let mut wanted: Vec<(String, Count)> =
            expect.metrics.iter().map(|(key, count)| (key.clone(), count.clone())).collect();
        if let Some(ledger) = &expect.ledger {
            wanted.extend(entries_of(ledger));
        }
        if let Some(Refused { status, code }) = &expect.refused {
            wanted.push(("weir_requests_total".into(), Count::exactly(0)));
            wanted.push(("weir_refusals_total".into(), Count::exactly(1)));
            let key = format!("weir_refusals_total{{status=\"{status}\",code=\"{code}\"}}");
            wanted.push((key, Count::exactly(1)));
        }
        wanted.retain(|(key, _)| !self.untold.iter().any(|name| key.starts_with(name)));
        let unmet = wanted.into_iter().filter_map(|(key, count)| match self.grown(&key) {
            Some(grown) if count.holds(grown) => None,
            Some(grown) => Some(format!("{key}: expected {count} more, got {grown}")),
            None => Some(format!("{key} has shrunk, or is no counter")),
        });
        unmet.collect()
    }

    /// By how much the sum of all samples has grown that `key` names.
    fn grown(&self, key: &str) -> Option<u64> {
        let (name, labels) = key.split_once('{').unwrap_or((key, ""));
        let labels: Vec<&str> = labels.trim_end_matches('}').split(',').filter(|l| !l.is_empty()).collect();
        let grown = self.after.sum(name, &labels) - self.before.sum(name, &labels);
        format!("{grown:.0}").parse().ok().or((grown.abs() < 0.5).then_some(0))
    }
}

/// One admitted request, as the counters show it.
fn entries_of(ledger: &Ledger) -> Vec<(String, Count)> {
    let mut labels = Vec::new();
    let names = [("route", &ledger.route), ("upstream", &ledger.upstream)];
    for (name, value) in names.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        labels.push(format!("{name}=\"{value}\""));
    }
    labels.extend(ledger.status.map(|status| format!("status=\"{status}\"")));
    let one = |name: &str, labels: &str| (format!("{name}{{{labels}}}"), Count::exactly(1));
    let mut entries = vec![one("weir_requests_total", ""), one("weir_requests_total", &labels.join(","))];
    if let Some(ending) = &ledger.ending {
        entries.push(one("weir_endings_total", &format!("ending=\"{ending}\"")));
    }
    if let Some(usage) = &ledger.usage {
        entries.push(one("weir_usage_total", &format!("source=\"{usage}\"")));
    }
    for (kind, tokens) in [("input", ledger.input), ("output", ledger.output)] {
        let key = format!("gen_ai_client_token_usage_sum{{gen_ai_token_type=\"{kind}\"}}");
        entries.extend(tokens.map(|tokens| (key, Count::exactly(tokens))));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_what_has_grown() {
        let before =
            Exposition("weir_requests_total{route=\"*\",upstream=\"one\",status=\"200\"} 2\n".into());
        let after = Exposition(
            "weir_requests_total{route=\"*\",upstream=\"one\",status=\"200\"} 3\n\
             weir_endings_total{ending=\"complete\"} 1\n\
             gen_ai_client_token_usage_sum{gen_ai_token_type=\"output\"} 5.0\n"
                .into(),
        );
        let change = Change { before: &before, after: &after, untold: &[] };
        let mut expect = Expectation {
            ledger: Some(Ledger {
                status: Some(200),
                upstream: Some("one".into()),
                ending: Some("complete".into()),
                output: Some(5),
                ..Ledger::default()
            }),
            ..Expectation::default()
        };
        assert_eq!(change.differences(&expect), Vec::<String>::new());
        expect.ledger = Some(Ledger { status: Some(502), ..Ledger::default() });
        assert_eq!(
            change.differences(&expect),
            ["weir_requests_total{status=\"502\"}: expected 1 more, got 0"]
        );
        expect.ledger = None;
        expect.refused = Some(Refused { status: 401, code: "none".into() });
        assert_eq!(change.differences(&expect).len(), 3);
    }
}

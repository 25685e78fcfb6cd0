//! What an expression of Prometheus selects.

use std::collections::BTreeSet;
use std::convert::Infallible;

use promql_parser::parser::token::T_MAX;
use promql_parser::parser::{self, AggregateExpr, Expr, LabelModifier, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

/// A series in an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Empty where the selector names none.
    pub(crate) name: String,
    /// Whether it is read over a range, as `rate` does.
    pub(crate) over_a_range: bool,
    /// The labels of the nearest `max by (…)` around it, which makes one number of those that are equal in
    /// them.
    pub(crate) greatest_by: Option<BTreeSet<String>>,
}

/// Everything that `expression` selects, in order; in words, why it is no expression.
///
/// Grafana's own variable is given a value first: the parser is Prometheus's and does not know it.
pub(crate) fn selections(expression: &str) -> Result<Vec<Selection>, String> {
    let expression = expression.replace("$__rate_interval", "5m");
    let parsed = parser::parse(&expression)?;
    let mut visit = Visit { found: Vec::new(), around: Vec::new() };
    let Ok(_) = walk_expr(&mut visit, &parsed);
    Ok(visit.found)
}

struct Visit {
    found: Vec<Selection>,
    around: Vec<BTreeSet<String>>,
}

impl Visit {
    fn select(&mut self, selector: &VectorSelector, over_a_range: bool) {
        let name = selector.name.clone().unwrap_or_default();
        self.found.push(Selection { name, over_a_range, greatest_by: self.around.last().cloned() });
    }
}

impl ExprVisitor for Visit {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::VectorSelector(selector) => self.select(selector, false),
            Expr::MatrixSelector(range) => self.select(&range.vs, true),
            Expr::Aggregate(aggregate) => self.around.extend(greatest_by(aggregate)),
            _ => {}
        }
        Ok(true)
    }

    fn post_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        if let Expr::Aggregate(aggregate) = expr
            && greatest_by(aggregate).is_some()
        {
            self.around.pop();
        }
        Ok(true)
    }
}

/// `None` for what is not the greatest, or leaves out labels rather than naming them.
fn greatest_by(aggregate: &AggregateExpr) -> Option<BTreeSet<String>> {
    match &aggregate.modifier {
        _ if aggregate.op.id() != T_MAX => None,
        None => Some(BTreeSet::new()),
        Some(LabelModifier::Include(labels)) => Some(labels.labels.iter().cloned().collect()),
        Some(LabelModifier::Exclude(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(expression: &str) -> Option<Vec<String>> {
        let selections = selections(expression).ok()?.into_iter();
        let told = selections.map(|it| {
            let by = it.greatest_by.map(|labels| labels.into_iter().collect::<Vec<_>>().join("+"));
            format!("{} {} {}", it.name, it.over_a_range, by.as_deref().unwrap_or("-"))
        });
        Some(told.collect())
    }

    #[test]
    fn every_selected_series_is_told() {
        let cases: [(&str, Option<&[&str]>); 7] = [
            ("sum(rate(a_total{code=\"x\"}[5m])) / sum(b) > 0.5", Some(&["a_total true -", "b false -"])),
            (
                "sum by (x) (max by (x, y) (rate(c[$__rate_interval]))) + d",
                Some(&["c true x+y", "d false -"]),
            ),
            ("max(rate(e[1m])) or max without (x) (f)", Some(&["e true ", "f false -"])),
            ("max_over_time(rate(g[1m])[10m:1m])", Some(&["g true -"])),
            ("{job=\"x\"}", Some(&[" false -"])),
            ("sum(", None),
            ("rate(a_total)", None),
        ];
        for (expression, expected) in cases {
            let expected = expected.map(|told| told.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(told(expression), expected, "{expression}");
        }
    }
}

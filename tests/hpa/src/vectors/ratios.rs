//! `metrics/utilization_test.go`: measured by target.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Differences;
use crate::{
    proposal::{Gauge, Measured},
    quantity::Milli,
};

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    test: String,
    values: BTreeMap<String, i64>,
    requests: Option<BTreeMap<String, i64>>,
    target: u32,
    expected: Option<Expected>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    ratio: f64,
    utilization: Option<i64>,
    average: i64,
}

#[test]
fn a_ratio_is_of_whole_percents_and_whole_thousandths() {
    let file: File = toml::from_str(include_str!("../../vectors/ratios.toml")).unwrap();
    let mut differences = Differences::default();
    for case in &file.case {
        let gauge = match &case.requests {
            Some(requests) => Gauge::Utilization { requests: Ok(borrowed(requests)), percent: case.target },
            None => Gauge::Average(Milli(case.target.into())),
        };
        let found = gauge.measure(&borrowed(&case.values)).map_err(|fault| fault.to_string());
        let expected = match (&case.expected, &case.error) {
            (Some(Expected { ratio, utilization, average }), None) => {
                Ok(Measured { ratio: *ratio, utilization: *utilization, average: *average })
            }
            (None, Some(error)) => Err(error.clone()),
            _ => panic!("{}: a result or an error", case.test),
        };
        differences.compare(&case.test, &found, &expected);
    }
    differences.none_in(file.case.len(), 5);
}

fn borrowed(values: &BTreeMap<String, i64>) -> BTreeMap<&str, i64> {
    values.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

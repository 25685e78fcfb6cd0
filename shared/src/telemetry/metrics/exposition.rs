//! The text form of `OpenMetrics` 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::field::{self, Part};
use super::{Family, Grain, Kind, Sink};

/// Of the text that [`Exposition`] prints.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Numbers to be printed. Its `Display` is the whole text, up to `# EOF`; a family without numbers is not in it.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// Of each family by its labels' values, which are looked up without a copy.
    series: BTreeMap<Family, Vec<(Vec<String>, Reading)>>,
    skipped: u64,
}

#[derive(Clone, Debug)]
enum Reading {
    Counter(u64),
    Gauge(i64),
    Histogram { grain: Grain, buckets: Vec<u64>, sum: u64 },
}

impl Exposition {
    /// Adds a field of a hash that [`super::Tally`]s were added up in.
    pub fn field(&mut self, field: &str, number: u64) {
        let Some((family, part, labels)) = field::decode(field) else { return self.skip() };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match (self.reading(family, &labels), part) {
            (Reading::Counter(count), Part::Whole) => *count = count.saturating_add(number),
            (Reading::Histogram { sum, .. }, Part::Sum) => *sum = sum.saturating_add(number),
            (Reading::Histogram { buckets, .. }, Part::Bucket(at)) => {
                if let Some(bucket) = buckets.get_mut(at) {
                    *bucket = bucket.saturating_add(number);
                }
            }
            // Decoding lets only such parts through as the kind has.
            (Reading::Counter(_) | Reading::Gauge(_) | Reading::Histogram { .. }, _) => {}
        }
    }

    /// Something in the hash is no field, or its number no number.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    /// What was in the hash and is not printed.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Adds a histogram that was counted elsewhere: how many there are in each bucket, without those below it.
    pub fn histogram(&mut self, family: Family, labels: &[&str], counted: &[u64], total: u64) {
        let Reading::Histogram { buckets, sum, .. } = self.reading(family, labels) else { return };
        for (bucket, count) in buckets.iter_mut().zip(counted) {
            *bucket = bucket.saturating_add(*count);
        }
        *sum = sum.saturating_add(total);
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        for (family, series) in &other.series {
            for (labels, reading) in series {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                match reading {
                    Reading::Counter(by) => self.count(*family, &labels, *by),
                    Reading::Gauge(by) => self.shift(*family, &labels, *by),
                    Reading::Histogram { buckets, sum, .. } => {
                        self.histogram(*family, &labels, buckets, *sum);
                    }
                }
            }
        }
        self.skipped += other.skipped;
    }

    fn reading(&mut self, family: Family, labels: &[&str]) -> &mut Reading {
        let series = self.series.entry(family).or_default();
        let known = series
            .binary_search_by(|(known, _)| known.iter().map(String::as_str).cmp(labels.iter().copied()));
        let at = known.unwrap_or_else(|at| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            series.insert(at, (labels, Reading::new(family.kind())));
            at
        });
        &mut series[at].1
    }
}

impl Reading {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(0),
            Kind::Gauge => Self::Gauge(0),
            Kind::Histogram(grain) => {
                Self::Histogram { grain, buckets: vec![0; grain.bounds().len() + 1], sum: 0 }
            }
        }
    }
}

impl Sink for Exposition {
    fn count(&mut self, family: Family, labels: &[&str], by: u64) {
        if let Reading::Counter(count) = self.reading(family, labels) {
            *count = count.saturating_add(by);
        }
    }

    fn shift(&mut self, family: Family, labels: &[&str], by: i64) {
        if let Reading::Gauge(value) = self.reading(family, labels) {
            *value = value.saturating_add(by);
        }
    }

    fn observe(&mut self, family: Family, labels: &[&str], value: u64) {
        let Reading::Histogram { grain, buckets, sum } = self.reading(family, labels) else { return };
        if let Some(bucket) = buckets.get_mut(grain.bucket(value)) {
            *bucket = bucket.saturating_add(1);
        }
        *sum = sum.saturating_add(value);
    }
}

impl fmt::Display for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for family in Family::ALL {
            let Some(series) = self.series.get(&family.source()) else { continue };
            head(f, family)?;
            for (labels, reading) in series {
                print(f, family, labels, reading)?;
            }
        }
        f.write_str("# EOF\n")
    }
}

fn head(f: &mut fmt::Formatter<'_>, family: Family) -> fmt::Result {
    let name = family.name();
    let kind = match family.kind() {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    write!(f, "# HELP {name} {}.\n# TYPE {name} {kind}\n", family.help())?;
    match family.unit() {
        Some(unit) => writeln!(f, "# UNIT {name} {unit}"),
        None => Ok(()),
    }
}

fn print(f: &mut fmt::Formatter<'_>, family: Family, labels: &[String], reading: &Reading) -> fmt::Result {
    let name = family.name();
    let set = |bound| Set { family, labels, bound };
    match reading {
        Reading::Counter(count) => writeln!(f, "{name}_total{} {count}", set(None)),
        Reading::Gauge(value) => writeln!(f, "{name}{} {value}", set(None)),
        Reading::Histogram { grain, buckets, sum } => {
            let count = buckets.iter().fold(0_u64, |sum, bucket| sum.saturating_add(*bucket));
            writeln!(f, "{name}_sum{} {}", set(None), Decimal(*grain, *sum))?;
            writeln!(f, "{name}_count{} {count}", set(None))?;
            let bounds = grain.bounds().iter().map(|bound| Bound::To(Decimal(*grain, *bound)));
            let mut below = 0_u64;
            for (bucket, bound) in buckets.iter().zip(bounds.chain([Bound::Infinite])) {
                below = below.saturating_add(*bucket);
                writeln!(f, "{name}_bucket{} {below}", set(Some(bound)))?;
            }
            Ok(())
        }
    }
}

/// The labels of a sample in braces, a bucket's bound first; nothing where there is none.
struct Set<'a> {
    family: Family,
    labels: &'a [String],
    bound: Option<Bound>,
}

#[derive(Clone, Copy)]
enum Bound {
    To(Decimal),
    Infinite,
}

impl fmt::Display for Set<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '{';
        if let Some(bound) = self.bound {
            match bound {
                Bound::To(bound) => write!(f, "{{le=\"{bound}\"")?,
                Bound::Infinite => f.write_str("{le=\"+Inf\"")?,
            }
            before = ',';
        }
        for (name, value) in self.family.labels().iter().zip(self.labels) {
            write!(f, "{before}{name}=\"")?;
            escaped(f, value)?;
            f.write_char('"')?;
            before = ',';
        }
        if before == ',' { f.write_char('}') } else { Ok(()) }
    }
}

fn escaped(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    for letter in value.chars() {
        match letter {
            '\\' => f.write_str("\\\\")?,
            '"' => f.write_str("\\\"")?,
            '\n' => f.write_str("\\n")?,
            plain => f.write_char(plain)?,
        }
    }
    Ok(())
}

/// An exact number with at least one digit behind the point: readers tell a float by it.
#[derive(Clone, Copy)]
struct Decimal(Grain, u64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(grain, value) = *self;
        let scale = grain.scale();
        write!(f, "{}.", value / scale)?;
        let (mut rest, mut unit) = (value % scale, scale);
        loop {
            unit = (unit / 10).max(1);
            write!(f, "{}", rest / unit)?;
            rest %= unit;
            if rest == 0 {
                return Ok(());
            }
        }
    }
}

//! What `/metrics` says.

/// The text form of OpenMetrics, read as far as tests need it.
#[derive(Clone, Debug)]
pub struct Exposition(pub String);

impl Exposition {
    /// The sum of all samples of `name` that have these labels, written as in `ending="complete"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.samples(name)
            .filter(|(have, _)| labels.iter().all(|label| have.split(',').any(|one| one == *label)))
            .map(|(_, value)| value)
            .sum()
    }

    pub fn has(&self, name: &str) -> bool {
        self.samples(name).next().is_some()
    }

    /// Labels and value of each sample of `name`.
    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.parse().ok()?))
        })
    }
}

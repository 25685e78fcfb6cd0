//! Counts the calls to models that refuse the first few.

use std::collections::BTreeMap;

/// Past this many models the first in the alphabet is forgotten: it starts to refuse anew.
const MOST_MODELS: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Flaky {
    /// Calls refused since the last one that was served.
    refused: BTreeMap<String, usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Refuse,
    Serve,
}

impl Flaky {
    /// Takes one call to `model`, which refuses `refusals` calls before it serves one.
    pub(crate) fn take(&mut self, model: &str, refusals: usize) -> Turn {
        let refused = self.refused.get(model).copied().unwrap_or(0);
        if refused >= refusals {
            self.refused.remove(model);
            return Turn::Serve;
        }
        if self.refused.len() >= MOST_MODELS && !self.refused.contains_key(model) {
            self.refused.pop_first();
        }
        self.refused.insert(model.to_owned(), refused + 1);
        Turn::Refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_refuses_then_serves_once_then_refuses_again() {
        let mut flaky = Flaky::default();
        let turns: Vec<Turn> = (0..6).map(|_| flaky.take("sim-flaky-2", 2)).collect();
        let round = [Turn::Refuse, Turn::Refuse, Turn::Serve];
        assert_eq!(turns, [round, round].concat());
        assert_eq!(flaky.take("sim-flaky-0", 0), Turn::Serve);
    }

    #[test]
    fn the_count_is_kept_for_a_bounded_number_of_models() {
        let mut flaky = Flaky::default();
        for model in 0..2 * MOST_MODELS {
            flaky.take(&format!("sim-{model}"), 1);
        }
        assert_eq!(flaky.refused.len(), MOST_MODELS);
    }
}

//! How a run went, and how it is run again.

use std::fmt;

use crate::judge::Violation;
use crate::profile::Profile;
use crate::world::Tally;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    pub profile: Profile,
    pub violation: Option<Violation>,
    /// The last of what happened, where it was written down.
    pub events: Vec<String>,
    pub tally: Tally,
}

/// As much of an event as is of use on a screen.
const WIDTH: usize = 400;

impl Report {
    /// The command that runs it once more, and tells what happened.
    pub fn command(&self) -> String {
        let Self { seed, profile, .. } = self;
        let variables = format!("WEIR_SIM_SEED={seed} WEIR_SIM_PROFILE={profile}");
        format!("{variables} cargo test -p weir-sim --test seeds -- --nocapture")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            let short: String = event.chars().take(WIDTH).collect();
            writeln!(f, "{}", short.replace('\n', "\\n"))?;
        }
        match &self.violation {
            Some(violation) => writeln!(f, "{violation}")?,
            None => writeln!(f, "all invariants hold: {:?}", self.tally)?,
        }
        f.write_str(&self.command())
    }
}

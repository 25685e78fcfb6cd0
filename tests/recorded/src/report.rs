//! What came of all recordings, a line for each.

use std::fmt;

#[derive(Clone, Debug)]
pub enum Verdict {
    /// All is as it should be; what the recording is.
    Same(String),
    Differs(Vec<String>),
    /// The gateway does not speak this dialect yet.
    NotSpoken(&'static str),
}

#[derive(Clone, Debug)]
pub struct Report {
    /// By the name of the recording.
    pub verdicts: Vec<(String, Verdict)>,
}

impl Report {
    pub fn differing(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Differs(_)))
    }

    fn count(&self, is_one: impl Fn(&Verdict) -> bool) -> usize {
        self.verdicts.iter().filter(|(_, verdict)| is_one(verdict)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.verdicts {
            match verdict {
                Verdict::Same(what) => writeln!(f, "same        {name}: {what}")?,
                Verdict::NotSpoken(dialect) => writeln!(f, "not spoken  {name}: {dialect}")?,
                Verdict::Differs(faults) => {
                    writeln!(f, "DIFFERS     {name}")?;
                    for fault in faults {
                        writeln!(f, "            {fault}")?;
                    }
                }
            }
        }
        let same = self.count(|verdict| matches!(verdict, Verdict::Same(_)));
        let others = self.count(|verdict| matches!(verdict, Verdict::NotSpoken(_)));
        write!(f, "recordings: {same} same, {} differ, {others} of dialects not spoken yet", self.differing())
    }
}

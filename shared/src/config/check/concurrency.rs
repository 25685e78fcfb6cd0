//! How many calls go at the same time, and who waits.

use std::time::Duration;

use super::{at_least_one, positive, within};
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, CallLimit, ConcurrencyTable};
use crate::config::report::Report;
use crate::limits::concurrency::{Bound, Concurrency};

/// More calls than one process holds, waiting or under way.
const MOST: u32 = 1_000_000;

/// How long a call waits, where the document says nothing.
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// Calls that wait, where the document says nothing: `queue`. `None`: there is no bound.
pub(super) fn concurrency(
    raw: &raw::Concurrency,
    queue: u32,
    path: &Path,
    report: &mut Report<'_>,
) -> Option<Concurrency> {
    match raw {
        raw::Concurrency::Word(raw::Unlimited::Unlimited) => None,
        raw::Concurrency::Number(limit) => {
            Some(Concurrency { bound: fixed(*limit, path, report), queue, wait: WAIT })
        }
        raw::Concurrency::Table(table) => {
            let bound = bound(table, path, report);
            let queue = within(table.queue, queue, (0, MOST), &path.key("queue"), report);
            let wait = positive(table.wait, WAIT, &path.key("wait"), report);
            Some(Concurrency { bound: bound?, queue, wait })
        }
    }
}

fn bound(table: &ConcurrencyTable, path: &Path, report: &mut Report<'_>) -> Option<Bound> {
    match table.limit {
        None => {
            let hint = "write limit = 100, or limit = \"adaptive\"";
            report.missing(&path.key("limit"), Problem::new("missing").hint(hint));
            None
        }
        Some(CallLimit::Word(raw::Adaptive::Adaptive)) => Some(adaptive(table, path, report)),
        Some(CallLimit::Number(limit)) => {
            for (key, given) in [("least", table.least.is_some()), ("most", table.most.is_some())] {
                if given {
                    report.fault(&path.key(key), "only limit = \"adaptive\" has one");
                }
            }
            Some(fixed(limit, &path.key("limit"), report))
        }
    }
}

fn fixed(limit: u64, path: &Path, report: &mut Report<'_>) -> Bound {
    at_least_one(Some(limit), path, report);
    Bound::Fixed(u32::try_from(limit).unwrap_or(u32::MAX))
}

fn adaptive(table: &ConcurrencyTable, path: &Path, report: &mut Report<'_>) -> Bound {
    let least = within(table.least, 4, (1, MOST), &path.key("least"), report);
    let most = within(table.most, 1000, (1, MOST), &path.key("most"), report);
    // One that is wrong by itself is not compared: the other would be told for its sake.
    let is_sound = |key: &str, number: Option<u64>, checked: u32| {
        number.is_none_or(|number| number == u64::from(checked)) && !report.excuses(&path.key(key))
    };
    let are_sound = is_sound("least", table.least, least) && is_sound("most", table.most, most);
    if are_sound && least > most {
        let (at, other, problem) = match table.least {
            Some(_) => ("least", "most", format!("{least} is more than most, which is {most}")),
            None => ("most", "least", format!("{most} is less than least, which is {least}")),
        };
        let problem = Problem::new(problem);
        let is_default = table.least.is_none() || table.most.is_none();
        let hint = format!("write {other} as well");
        report.fault(&path.key(at), if is_default { problem.hint(hint) } else { problem });
    }
    Bound::Adaptive { least, most }
}

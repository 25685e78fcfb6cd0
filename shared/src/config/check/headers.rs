//! Headers that cross beside the documented ones.

use crate::config::fault::{Problem, shown};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::wire::headers::{HeaderNames, Never, PatternFault};

/// Patterns in one list.
const MOST: usize = 64;

pub(super) fn names(
    raw: Option<&[String]>,
    never: &Never,
    path: &Path,
    report: &mut Report<'_>,
) -> HeaderNames {
    let mut names = HeaderNames::default();
    let raw = raw.unwrap_or_default();
    if raw.len() > MOST {
        report.fault(path, format!("has more than {MOST} names"));
        return names;
    }
    for pattern in raw {
        let Err(fault) = names.add(pattern, never) else { continue };
        let hint = match fault {
            PatternFault::Malformed => "write a name, \"x-tenant-hint\", or how names begin, \"x-tenant-*\"",
            PatternFault::Never(_) => "leave it out, or name those that are meant",
        };
        report.fault(path, Problem::new(format!("{}: {fault}", shown(pattern))).hint(hint));
    }
    names
}

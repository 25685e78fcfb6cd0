//! What a route keeps.

use super::at_least_some_time;
use crate::config::path::Path;
use crate::config::raw::Cache;
use crate::config::report::Report;

pub(super) fn cache(cache: &Cache, path: &Path, report: &mut Report<'_>) {
    report.warn(path, "accepted, not in force yet in this version");
    at_least_some_time(cache.ttl, &path.key("ttl"), report);
}

//! `weir check` and `weir schema`.

use http::Uri;

use crate::cli::{Check, Failed, say};
use crate::document::{self, Machine};

/// Tells all faults and warnings of a file; fails if there is a fault.
pub(crate) fn check(flags: &Check) -> Result<(), Failed> {
    let machine = Machine { simulated: Uri::from_static("http://127.0.0.1/v1") };
    let loaded = document::load(Some(&flags.file), &machine).map_err(|e| Failed(e.to_string()))?;
    for warning in &loaded.warnings {
        say(format_args!("warning: {warning}"));
    }
    let config = &loaded.config;
    let (upstreams, routes) = (config.upstreams.len(), config.routes.len());
    say(format_args!("{}: good; {upstreams} upstreams, {routes} routes", flags.file.display()));
    Ok(())
}

pub(crate) fn print_schema() -> Result<(), Failed> {
    let schema = serde_json::to_string_pretty(&weir::config::schema());
    say(schema.map_err(|e| Failed::because("no schema", e))?);
    Ok(())
}

//! `weir check`, `weir prepare` and `weir schema`.

use http::Uri;

use crate::cli::{Check, Failed, Prepare, complain, say};
use crate::client::EnvironmentProxies;
use crate::document::{self, Machine};

/// Tells all faults and warnings of a file; fails if there is a fault.
pub(crate) fn check(flags: &Check) -> Result<(), Failed> {
    let machine = Machine { simulated: Uri::from_static("http://127.0.0.1/v1") };
    let loaded = document::load(Some(&flags.file), &machine).map_err(|e| Failed(e.to_string()))?;
    for warning in &loaded.warnings {
        say(format_args!("warning: {warning}"));
    }
    let config = &loaded.config;
    for route in EnvironmentProxies::of_process().routes(config) {
        say(route);
    }
    let (upstreams, routes) = (config.upstreams.len(), config.routes.len());
    say(format_args!("{}: good; {upstreams} upstreams, {routes} routes", flags.file.display()));
    Ok(())
}

/// Prints a file as a component reads it fast. Warnings go where they do not end up in it.
pub(crate) fn prepare(flags: &Prepare) -> Result<(), Failed> {
    let prepared = document::prepare(&flags.file).map_err(|e| Failed(e.to_string()))?;
    for warning in &prepared.warnings {
        complain(&Failed(format!("warning: {warning}")));
    }
    say(prepared.text.trim_end());
    Ok(())
}

pub(crate) fn print_schema() -> Result<(), Failed> {
    let schema = serde_json::to_string_pretty(&weir::config::schema());
    say(schema.map_err(|e| Failed::because("no schema", e))?);
    Ok(())
}

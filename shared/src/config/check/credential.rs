//! Looks up what a document refers to.

use std::borrow::Cow;

use crate::config::fault::{Problem, may_be_secret, shown};
use crate::config::path::Path;
use crate::config::raw::{ApiKey, BaseUrl};
use crate::config::report::Report;
use crate::config::source::Surroundings;
use crate::routing::upstream::Credential;
use crate::secret::Secret;

/// The credential that `reference` names. What is wrong with the reference is a fault; that it leads nowhere
/// is a warning.
pub(super) fn credential(
    reference: &ApiKey,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Credential {
    match find(reference, path, surroundings, report) {
        None => Credential::None,
        Some(Ok(secret)) => Credential::Known(secret),
        Some(Err(why)) => {
            let hint = "until it is there, calls to this upstream fail";
            report.warn(path, Problem::new(why.clone()).hint(hint));
            Credential::Missing { why }
        }
    }
}

/// What `reference` leads to, or in words why it leads nowhere. `None` after a fault of the reference itself.
pub(super) fn find(
    reference: &ApiKey,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<Result<Secret, String>> {
    match (&reference.env, &reference.file) {
        (Some(name), None) => {
            check_variable(name, &path.key("env"), report);
            let found = known(surroundings.env(name));
            Some(found.map_err(|why| format!("the variable {} {why}", shown(name))))
        }
        (None, Some(file)) => {
            let found = from_file(surroundings.file(file));
            Some(found.map_err(|why| format!("the file {} {why}", shown(file))))
        }
        (Some(_), Some(_)) => {
            report.fault(path, "names a variable and a file; one of them is enough");
            None
        }
        (None, None) => {
            if !report.excuses_part_of(path) {
                let hint = "write { env = \"NAME\" } or { file = \"PATH\" }";
                report.fault(path, Problem::new("says nothing about where it is found").hint(hint));
            }
            None
        }
    }
}

/// The text that `reference` names, or `None` after a fault.
pub(super) fn text<'a>(
    reference: &'a BaseUrl,
    path: &Path,
    surroundings: &dyn Surroundings,
    report: &mut Report<'_>,
) -> Option<Cow<'a, str>> {
    let from_env = match reference {
        BaseUrl::Text(text) => return Some(text.into()),
        BaseUrl::Env(from_env) => from_env,
    };
    let Some(name) = &from_env.env else {
        report.missing(&path.key("env"), "missing: the name of the variable");
        return None;
    };
    check_variable(name, &path.key("env"), report);
    let set = surroundings.env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let found = set.map(Into::into).or_else(|| from_env.default.as_deref().map(Into::into));
    if found.is_none() && !report.excuses(&path.key("default")) {
        let problem =
            Problem::new(format!("the variable {} is not set, and there is no default", shown(name)));
        report.fault(path, problem.hint("set it, or add default = \"…\""));
    }
    found
}

fn from_file(content: Result<String, String>) -> Result<Secret, String> {
    match content {
        Ok(content) => known(Some(content)).map_err(Into::into),
        Err(problem) => Err(unreadable(&problem)),
    }
}

/// Why a file is not read, unless a credential may be in the words.
pub(super) fn unreadable(problem: &str) -> String {
    if may_be_secret(problem) {
        "cannot be read".into()
    } else {
        format!("cannot be read: {}", problem.escape_debug())
    }
}

/// White space around it belongs to whoever wrote it down: an editor, `echo`, a YAML block.
fn known(value: Option<String>) -> Result<Secret, &'static str> {
    match value.map(|value| value.trim().to_owned()) {
        None => Err("is not set"),
        Some(value) if value.is_empty() => Err("is empty"),
        Some(value) if value.bytes().all(|b| b.is_ascii_graphic()) => Ok(Secret::new(value)),
        Some(_) => Err("holds what no key has in it: a space, a line break or a letter outside ASCII"),
    }
}

/// Refuses what is no variable's name, without showing it: it is likely to be the key itself.
pub(super) fn check_variable(name: &str, path: &Path, report: &mut Report<'_>) {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !(first && rest && name.len() <= 128) {
        let problem = Problem::new("not the name of an environment variable");
        report.fault(path, problem.hint("the name stands here, never the key"));
    }
}

//! Where state is kept, and how much of it.

use super::credential::check_variable;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, BaseUrl, StoreKind};
use crate::config::report::Report;

pub(super) fn store(store: &raw::Store, path: &Path, report: &mut Report<'_>) {
    match store.kind {
        Some(StoreKind::Redis) => {
            let problem = Problem::new("this version keeps its state in process only");
            report.fault(&path.key("kind"), problem.hint("write kind = \"embedded\""));
            redis_url(store.url.as_ref(), &path.key("url"), report);
        }
        Some(StoreKind::Embedded) | None => {
            if store.url.is_some() {
                report.fault(&path.key("url"), "only the kind \"redis\" has one");
            }
        }
    }
}

fn redis_url(url: Option<&BaseUrl>, path: &Path, report: &mut Report<'_>) {
    let hint = "write url = \"redis://host:6379\" or url = { env = \"REDIS_URL\" }";
    match url {
        None => report.missing(path, Problem::new("missing").hint(hint)),
        Some(BaseUrl::Env(reference)) => match &reference.env {
            Some(name) => check_variable(name, &path.key("env"), report),
            None => report.missing(&path.key("env"), "missing: the name of the variable"),
        },
        Some(BaseUrl::Text(text)) if !text.starts_with("redis://") && !text.starts_with("rediss://") => {
            report.fault(path, Problem::new("not the address of a Redis").hint(hint));
        }
        Some(BaseUrl::Text(text)) if text.contains('@') => {
            let problem = Problem::new("a password is not written here");
            report.fault(path, problem.hint("write url = { env = \"REDIS_URL\" }"));
        }
        Some(BaseUrl::Text(_)) => {}
    }
}

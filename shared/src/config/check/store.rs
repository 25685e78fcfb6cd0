//! Where state is kept, and how much of it.

use super::credential::check_variable;
use crate::config::Store;
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw::{self, BaseUrl, Share, StoreKind};
use crate::config::report::Report;

/// Bytes; more does not fit into a machine that this is for.
const MOST_CACHE: u64 = 64 << 30;

pub(super) fn store(raw: &raw::Store, report: &mut Report<'_>) -> Store {
    let path = Path::ROOT.key("store");
    kind(raw, &path, report);
    let default = Store::default();
    let cache = raw.cache.map_or(default.cache, |size| size.0);
    if cache > MOST_CACHE {
        report.fault(&path.key("cache"), Problem::new("must be at most 64GiB").hint("0 keeps nothing"));
    }
    if raw.local_share == Some(Share(0)) {
        let problem = Problem::new("must be more than 0%");
        report.fault(&path.key("local_share"), problem.hint("on_store_loss = \"closed\" admits nothing"));
    }
    Store { cache, local_share: raw.local_share.map_or(default.local_share, |share| share.0) }
}

fn kind(store: &raw::Store, path: &Path, report: &mut Report<'_>) {
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

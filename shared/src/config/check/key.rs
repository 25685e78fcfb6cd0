//! Keys: those of callers, and the one of the admin.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{check_model, check_name, limits, may_listen, open_to_others, passthrough, socket};
use crate::config::fault::Problem;
use crate::config::path::Path;
use crate::config::raw;
use crate::config::report::Report;
use crate::dialect::endpoint::PathPattern;
use crate::dialect::model_pattern::Pattern;
use crate::identity::access::{Admin, Auth};
use crate::identity::caller::{Caller, KeyHash};
use crate::limits::Limits;

/// Each hash once.
pub(super) fn keys(
    raw: BTreeMap<String, raw::Key>,
    default: &Limits,
    report: &mut Report<'_>,
) -> Vec<(KeyHash, Arc<Caller>)> {
    let mut first_with = BTreeMap::new();
    let mut keys = Vec::new();
    for (name, raw) in raw {
        let path = Path::ROOT.key("key").key(&name);
        let Some((hash, caller)) = key(name, raw, default, &path, report) else { continue };
        match first_with.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(path);
                keys.push((hash, Arc::new(caller)));
            }
            Entry::Occupied(first) => {
                report.fault(&path.key("hash"), format!("{} has the same hash", first.get()));
            }
        }
    }
    keys
}

/// The admin's key opens nothing else: a caller's key that leaks must not open `/admin/…`.
pub(super) fn admin(
    raw: &raw::Admin,
    auth: Auth,
    keys: &[(KeyHash, Arc<Caller>)],
    report: &mut Report<'_>,
) -> Admin {
    let root = Path::ROOT.key("admin");
    let path = root.key("hash");
    let written = raw.listen.is_none() || raw.hash.is_some();
    let admin = if written { hash(raw.hash.as_deref(), &path, report) } else { None };
    let same = keys.iter().find(|(hash, _)| admin == Some(*hash));
    if let Some((_, caller)) = same {
        let key = Path::ROOT.key("key").key(&caller.name);
        let problem = Problem::new(format!("{key} has the same hash"));
        report.fault(&path, problem.hint("no caller has the admin's key; `weir key new` makes another"));
    }
    let path = root.key("listen");
    let listen = socket(raw.listen.as_deref(), &path, report);
    // Whoever reaches it may call as well.
    if let Some(listen) = listen.filter(|listen| !may_listen(auth, *listen)) {
        report.fault(&path, open_to_others(listen));
    }
    Admin { hash: admin, listen }
}

fn key(
    name: String,
    raw: raw::Key,
    default: &Limits,
    path: &Path,
    report: &mut Report<'_>,
) -> Option<(KeyHash, Caller)> {
    check_name(&name, path, report);
    let tenant = raw.tenant.inspect(|tenant| check_name(tenant, &path.key("tenant"), report));
    let models = raw.models.unwrap_or_else(|| vec!["*".into()]);
    for (at, model) in models.iter().enumerate() {
        check_model(model, &path.key("models").index(at), report);
    }
    let granted = raw.passthrough.unwrap_or_default();
    let passthrough =
        passthrough::patterns(&granted, PathPattern::parse_grant, &path.key("passthrough"), report);
    let limits = raw.limits.map(|limits| limits::limits(limits, &path.key("limits"), report));
    let hash = hash(raw.hash.as_deref(), &path.key("hash"), report)?;
    let tenant = tenant.unwrap_or_else(|| name.clone());
    let models = models.into_iter().map(Pattern::new).collect();
    Some((
        hash,
        Caller {
            name,
            tenant,
            models,
            passthrough,
            limits: limits.unwrap_or_else(|| default.clone()),
            priority: raw.priority.unwrap_or_default(),
        },
    ))
}

/// Never quotes what was written: it may be the key itself.
fn hash(text: Option<&str>, path: &Path, report: &mut Report<'_>) -> Option<KeyHash> {
    let Some(text) = text else {
        report.missing(path, Problem::new("missing").hint("`weir key new` makes a key and prints its hash"));
        return None;
    };
    let hash = KeyHash::parse(text);
    if hash.is_none() {
        let problem = Problem::new("not a hash: \"sha256:\" and 64 hex digits");
        report.fault(path, problem.hint("`weir key new` makes a key and prints its hash"));
    }
    hash
}

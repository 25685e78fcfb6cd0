//! Whether a path that is passed through is opened, and to this caller.
//!
//! An upstream's account is one to all who reach it with the gateway's credential. What lists, ends or administers what
//! is in it is kept from accounts that tenants share.

use http::request::Parts;

use super::exchange::Journey;
use crate::dialect::endpoint::{PassedPath, Reach, Reached};
use crate::identity::caller::Caller;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::passthrough::PassthroughRule;
use crate::routing::plan::Resolved;
use crate::routing::upstream::UpstreamId;

/// What opens a path.
pub(super) struct Access<'c> {
    pub(super) rule: &'c PassthroughRule,
    /// Its calls go to the rule's upstream, whatever model they name: what they make stays there.
    pub(super) is_bound: bool,
    pub(super) reached: Reached,
}

impl<'c, P: Platform> Journey<'c, P> {
    /// What opens `path` to `caller`.
    pub(super) fn opened(
        &self,
        head: &Parts,
        path: &PassedPath,
        caller: &Caller,
    ) -> Result<Access<'c>, Refusal> {
        let written = || head.uri.path().to_owned();
        if !caller.may_pass(path) {
            return Err(Refusal::NotGranted { path: written() });
        }
        let taking = || self.config.passthrough.rules.iter().filter(|rule| rule.takes(&head.method, path));
        let Some(rule) = taking().find(|rule| self.may_use_account(rule.upstream, caller)) else {
            // Another tenant's account is not told from a path that the key may not use.
            return Err(match taking().next() {
                Some(_) => Refusal::NotGranted { path: written() },
                None => Refusal::NoPassthrough { method: head.method.clone(), path: written() },
            });
        };
        let reached = rule.reached(&head.method, path);
        let is_own = self.config.upstream(rule.upstream).tenant.is_some();
        match reached.reach {
            Reach::Work | Reach::Creation | Reach::Object => {}
            Reach::Ending | Reach::Listing | Reach::Administration if is_own => {}
            // Of its own objects a tenant may end what it likes.
            Reach::Ending if rule.owners.is_some() && reached.id.is_some() && path.model().is_none() => {}
            Reach::Ending | Reach::Listing | Reach::Administration => {
                return Err(Refusal::SharedAccount { method: head.method.clone(), path: written() });
            }
        }
        // Of a path that nobody documents it is not known that anything is made there.
        let is_bound = reached.reach != Reach::Work && (path.is_documented() || rule.owners.is_some());
        Ok(Access { rule, is_bound, reached })
    }

    /// Refuses what a route would take to another tenant's account.
    pub(super) fn check_tenant(
        &self,
        resolved: &Resolved,
        head: &Parts,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let route = &self.config.routes[resolved.route];
        let mut targets = route.to.iter().chain(&route.fallback);
        let is_own = targets.all(|target| self.may_use_account(target.upstream, caller));
        is_own.then_some(()).ok_or_else(|| Refusal::NotGranted { path: head.uri.path().to_owned() })
    }

    fn may_use_account(&self, upstream: UpstreamId, caller: &Caller) -> bool {
        self.config.upstream(upstream).tenant.as_ref().is_none_or(|tenant| *tenant == caller.tenant)
    }
}

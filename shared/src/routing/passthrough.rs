//! What is passed on without being understood: which paths are opened, at which upstream, to whom.

use http::Method;

use crate::dialect::endpoint::{PassedPath, PathPattern, Reached};
use crate::dialect::model_pattern::Pattern;
use crate::identity::caller::Caller;
use crate::limits::OnStoreLoss;
use crate::routing::upstream::UpstreamId;

/// What is passed on without being understood; nothing where no rule says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passthrough {
    /// The first that takes a call has it.
    pub rules: Vec<PassthroughRule>,
    /// The paths of all rules.
    pub paths: Vec<PathPattern>,
}

/// What is opened at one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassthroughRule {
    pub upstream: UpstreamId,
    /// Empty: all that `OpenAI` documents.
    pub paths: Vec<PathPattern>,
    /// Empty: all; HEAD comes with GET.
    pub methods: Vec<String>,
    /// Models that a call may reach which names none: its caller may use them all. `None`: nobody is asked.
    pub models: Option<Vec<Pattern>>,
    /// Whether it is remembered whose the objects are, and what holds where the store that does is lost: `Closed` or
    /// `Open`.
    pub owners: Option<OnStoreLoss>,
}

impl Passthrough {
    pub fn new(rules: Vec<PassthroughRule>) -> Self {
        let paths = rules.iter().flat_map(|rule| rule.paths.iter().cloned()).collect();
        Self { rules, paths }
    }

    /// Whether any rule remembers owners, and the strictest of what holds without the store.
    pub fn owners(&self) -> Option<OnStoreLoss> {
        let mut policies = self.rules.iter().filter_map(|rule| rule.owners);
        let first = policies.next()?;
        let is_open = first == OnStoreLoss::Open && policies.all(|policy| policy == OnStoreLoss::Open);
        Some(if is_open { OnStoreLoss::Open } else { OnStoreLoss::Closed })
    }
}

impl PassthroughRule {
    /// Whether it opens `path` to calls with `method`.
    pub fn takes(&self, method: &Method, path: &PassedPath) -> bool {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let is_listed = || match self.paths.as_slice() {
            [] => path.is_documented(),
            paths => paths.iter().any(|listed| listed.opens(path)),
        };
        (self.methods.is_empty() || self.methods.iter().any(|listed| listed == method.as_str()))
            && is_listed()
    }

    /// What `method` on `path` reaches of the upstream's account.
    pub fn reached(&self, method: &Method, path: &PassedPath) -> Reached {
        path.reached(method, self.paths.iter().find(|listed| listed.opens(path)))
    }

    /// Whether `caller` may send a call that names no model, where `models` says what that reaches at least.
    pub fn admits(&self, caller: &Caller, models: Unlisted) -> bool {
        match (&self.models, models) {
            (Some(models), _) => models.iter().all(|model| caller.may_call_all_of(model)),
            (None, Unlisted::Nothing) => true,
            (None, Unlisted::AnyModel) => caller.may_call_all_of(&Pattern::new("*")),
        }
    }
}

/// What a call that names no model reaches where no list says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// Nothing that a model's name guards.
    Nothing,
    AnyModel,
}

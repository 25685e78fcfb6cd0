//! A call that is understood: read, filled, and routed by the model it names.

use std::sync::Arc;

use http::Response;
use http::request::Parts;

use super::exchange::Journey;
use super::reply::body::Body;
use super::request_body::{self, Asked, may_call_any};
use super::sent::Cargo;
use super::{explanation, heavy, read};
use crate::dialect::call::{self, Call};
use crate::dialect::endpoint::{Address, Operation, PassedPath};
use crate::identity::caller::Caller;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::routing::passthrough::Unlisted;
use crate::routing::plan;
use crate::wire::headers;

impl<P: Platform> Journey<'_, P> {
    /// An understood call.
    pub(super) async fn call(
        &mut self,
        operation: Operation,
        address: &Address,
        head: &Parts,
        caller: Arc<Caller>,
        upload: P::Upload,
    ) -> Result<Response<Body<P>>, Refusal> {
        if headers::media_type(&head.headers).as_deref() != Some("application/json") {
            return Err(request_body::not_json());
        }
        let holder = self.holder(&caller);
        let body = read::collect(self.platform, &self.config.server, &holder, &head.headers, upload).await?;
        let body_length = body.len();
        let (deployment, bounds) = (address.deployment.clone(), self.bounds());
        let read = move || Call::parse(operation, deployment.as_deref(), body, bounds);
        let mut call = heavy::computed(self.platform, body_length, read).await?;
        if !may_call_any(&caller) {
            self.check_nested(heavy::of_call(self.platform, &call, Call::other_models).await, &caller)?;
        }
        let model = call.model.clone();
        let queried = request_body::queried(head)?;
        if queried.is_some_and(|queried| queried.model != model) {
            return Err(request_body::names_two());
        }
        self.wait_for_turn(caller.priority).await?;
        let owner = self.own_called(operation, &call, &caller).await?;
        let mut record = self.record(operation.name(), caller.clone());
        record.streamed = call.stream;
        let resolved = if model.is_empty() {
            let Some(resolved) = plan::resolve_unnamed(self.config.table(), &caller) else {
                let path = PassedPath::of_call(&address.suffix);
                let access = self.opened(head, &path, &caller).map_err(|_| call::no_model())?;
                if !access.rule.admits(&caller, Unlisted::AnyModel) {
                    return Err(call::no_model());
                }
                let asked = Asked { head, address, cargo: Cargo::Call { operation, call }, owner };
                return self.ask_passthrough(access.rule, None, &caller, asked, record).await;
            };
            resolved
        } else {
            self.resolve(&caller, &model)?
        };
        call.fill(operation, &self.config.routes[resolved.route].defaults);
        if let Some(explanation) = &mut self.explanation {
            explanation::filled(explanation, call.given());
        }
        let asked = Asked { head, address, cargo: Cargo::Call { operation, call }, owner };
        self.route(caller, &model, &resolved, asked, record).await
    }
}

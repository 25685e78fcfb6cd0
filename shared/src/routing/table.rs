//! The routing table: models, where they lead, and the upstreams behind them.

use std::collections::BTreeMap;

use crate::routing::route::Route;
use crate::routing::upstream::{Upstream, UpstreamId};

/// Routes and upstreams, as a configuration has them.
#[derive(Clone, Copy, Debug)]
pub struct Table<'c> {
    pub upstreams: &'c [Upstream],
    /// Alias → model, chains already followed to their end.
    pub aliases: &'c BTreeMap<String, String>,
    /// In the order in which a model is matched.
    pub routes: &'c [Route],
}

impl<'c> Table<'c> {
    /// The upstream that `id` stands for.
    pub fn upstream(&self, id: UpstreamId) -> &'c Upstream {
        &self.upstreams[id.0]
    }
}

//! How breakers stand: read where they are kept, whenever somebody looks, and counted nowhere.

use super::{Family, Sink};
use crate::routing::breaker::Gate;
use crate::routing::breaker::control::{Forced, Listing, Override};
use crate::routing::upstream::Upstream;

/// In the order of [`place`].
const STATES: [&str; 4] = ["open", "half_open", "held_open", "held_closed"];

/// Says of each upstream how many of its breakers are in each state that is not simply closed, 0 among them: an alert
/// ends when the number does. `listing` is that of [`crate::platform::Store::breakers`], asked for no name. A breaker of a
/// model counts for its upstream, for its own name may be a client's.
pub fn breakers(upstreams: &[Upstream], listing: &Listing, sink: &mut impl Sink) {
    for upstream in upstreams {
        let mut counts = [0_i64; STATES.len()];
        for entry in listing.entries.iter().filter(|entry| entry.upstream() == upstream.name) {
            if let Some(count) = place(entry.gate).and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        for (state, count) in STATES.into_iter().zip(counts) {
            sink.shift(Family::Breakers, &[&upstream.name, state], count);
        }
    }
}

const fn place(gate: Gate) -> Option<usize> {
    match gate {
        Gate::Closed => None,
        Gate::Open { .. } => Some(0),
        Gate::HalfOpen => Some(1),
        Gate::Forced(Override { forced: Forced::Open, .. }) => Some(2),
        Gate::Forced(Override { forced: Forced::Closed, .. }) => Some(3),
    }
}

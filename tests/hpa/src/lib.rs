//! What a `HorizontalPodAutoscaler` does, exactly, and what that means in a flood.
//!
//! [`Autoscaler`] is the algorithm of Kubernetes' own controller, as pure steps: it is told the time and what was
//! observed, and answers with a number of replicas and why. It has no clock, no randomness and no cluster. The
//! arithmetic is the controller's to the last rounding, floating point included, and is held to the cases of the
//! controller's own tests (`vectors/`, with their source).
//!
//! [`flood`] runs it, second by second, against a model of pods, metrics and clients whose every assumption is a
//! field of [`flood::Assumptions`].
//!
//! Refused, as the API server refuses it: anything that is not autoscaling/v2, and scaling to zero.

mod autoscaler;
pub mod flood;
mod group;
mod observation;
mod proposal;
mod quantity;
mod rate;
mod settings;
mod spec;
mod stabilize;

pub use autoscaler::{Autoscaler, Decision, Limit, Reason, Stabilized};
pub use observation::{Container, Observation, Phase, Pod, Readiness, Reading, Sample};
pub use proposal::{Fault, Proposal};
pub use quantity::{Milli, NoQuantity, Quantity};
pub use settings::Settings;
pub use spec::{Behavior, Change, Invalid, Metric, Policy, Resource, Rules, Select, Spec, Total, Usage};

#[cfg(test)]
mod vectors;

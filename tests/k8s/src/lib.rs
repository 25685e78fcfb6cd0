//! What must hold across the objects of `k8s/`, and what no schema sees: a name that leads nowhere, an
//! autoscaler whose least is above its most, a liveness probe that kills a busy pod, a policy that shuts out
//! the store.
//!
//! A [`Cluster`] is what a render would be in a cluster: its objects, those that operators make of them, the
//! Secrets that the templates promise, and the configuration that the gateway would read. A rule looks at all
//! of it and returns its faults in words ([`rules::RULES`]). Nothing here runs a program: the renders are
//! under version control, `cargo xtask k8s` holds them to what kustomize makes and to the schemas of
//! Kubernetes.

mod cluster;
mod component;
mod custom_kind;
mod metrics;
mod object;
mod operators;
mod promql;
mod quantity;
pub mod rules;
mod selector;
mod settings;
pub mod tree;
mod workload;
mod yaml;

pub use cluster::Cluster;
pub use component::Component;
pub use custom_kind::CustomKind;
pub use metrics::Metrics;
pub use object::Object;
pub use settings::Settings;
pub use yaml::documents;

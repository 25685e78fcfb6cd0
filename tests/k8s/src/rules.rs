//! The rules. Each is a file, named as the rule is, and finds faults in words for whoever has to mend them.

mod alerts_name_series;
mod autoscaler_bounds;
mod autoscaler_has_a_target;
mod autoscaler_owns_replicas;
mod backends_resolve;
mod classes_resolve;
mod config_is_good;
mod config_maps_resolve;
mod disruption_lets_pods_go;
mod edge_outwaits_the_gateway;
mod executors_resolve;
mod grace_outlasts_pre_stop;
mod hosts_fit_the_config;
mod images_are_pinned;
mod liveness_needs_no_instance;
mod monitors_reach_pods;
mod names_are_unique;
mod one_autoscaler_each;
mod pods_are_unprivileged;
mod policy_fits_the_config;
mod readiness_asks_ready;
mod requests_where_measured;
mod secrets_resolve;
mod secrets_roll_pods;
mod selectors_match;
mod services_reach_pods;
mod variables_are_declared;
mod weights_are_whole;

use crate::cluster::Cluster;

/// One thing that must hold in every render.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub name: &'static str,
    /// The faults it finds, in words.
    pub faults: fn(&Cluster) -> Vec<String>,
}

macro_rules! rules {
    ($($name:ident),* $(,)?) => {
        /// All of them.
        pub const RULES: &[Rule] = &[$(Rule { name: stringify!($name), faults: $name::faults }),*];
    };
}

rules![
    alerts_name_series,
    autoscaler_bounds,
    autoscaler_has_a_target,
    autoscaler_owns_replicas,
    backends_resolve,
    config_is_good,
    config_maps_resolve,
    disruption_lets_pods_go,
    edge_outwaits_the_gateway,
    executors_resolve,
    grace_outlasts_pre_stop,
    hosts_fit_the_config,
    images_are_pinned,
    liveness_needs_no_instance,
    monitors_reach_pods,
    names_are_unique,
    one_autoscaler_each,
    pods_are_unprivileged,
    policy_fits_the_config,
    readiness_asks_ready,
    requests_where_measured,
    secrets_resolve,
    secrets_roll_pods,
    selectors_match,
    services_reach_pods,
    classes_resolve,
    variables_are_declared,
    weights_are_whole,
];

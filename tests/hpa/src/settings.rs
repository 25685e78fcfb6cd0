//! The controller's own settings: flags of the kube-controller-manager, which no manifest can change.

use std::time::Duration;

/// Flags of the kube-controller-manager. The default is Kubernetes'.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `--horizontal-pod-autoscaler-sync-period`: how often [`Autoscaler::step`](crate::Autoscaler::step) is
    /// called. It decides nothing within a step.
    pub sync: Duration,
    /// `--horizontal-pod-autoscaler-tolerance`: how far from 1 a ratio may be without a move.
    pub tolerance: f64,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`: so long after its start a pod's CPU counts only
    /// when the pod is ready and the sample is of the time since.
    pub initialization: Duration,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`: a pod that became unready within this time of its
    /// start has never been ready.
    pub readiness_delay: Duration,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`: the down window where the manifest has none.
    pub downscale_window: Duration,
    /// Without a `behavior`, replicas grow by this factor in a step, or to 4.
    pub growth: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync: Duration::from_secs(15),
            tolerance: 0.1,
            initialization: Duration::from_mins(5),
            readiness_delay: Duration::from_secs(30),
            downscale_window: Duration::from_mins(5),
            growth: 2.0,
        }
    }
}

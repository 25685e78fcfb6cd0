//! autoscaling/v2 as it is written, and its one conversion to what is checked.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Behavior, Change, Invalid, Metric, Policy, Resource, Rules, Select, Spec, Total, Usage};
use crate::quantity::{Milli, Quantity};

/// An HPA, of which only what decides is kept.
#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "apiVersion")]
    version: String,
    metadata: Metadata,
    spec: SpecOf,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SpecOf {
    #[serde(rename = "scaleTargetRef")]
    _target: Target,
    min_replicas: Option<u32>,
    max_replicas: u32,
    #[serde(default)]
    metrics: Vec<MetricOf>,
    behavior: Option<BehaviorOf>,
}

/// What is scaled, which is the caller's affair.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Target {
    #[serde(rename = "apiVersion")]
    _version: Option<String>,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum MetricOf {
    Resource {
        resource: ResourceOf,
    },
    #[serde(rename_all = "camelCase")]
    ContainerResource {
        container_resource: ResourceOf,
    },
    Pods {
        pods: NamedOf,
    },
    Object {
        object: ObjectOf,
    },
    External {
        external: NamedOf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceOf {
    name: ResourceName,
    container: Option<String>,
    target: TargetOf,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResourceName {
    Cpu,
    Memory,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedOf {
    metric: Identifier,
    target: TargetOf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ObjectOf {
    #[serde(rename = "describedObject")]
    _object: Target,
    metric: Identifier,
    target: TargetOf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    name: String,
    #[serde(rename = "selector")]
    _selector: Option<Value>,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all_fields = "camelCase")]
enum TargetOf {
    Utilization { average_utilization: u32 },
    AverageValue { average_value: Quantity },
    Value { value: Quantity },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BehaviorOf {
    scale_up: Option<RulesOf>,
    scale_down: Option<RulesOf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RulesOf {
    stabilization_window_seconds: Option<u64>,
    select_policy: Option<Select>,
    policies: Option<Vec<PolicyOf>>,
    tolerance: Option<Quantity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyOf {
    #[serde(rename = "type")]
    kind: PolicyKind,
    value: u32,
    period_seconds: u64,
}

#[derive(Deserialize)]
enum PolicyKind {
    Pods,
    Percent,
}

const KIND: &str = "HorizontalPodAutoscaler";

pub(super) fn parse(yaml: &str) -> Result<Spec, Invalid> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).map_err(|error| Invalid::Malformed(error.to_string()))?;
    let mut found: Vec<Value> = documents
        .into_iter()
        .filter(|document| document.get("kind").is_some_and(|kind| kind == KIND))
        .collect();
    let count = found.len();
    let (1, Some(document)) = (count, found.pop()) else { return Err(Invalid::Count(count)) };
    let manifest: Manifest =
        serde_json::from_value(document).map_err(|error| Invalid::Malformed(error.to_string()))?;
    manifest.check()
}

const fn refused<T>(field: &'static str, why: &'static str) -> Result<T, Invalid> {
    Err(Invalid::Refused { field, why })
}

impl Manifest {
    fn check(self) -> Result<Spec, Invalid> {
        if self.version != "autoscaling/v2" {
            return refused("apiVersion", "it is not autoscaling/v2");
        }
        let (minimum, maximum) = (self.spec.min_replicas.unwrap_or(1), self.spec.max_replicas);
        if minimum == 0 {
            return refused("spec.minReplicas", "scaling to zero is off by default in Kubernetes");
        }
        if maximum < minimum {
            return refused("spec.maxReplicas", "it is below minReplicas");
        }
        let mut metrics =
            self.spec.metrics.into_iter().map(MetricOf::check).collect::<Result<Vec<_>, _>>()?;
        if metrics.is_empty() {
            let target = Usage::Utilization(80);
            metrics.push(Metric::Resource { resource: Resource::Cpu, container: None, target });
        }
        let behavior = self.spec.behavior.map(BehaviorOf::check).transpose()?;
        Ok(Spec { name: self.metadata.name, minimum, maximum, metrics, behavior })
    }
}

impl MetricOf {
    fn check(self) -> Result<Metric, Invalid> {
        match self {
            Self::Resource { resource } if resource.container.is_some() => {
                refused("resource.container", "it belongs to a ContainerResource")
            }
            Self::Resource { resource } => resource.check(),
            Self::ContainerResource { container_resource } if container_resource.container.is_none() => {
                refused("containerResource.container", "it is missing")
            }
            Self::ContainerResource { container_resource } => container_resource.check(),
            Self::Pods { pods } => match pods.target {
                TargetOf::AverageValue { average_value } => {
                    Ok(Metric::Pods { name: pods.metric.name, average: positive(average_value)? })
                }
                TargetOf::Utilization { .. } | TargetOf::Value { .. } => {
                    refused("pods.target", "it is an AverageValue or nothing")
                }
            },
            Self::Object { object } => total(object.metric, &object.target),
            Self::External { external } => total(external.metric, &external.target),
        }
    }
}

impl ResourceOf {
    fn check(self) -> Result<Metric, Invalid> {
        let resource = match self.name {
            ResourceName::Cpu => Resource::Cpu,
            ResourceName::Memory => Resource::Memory,
        };
        let target = match self.target {
            TargetOf::Utilization { average_utilization: 0 } => {
                return refused("averageUtilization", "it must be greater than 0");
            }
            TargetOf::Utilization { average_utilization } => Usage::Utilization(average_utilization),
            TargetOf::AverageValue { average_value } => Usage::Average(positive(average_value)?),
            TargetOf::Value { .. } => return refused("resource.target", "it is of a pod, never of them all"),
        };
        Ok(Metric::Resource { resource, container: self.container, target })
    }
}

fn total(metric: Identifier, target: &TargetOf) -> Result<Metric, Invalid> {
    let target = match target {
        TargetOf::Value { value } => Total::Value(positive(*value)?),
        TargetOf::AverageValue { average_value } => Total::Average(positive(*average_value)?),
        TargetOf::Utilization { .. } => {
            return refused("target", "there is no request to be a percentage of");
        }
    };
    Ok(Metric::Total { name: metric.name, target })
}

fn positive(quantity: Quantity) -> Result<Milli, Invalid> {
    match quantity.milli() {
        Milli(..=0) => refused("target", "it must be greater than 0"),
        milli => Ok(milli),
    }
}

impl BehaviorOf {
    fn check(self) -> Result<Behavior, Invalid> {
        Ok(Behavior {
            up: self.scale_up.map_or_else(|| Ok(Rules::up()), |rules| rules.check(Rules::up()))?,
            down: self.scale_down.map_or_else(|| Ok(Rules::down()), |rules| rules.check(Rules::down()))?,
        })
    }
}

impl RulesOf {
    /// What is written, and of `defaults` what is not.
    fn check(self, defaults: Rules) -> Result<Rules, Invalid> {
        let window = self.stabilization_window_seconds;
        if window.is_some_and(|seconds| seconds > 3_600) {
            return refused("stabilizationWindowSeconds", "it is longer than an hour");
        }
        let policies = match self.policies {
            None => defaults.policies,
            Some(policies) if policies.is_empty() => return refused("policies", "there is none"),
            Some(policies) => policies.into_iter().map(PolicyOf::check).collect::<Result<_, _>>()?,
        };
        let tolerance = self.tolerance.map(Quantity::approximate);
        if tolerance.is_some_and(|tolerance| tolerance < 0.0) {
            return refused("tolerance", "it is below 0");
        }
        Ok(Rules {
            window: window.map(Duration::from_secs).or(defaults.window),
            select: self.select_policy.unwrap_or(defaults.select),
            policies,
            tolerance,
        })
    }
}

impl PolicyOf {
    fn check(self) -> Result<Policy, Invalid> {
        if self.value == 0 {
            return refused("policies.value", "it must be greater than 0");
        }
        if !(1..=1_800).contains(&self.period_seconds) {
            return refused("policies.periodSeconds", "it is not within 1 to 1800");
        }
        let change = match self.kind {
            PolicyKind::Pods => Change::Pods(self.value),
            PolicyKind::Percent => Change::Percent(self.value),
        };
        Ok(Policy { change, period: Duration::from_secs(self.period_seconds) })
    }
}

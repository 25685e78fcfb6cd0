//! What an autoscaler is told: a `HorizontalPodAutoscaler` of autoscaling/v2, read and checked.
//!
//! The checks are the API server's: what it would refuse never becomes a [`Spec`]. Scaling to zero is behind a
//! feature gate that is off by default, so a minimum of zero is refused too. What is omitted is filled in as the
//! API server does it, except one thing, which is the controller's: the down window
//! ([`Settings::downscale_window`](crate::Settings)).

mod manifest;

use std::{fmt, time::Duration};

use crate::quantity::Milli;

/// A `HorizontalPodAutoscaler`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// `metadata.name`.
    pub name: String,
    /// `minReplicas`, 1 when omitted.
    pub minimum: u32,
    /// `maxReplicas`, not below the minimum.
    pub maximum: u32,
    /// One at least: 80 % of the CPU's request when omitted.
    pub metrics: Vec<Metric>,
    /// Without it the controller's own rules hold, which differ from those of an empty one.
    pub behavior: Option<Behavior>,
}

/// What is measured, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    /// What the pods use, of all their containers or of one.
    Resource { resource: Resource, container: Option<String>, target: Usage },
    /// A number of each pod's own, to be `average` in the mean.
    Pods { name: String, average: Milli },
    /// One number, of another object or from outside the cluster.
    Total { name: String, target: Total },
}

/// What the resource metrics API measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Cpu,
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Percent of the request.
    Utilization(u32),
    /// In the mean over the pods.
    Average(Milli),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Value(Milli),
    /// A pod's share of it.
    Average(Milli),
}

/// How fast, each way.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    pub up: Rules,
    pub down: Rules,
}

/// How fast one way.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// `stabilizationWindowSeconds`: the mildest recommendation of this time holds. `None` is the controller's.
    pub window: Option<Duration>,
    pub select: Select,
    pub policies: Vec<Policy>,
    /// How far from 1 the ratio may be without a move; `None` is the controller's.
    pub tolerance: Option<f64>,
}

/// Which of the policies holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub enum Select {
    /// The one that allows most.
    Max,
    /// The one that allows least.
    Min,
    /// None: no move this way.
    Disabled,
}

/// At most so much of a change within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub change: Change,
    pub period: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Pods(u32),
    /// Of the replicas at the period's start.
    Percent(u32),
}

impl Rules {
    /// What holds when `scaleUp` is omitted.
    pub fn up() -> Self {
        Self {
            window: Some(Duration::ZERO),
            policies: vec![Policy::each_quarter(Change::Pods(4)), Policy::each_quarter(Change::Percent(100))],
            select: Select::Max,
            tolerance: None,
        }
    }

    /// What holds when `scaleDown` is omitted.
    pub fn down() -> Self {
        Self {
            window: None,
            policies: vec![Policy::each_quarter(Change::Percent(100))],
            select: Select::Max,
            tolerance: None,
        }
    }
}

impl Policy {
    const fn each_quarter(change: Change) -> Self {
        Self { change, period: Duration::from_secs(15) }
    }
}

/// Why a manifest is no autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It is not YAML, or not of autoscaling/v2's shape.
    Malformed(String),
    /// It holds `0` or more than one `HorizontalPodAutoscaler`.
    Count(usize),
    /// The API server would refuse it.
    Refused { field: &'static str, why: &'static str },
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => f.write_str(why),
            Self::Count(0) => f.write_str("there is no HorizontalPodAutoscaler"),
            Self::Count(several) => {
                write!(f, "there are {several} HorizontalPodAutoscalers, and one is meant")
            }
            Self::Refused { field, why } => write!(f, "{field}: {why}"),
        }
    }
}

impl std::error::Error for Invalid {}

impl Spec {
    /// Reads the one `HorizontalPodAutoscaler` of a file, which may hold other documents beside it.
    pub fn parse(yaml: &str) -> Result<Self, Invalid> {
        manifest::parse(yaml)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str =
        include_str!("../../../k8s/components/autoscaling-reference/horizontal-pod-autoscaler.yaml");
    const FLOOD: &str =
        include_str!("../../../k8s/components/autoscaling-flood/horizontal-pod-autoscaler.yaml");

    fn policy(change: Change, seconds: u64) -> Policy {
        Policy { change, period: Duration::from_secs(seconds) }
    }

    fn utilization(resource: Resource, percent: u32) -> Metric {
        Metric::Resource { resource, container: None, target: Usage::Utilization(percent) }
    }

    /// A manifest with these lines of `spec`.
    fn manifest(lines: &str) -> String {
        let head = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: x}\n";
        let target = "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}\n";
        format!("{head}spec:\n{target}  {}\n", lines.replace('\n', "\n  "))
    }

    #[test]
    fn the_reference_manifest_says_what_the_source_says() {
        let window = |seconds| Some(Duration::from_secs(seconds));
        let rules = |window, change| Rules {
            window,
            select: Select::Max,
            policies: vec![policy(change, 60)],
            tolerance: None,
        };
        let expected = Spec {
            name: "ai-gateway-hpa".to_owned(),
            minimum: 3,
            maximum: 30,
            metrics: vec![utilization(Resource::Cpu, 70), utilization(Resource::Memory, 80)],
            behavior: Some(Behavior {
                up: rules(window(60), Change::Pods(5)),
                down: rules(window(300), Change::Pods(2)),
            }),
        };
        assert_eq!(Spec::parse(REFERENCE), Ok(expected));
    }

    #[test]
    fn the_flood_manifest_grows_by_the_larger_of_two_policies_and_waits_for_nothing() {
        let Spec { minimum, maximum, behavior, .. } = Spec::parse(FLOOD).unwrap();
        let up = behavior.unwrap().up;
        assert_eq!((minimum, maximum), (30, 300));
        assert_eq!(up.window, Some(Duration::ZERO));
        assert_eq!(up.policies, [policy(Change::Percent(300), 15), policy(Change::Pods(15), 15)]);
    }

    #[test]
    fn what_is_omitted_is_filled_in_as_the_api_server_does() {
        let plain = Spec::parse(&manifest("maxReplicas: 9")).unwrap();
        assert_eq!((plain.minimum, plain.maximum, plain.behavior), (1, 9, None));
        assert_eq!(plain.metrics, [utilization(Resource::Cpu, 80)]);

        let empty = Spec::parse(&manifest("maxReplicas: 9\nbehavior: {}")).unwrap().behavior.unwrap();
        assert_eq!(empty, Behavior { up: Rules::up(), down: Rules::down() });

        let table = [
            ("{selectPolicy: Disabled}", Rules { select: Select::Disabled, ..Rules::up() }),
            (
                "{stabilizationWindowSeconds: 7}",
                Rules { window: Some(Duration::from_secs(7)), ..Rules::up() },
            ),
            ("{tolerance: 0.05}", Rules { tolerance: Some(0.05), ..Rules::up() }),
            (
                "{policies: [{type: Pods, value: 1, periodSeconds: 30}]}",
                Rules { policies: vec![policy(Change::Pods(1), 30)], ..Rules::up() },
            ),
        ];
        for (text, expected) in table {
            let yaml = manifest(&format!("maxReplicas: 9\nbehavior: {{scaleUp: {text}}}"));
            assert_eq!(Spec::parse(&yaml).unwrap().behavior.unwrap().up, expected, "{text}");
        }
    }

    #[test]
    fn every_kind_of_metric_is_read() {
        let metric = "metric: {name: queue, selector: {matchLabels: {a: b}}}";
        let average = "target: {type: AverageValue, averageValue: 250m}";
        let object = "describedObject: {kind: Service, name: x}";
        let name = || "queue".to_owned();
        let table = [
            (
                "type: ContainerResource, containerResource: {name: memory, container: a, \
                 target: {type: AverageValue, averageValue: 1Ki}}"
                    .to_owned(),
                Metric::Resource {
                    resource: Resource::Memory,
                    container: Some("a".to_owned()),
                    target: Usage::Average(Milli(1_024_000)),
                },
            ),
            (
                format!("type: Pods, pods: {{{metric}, {average}}}"),
                Metric::Pods { name: name(), average: Milli(250) },
            ),
            (
                format!("type: External, external: {{{metric}, {average}}}"),
                Metric::Total { name: name(), target: Total::Average(Milli(250)) },
            ),
            (
                format!("type: Object, object: {{{object}, {metric}, target: {{type: Value, value: 2}}}}"),
                Metric::Total { name: name(), target: Total::Value(Milli(2_000)) },
            ),
        ];
        for (text, expected) in table {
            let yaml = manifest(&format!("maxReplicas: 9\nmetrics: [{{{text}}}]"));
            assert_eq!(Spec::parse(&yaml).map(|spec| spec.metrics), Ok(vec![expected]), "{text}");
        }
    }

    #[test]
    fn what_the_api_server_refuses_is_refused_with_its_field() {
        let cpu = "type: Resource, resource: {name: cpu, target:";
        let table = [
            ("maxReplicas: 9\nminReplicas: 0".to_owned(), "spec.minReplicas"),
            ("maxReplicas: 2\nminReplicas: 3".to_owned(), "spec.maxReplicas"),
            ("maxReplicas: 0".to_owned(), "spec.maxReplicas"),
            (rules_of("{stabilizationWindowSeconds: 3601}"), "stabilizationWindowSeconds"),
            (rules_of("{policies: []}"), "policies"),
            (rules_of("{policies: [{type: Pods, value: 0, periodSeconds: 1}]}"), "policies.value"),
            (rules_of("{policies: [{type: Pods, value: 1, periodSeconds: 0}]}"), "policies.periodSeconds"),
            (rules_of("{policies: [{type: Pods, value: 1, periodSeconds: 1801}]}"), "policies.periodSeconds"),
            (rules_of("{tolerance: -0.1}"), "tolerance"),
            (
                metrics_of(&format!("{cpu} {{type: Utilization, averageUtilization: 0}}}}")),
                "averageUtilization",
            ),
            (metrics_of(&format!("{cpu} {{type: AverageValue, averageValue: 0}}}}")), "target"),
            (metrics_of(&format!("{cpu} {{type: Value, value: 1}}}}")), "resource.target"),
        ];
        for (text, expected) in table {
            let found = Spec::parse(&manifest(&text));
            assert!(
                matches!(&found, Err(Invalid::Refused { field, .. }) if *field == expected),
                "{text}: {found:?}"
            );
        }
    }

    fn rules_of(rules: &str) -> String {
        format!("maxReplicas: 9\nbehavior: {{scaleUp: {rules}}}")
    }

    fn metrics_of(metric: &str) -> String {
        format!("maxReplicas: 9\nmetrics: [{{{metric}}}]")
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        for (text, unknown) in [
            ("maxReplicas: 9\nmaximum: 3".to_owned(), "maximum"),
            (rules_of("{window: 3}"), "window"),
            (metrics_of("type: CheddarCheese"), "CheddarCheese"),
        ] {
            let found = Spec::parse(&manifest(&text));
            assert!(
                matches!(&found, Err(Invalid::Malformed(why)) if why.contains(unknown)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn of_several_documents_the_one_autoscaler_is_read() {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: y}\n";
        let one = manifest("maxReplicas: 9");
        assert_eq!(Spec::parse(&format!("{service}---\n{one}")).map(|spec| spec.name), Ok("x".to_owned()));
        assert_eq!(Spec::parse(service), Err(Invalid::Count(0)));
        assert_eq!(Spec::parse(&format!("{one}---\n{one}")), Err(Invalid::Count(2)));
        assert!(matches!(
            Spec::parse(&one.replace("autoscaling/v2", "autoscaling/v1")),
            Err(Invalid::Refused { .. })
        ));
    }
}

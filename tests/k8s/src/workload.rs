//! Whatever runs pods, and what its pods are told.

use serde_json::Value;

use crate::object::{self, Labels, Object};

/// A Deployment or a `StatefulSet`, an operator's among them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload<'a>(pub(crate) &'a Object);

/// A key that a pod reads out of a `ConfigMap` or a Secret.
#[derive(Debug)]
pub(crate) struct Reference<'a> {
    pub(crate) name: &'a str,
    /// `None`: all of it.
    pub(crate) key: Option<&'a str>,
}

impl<'a> Workload<'a> {
    pub(crate) fn of(object: &'a Object) -> Option<Self> {
        (object.is("Deployment") || object.is("StatefulSet")).then_some(Self(object))
    }

    pub(crate) fn namespace(self) -> &'a str {
        self.0.namespace()
    }

    /// The labels of its pods.
    pub(crate) fn pod_labels(self) -> Labels {
        self.0.labels("/spec/template/metadata/labels")
    }

    pub(crate) fn pod_annotations(self) -> Labels {
        self.0.labels("/spec/template/metadata/annotations")
    }

    pub(crate) fn selector(self) -> Labels {
        self.0.labels("/spec/selector/matchLabels")
    }

    /// Something of the pod's specification.
    pub(crate) fn pod(self, pointer: &str) -> Option<&'a Value> {
        self.0.0.pointer("/spec/template/spec")?.pointer(pointer)
    }

    pub(crate) fn pod_text(self, pointer: &str) -> Option<&'a str> {
        self.pod(pointer)?.as_str()
    }

    pub(crate) fn containers(self) -> &'a [Value] {
        self.0.list("/spec/template/spec/containers")
    }

    /// Whether its pods are the gateway's, by the label that says so.
    pub(crate) fn is_gateway(self) -> bool {
        self.pod_labels().get("app.kubernetes.io/name").is_some_and(|name| name == "ai-gateway")
    }

    pub(crate) fn is_on_spin(self) -> bool {
        self.pod_text("/runtimeClassName") == Some("wasmtime-spin-v2")
    }

    /// Whether an operator has made it: what it cannot be told is not its author's fault.
    pub(crate) fn is_made(self) -> bool {
        !self.0.list("/metadata/ownerReferences").is_empty()
    }

    /// Whether a container has this port, by name or by number.
    pub(crate) fn has_port(self, port: &Value) -> bool {
        let ports = self.containers().iter().flat_map(|container| object::list(container, "/ports"));
        ports
            .into_iter()
            .any(|it| it.pointer("/name") == Some(port) || it.pointer("/containerPort") == Some(port))
    }

    /// The value of a Spin variable that is written in the manifest.
    pub(crate) fn variable(self, name: &str) -> Option<&'a str> {
        object::text(self.spin_variable(name)?, "/value")
    }

    /// The key of a `ConfigMap` that a Spin variable is read from.
    pub(crate) fn variable_of_map(self, name: &str) -> Option<(&'a str, &'a str)> {
        let from = self.spin_variable(name)?.pointer("/valueFrom/configMapKeyRef")?;
        Some((object::text(from, "/name")?, object::text(from, "/key")?))
    }

    fn spin_variable(self, name: &str) -> Option<&'a Value> {
        let wanted = format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase());
        let mut variables = self.containers().iter().flat_map(|container| object::list(container, "/env"));
        variables.find(|it| object::text(it, "/name") == Some(wanted.as_str()))
    }

    /// What its pods read out of `ConfigMap`s, in their environment or as files.
    pub(crate) fn config_maps(self) -> Vec<Reference<'a>> {
        self.references("configMapKeyRef", "configMap", "name")
    }

    /// What its pods read out of Secrets.
    pub(crate) fn secrets(self) -> Vec<Reference<'a>> {
        self.references("secretKeyRef", "secret", "secretName")
    }

    fn references(self, of_variable: &str, of_volume: &str, name: &str) -> Vec<Reference<'a>> {
        let variables = self.containers().iter().flat_map(|container| object::list(container, "/env"));
        let of_variables = variables.filter_map(|variable| {
            let from = variable.pointer("/valueFrom")?.get(of_variable)?;
            Some(Reference { name: object::text(from, "/name")?, key: object::text(from, "/key") })
        });
        let volumes = self.0.list("/spec/template/spec/volumes").iter();
        let of_volumes = volumes.filter_map(|volume| {
            Some(Reference { name: volume.get(of_volume)?.get(name)?.as_str()?, key: None })
        });
        of_variables.chain(of_volumes).collect()
    }
}

//! Everything that a rule may look at.

use std::collections::{BTreeMap, BTreeSet};

use crate::component::Component;
use crate::metrics::Metrics;
use crate::object::{self, Object};
use crate::operators;
use crate::settings::Settings;
use crate::workload::Workload;
use crate::yaml;

/// A render, as it would be once operators have done their work.
#[derive(Debug)]
pub struct Cluster {
    /// The render's own.
    pub objects: Vec<Object>,
    /// What operators make of them.
    pub made: Vec<Object>,
    /// The Secrets that `k8s/secrets/template.yaml` promises.
    pub secrets: Vec<Object>,
    /// What the gateway's `/metrics` shows.
    pub metrics: Metrics,
    /// What the component can be told.
    pub component: Component,
}

impl Cluster {
    /// Reads a render and the templates of the Secrets.
    pub fn read(render: &str, secrets: &str, component: Component) -> Result<Self, String> {
        let objects = |text: &str| -> Result<Vec<Object>, String> {
            Ok(yaml::documents(text)?.into_iter().map(Object).collect())
        };
        Ok(Self::of(objects(render)?, objects(secrets)?, component))
    }

    pub fn of(objects: Vec<Object>, secrets: Vec<Object>, component: Component) -> Self {
        let apps = objects.iter().filter(|object| object.is("SpinApp"));
        let made = apps.flat_map(|app| operators::made_of_spin_app(app, &objects)).collect();
        Self { objects, made, secrets, metrics: Metrics::of_pods_on_spin(), component }
    }

    /// The render's own objects of a kind.
    pub(crate) fn own<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| object.is(kind))
    }

    /// Objects of a kind, an operator's among them.
    pub(crate) fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().chain(&self.made).filter(move |object| object.is(kind))
    }

    pub(crate) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.iter().chain(&self.made).find(|object| object.is_named(kind, namespace, name))
    }

    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        self.objects.iter().chain(&self.made).filter_map(Workload::of)
    }

    pub(crate) fn gateways(&self) -> impl Iterator<Item = Workload<'_>> {
        self.workloads().filter(|workload| workload.is_gateway())
    }

    /// The configurations that pods of the gateway read, with what their variables hold.
    pub(crate) fn settings(&self) -> Vec<(&Object, Result<Settings, String>)> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for workload in self.gateways() {
            let Some((name, key)) = workload.variable_of_map("config") else { continue };
            let Some(map) = self.find("ConfigMap", workload.namespace(), name) else { continue };
            let Some(text) = map.labels("/data").remove(key) else { continue };
            let variables = self.variables(workload);
            if seen.insert((map.name(), key, variables.clone())) {
                found.push((map, Settings::read(&text, variables)));
            }
        }
        found
    }

    /// The variables of a pod by the names that a configuration calls them: what a `ConfigMap` or the pod itself
    /// says, and of what a Secret keeps a value of its kind.
    fn variables(&self, workload: Workload<'_>) -> BTreeMap<String, String> {
        let variables = workload.containers().iter().flat_map(|it| object::list(it, "/env"));
        let named = variables.filter_map(|variable| {
            let name = object::text(variable, "/name")?.strip_prefix("SPIN_VARIABLE_")?;
            let value = if object::text(variable, "/valueFrom/secretKeyRef/name").is_some() {
                let is_url = name == "REDIS_URL";
                let value = if is_url { "rediss://gateway:canary@redis.example:6379" } else { "canary" };
                value.to_owned()
            } else if let Some(map) = object::text(variable, "/valueFrom/configMapKeyRef/name") {
                let key = object::text(variable, "/valueFrom/configMapKeyRef/key")?;
                self.find("ConfigMap", workload.namespace(), map)?.labels("/data").remove(key)?
            } else {
                object::text(variable, "/value")?.to_owned()
            };
            Some((name.to_owned(), value))
        });
        named.collect()
    }
}

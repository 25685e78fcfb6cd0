//! What operators make of objects that are not Kubernetes' own, so that rules look at pods wherever they come
//! from.

use serde_json::{Value, json};

use crate::object::Object;

/// What spin-operator makes of a `SpinApp`: a Deployment and a Service of the same name.
///
/// Source: spin-operator 943f5b1, `internal/controller`: port 80 as `http-app`, `command: ["/"]`, each
/// variable as `SPIN_VARIABLE_<UPPER>`, the executor's runtime class.
pub(crate) fn made_of_spin_app(app: &Object, executors: &[Object]) -> [Object; 2] {
    let (namespace, name) = (app.namespace(), app.name());
    let executor = app.text("/spec/executor").unwrap_or_default();
    let executor = executors.iter().find(|other| other.is_named("SpinAppExecutor", namespace, executor));
    let runtime_class = executor.and_then(|it| it.text("/spec/deploymentConfig/runtimeClassName"));
    let own = json!({ "core.spinkube.dev/app-name": name });
    let mut labels = own.clone();
    for (label, value) in app.labels("/spec/podLabels") {
        labels[label] = json!(value);
    }
    let probe = |check: &str| app.0.pointer(&format!("/spec/checks/{check}")).map(with_port);
    let container = json!({
        "name": name,
        "image": app.0.pointer("/spec/image"),
        "command": ["/"],
        "ports": [{ "name": "http-app", "containerPort": 80 }],
        "env": app.list("/spec/variables").iter().map(variable).collect::<Vec<_>>(),
        "resources": app.0.pointer("/spec/resources"),
        "livenessProbe": probe("liveness"),
        "readinessProbe": probe("readiness"),
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace, "ownerReferences": [{ "kind": "SpinApp" }] },
        "spec": {
            "replicas": app.0.pointer("/spec/replicas"),
            "selector": { "matchLabels": own },
            "template": {
                "metadata": { "labels": labels, "annotations": app.0.pointer("/spec/podAnnotations") },
                "spec": {
                    "runtimeClassName": runtime_class,
                    "serviceAccountName": app.0.pointer("/spec/serviceAccountName"),
                    "containers": [container],
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "selector": own,
            "ports": [{ "port": 80, "targetPort": "http-app" }],
        },
    });
    [Object(without_nulls(deployment)), Object(without_nulls(service))]
}

/// The proxy of a Gateway, by GEP-1762: `<Gateway>-<GatewayClass>` in the Gateway's namespace.
pub(crate) fn proxy_of_gateway(gateway: &Object) -> (&str, String) {
    let class = gateway.text("/spec/gatewayClassName").unwrap_or_default();
    (gateway.namespace(), format!("{}-{class}", gateway.name()))
}

fn with_port(check: &Value) -> Value {
    let mut probe = check.clone();
    if let Some(asked) = probe.pointer_mut("/httpGet").and_then(Value::as_object_mut) {
        asked.insert("port".into(), json!("http-app"));
    }
    probe
}

fn variable(variable: &Value) -> Value {
    let name = variable.pointer("/name").and_then(Value::as_str).unwrap_or_default();
    json!({
        "name": format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase()),
        "value": variable.pointer("/value"),
        "valueFrom": variable.pointer("/valueFrom"),
    })
}

/// A field that was not given is not there, rather than null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let kept = table.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

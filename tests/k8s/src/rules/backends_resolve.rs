//! A route leads from a Gateway that lets it attach to Services that exist, by a port that they have.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::{self, Object};
use crate::selector::selects;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    cluster
        .own("HTTPRoute")
        .flat_map(|route| backends(cluster, route).chain(parents(cluster, route)))
        .collect()
}

fn backends<'a>(cluster: &'a Cluster, route: &'a Object) -> impl Iterator<Item = String> + 'a {
    let refs = route.list("/spec/rules").iter().flat_map(|rule| object::list(rule, "/backendRefs"));
    refs.filter_map(move |backend| {
        let name = object::text(backend, "/name").unwrap_or_default();
        let namespace = object::text(backend, "/namespace").unwrap_or(route.namespace());
        let Some(service) = cluster.find("Service", namespace, name) else {
            return Some(format!("{route}: there is no Service {namespace}/{name}"));
        };
        let has = service.list("/spec/ports").iter().any(|port| port.get("port") == backend.get("port"));
        (!has).then(|| format!("{route}: {service} has no port {:?}", backend.get("port")))
    })
}

fn parents<'a>(cluster: &'a Cluster, route: &'a Object) -> impl Iterator<Item = String> + 'a {
    route.list("/spec/parentRefs").iter().filter_map(move |parent| {
        let name = object::text(parent, "/name").unwrap_or_default();
        let namespace = object::text(parent, "/namespace").unwrap_or(route.namespace());
        let Some(gateway) = cluster.find("Gateway", namespace, name) else {
            return Some(format!("{route}: there is no Gateway {namespace}/{name}"));
        };
        let section = object::text(parent, "/sectionName");
        let listeners = gateway.list("/spec/listeners").iter();
        let mut listeners = listeners.filter(|it| section.is_none() || object::text(it, "/name") == section);
        let attached = listeners.any(|listener| admits(cluster, gateway, listener, route));
        (!attached).then(|| format!("{route}: no listener of {gateway} takes it"))
    })
}

/// Whether a listener takes routes from the route's namespace, under one of the route's host names.
fn admits(cluster: &Cluster, gateway: &Object, listener: &Value, route: &Object) -> bool {
    let from = match object::text(listener, "/allowedRoutes/namespaces/from") {
        Some("All") => true,
        Some("Selector") => {
            let wanted = object::labels(listener, "/allowedRoutes/namespaces/selector/matchLabels");
            let namespace = cluster.find("Namespace", "", route.namespace());
            namespace.is_some_and(|it| selects(&wanted, &it.labels("/metadata/labels")))
        }
        _ => gateway.namespace() == route.namespace(),
    };
    let host = object::text(listener, "/hostname").map(Value::from);
    from && host.is_none_or(|host| route.list("/spec/hostnames").contains(&host))
}

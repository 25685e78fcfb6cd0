//! An image is named by a digest or by a version: `latest` is another program tomorrow, and cannot be undone.

use crate::cluster::Cluster;
use crate::object;
use crate::workload::Workload;

pub(super) fn faults(cluster: &Cluster) -> Vec<String> {
    let containers = cluster.workloads().flat_map(Workload::containers);
    let images = containers.map(|container| object::text(container, "/image").unwrap_or_default());
    images.filter(|image| !is_pinned(image)).map(|image| format!("`{image}` may change")).collect()
}

fn is_pinned(image: &str) -> bool {
    if image.contains("@sha256:") {
        return true;
    }
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    tag.is_some_and(|tag| {
        tag.split('.').count() >= 3 && tag.starts_with(|first: char| first.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_or_a_whole_version_pins_an_image() {
        let cases = [
            ("registry.invalid/ai-gateway:0.1.0", true),
            ("registry.localhost:5000/ai-gateway@sha256:00", true),
            ("registry.localhost:5000/ai-gateway", false),
            ("redis:latest", false),
            ("redis:7", false),
            ("redis", false),
            ("", false),
        ];
        for (image, expected) in cases {
            assert_eq!(is_pinned(image), expected, "{image}");
        }
    }
}

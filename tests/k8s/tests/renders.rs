//! The renders under version control keep every rule.

use weir_k8s_tests::{rules::RULES, tree};

#[test]
fn every_render_keeps_every_rule() {
    let mut broken = Vec::new();
    for render in tree::RENDERS {
        let cluster = tree::cluster(render).unwrap();
        for rule in RULES {
            broken.extend(
                (rule.faults)(&cluster).into_iter().map(|fault| format!("{render}: {}: {fault}", rule.name)),
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

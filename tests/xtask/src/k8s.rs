//! The manifests: what kustomize makes of each overlay is what is under version control, and every object of
//! it is one that Kubernetes and the custom kinds know. The rules across objects are tests of their own
//! (`tests/k8s`).

mod render;
mod schema;

pub(crate) use render::{Goldens, find_kustomize};
pub(crate) use schema::install;

use crate::{
    step::{Failure, Outcome, Tally},
    suite,
    workspace::Workspace,
};

/// Renders every overlay and holds it to its golden and to the schemas.
pub(crate) fn check(workspace: &Workspace, goldens: Goldens) -> Outcome {
    find_kustomize(workspace)?;
    let python = install(workspace)?;
    let rendered = render::render_all(workspace, goldens)?;
    let checked = schema::check(workspace, &python, &rendered)?;
    let passed = u32::try_from(rendered.len()).map_err(|_| Failure::new("too many overlays"))?;
    Ok(checked + Tally { passed, failed: 0 })
}

/// The rules across objects, and what must break them.
pub(crate) fn check_rules(workspace: &Workspace) -> Outcome {
    suite::run_package(workspace, "weir-k8s-tests")
}

//! What kustomize makes of the overlays, beside what is under version control.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{step::Failure, workspace::Workspace};

const OVERLAYS: &str = "k8s/overlays";

/// Of kustomize.
const OLDEST: u32 = 5;

const RENDERS: &str = "tests/k8s/renders";

/// What to do about a render that is not its golden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goldens {
    /// Fail, and tell the first line that differs.
    Compare,
    /// Take it as the new golden, to be read in `git diff`.
    Renew,
}

/// The kustomize of kubectl is one that knows components and renders as ours did: 5 or newer.
pub(crate) fn find_kustomize(workspace: &Workspace) -> Result<(), Failure> {
    let asked = workspace.program("kubectl").args(["version", "--client", "--output", "json"]).read();
    let version = asked.ok().as_deref().and_then(kustomize_version);
    match version {
        Some(version) if version >= OLDEST => Ok(()),
        Some(version) => Err(missing(&format!("it has kustomize {version}"))),
        None => Err(missing("there is none, or it does not tell its kustomize")),
    }
}

fn missing(found: &str) -> Failure {
    Failure::new(format!(
        "kubectl 1.27 or newer is needed, with kustomize {OLDEST} or newer: {found}. Install kubectl as Kubernetes' \
         own pages say; Debian 12's kubernetes-client is too old"
    ))
}

/// The first number of `"kustomizeVersion": "v5.5.0"`.
fn kustomize_version(told: &str) -> Option<u32> {
    let version = told.split_once("\"kustomizeVersion\": \"v")?.1;
    version.split_once('.')?.0.parse().ok()
}

/// Renders every overlay; the paths of the goldens, which are equal to the renders when this is over.
pub(super) fn render_all(workspace: &Workspace, goldens: Goldens) -> Result<Vec<PathBuf>, Failure> {
    let overlays = names(&workspace.path(OVERLAYS), Path::is_dir)?;
    let kept = names(&workspace.path(RENDERS), |path| path.extension().is_some_and(|it| it == "yaml"))?;
    let mut faults: Vec<String> = kept
        .iter()
        .filter(|name| !overlays.contains(name))
        .map(|name| format!("{name}: no such overlay"))
        .collect();
    let mut paths = Vec::new();
    for name in &overlays {
        let overlay = format!("{OVERLAYS}/{name}");
        let rendered = workspace.program("kubectl").args(["kustomize", &overlay]).read()?;
        let path = workspace.path(RENDERS).join(name).with_extension("yaml");
        match goldens {
            Goldens::Renew => fs::write(&path, &rendered).map_err(|error| unusable(&path, &error))?,
            Goldens::Compare => {
                let golden = fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
                faults.extend(difference(&golden, &rendered).map(|line| format!("{name}: {line}")));
            }
        }
        paths.push(path);
    }
    if overlays.is_empty() {
        faults.push(format!("{OVERLAYS} is empty"));
    }
    if faults.is_empty() {
        println!("{} overlays are rendered as {RENDERS} has them", overlays.len());
        return Ok(paths);
    }
    Err(Failure::new(format!(
        "{}. If that is meant: `cargo xtask k8s --renew`, and read the difference",
        faults.join("; ")
    )))
}

/// Where two texts part, with both lines.
fn difference(golden: &str, rendered: &str) -> Option<String> {
    if golden == rendered {
        return None;
    }
    let common = golden.lines().zip(rendered.lines()).take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(common).unwrap_or("nothing more").trim().to_owned();
    Some(format!("line {} is `{}`, now `{}`", common + 1, line(golden), line(rendered)))
}

/// The names, without an extension, of what is in a directory; in order.
fn names(directory: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(directory).map_err(|error| unusable(directory, &error))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| wanted(path));
    let mut names: Vec<String> =
        paths.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot use {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_kustomize_is_read() {
        let cases = [
            ("{\n  \"kustomizeVersion\": \"v5.5.0\"\n}", Some(5)),
            ("{\n  \"clientVersion\": {}\n}", None),
            ("", None),
        ];
        for (told, expected) in cases {
            assert_eq!(kustomize_version(told), expected, "{told}");
        }
    }

    #[test]
    fn a_difference_is_told_by_its_first_line() {
        let cases = [
            ("a\nb\n", "a\nb\n", None),
            ("a\n b\n", "a\n c\n", Some("line 2 is `b`, now `c`")),
            ("a\n", "a\nb\n", Some("line 2 is `nothing more`, now `b`")),
            ("", "a\n", Some("line 1 is `nothing more`, now `a`")),
        ];
        for (golden, rendered, expected) in cases {
            assert_eq!(difference(golden, rendered).as_deref(), expected, "{golden:?} {rendered:?}");
        }
    }
}

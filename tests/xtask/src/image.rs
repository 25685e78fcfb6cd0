//! The component as an OCI layout in the target directory: no registry, no daemon, the same digests everywhere.

use std::{fs, path::Path};

use crate::{
    component,
    step::{Failure, Outcome, Tally},
    workspace::Workspace,
};

const MANIFEST: &str = "edge/spin/spin.toml";

/// Writes the image of the component that is built already, twice: each time what was written is read back and must
/// hold, and a second process must make the same of the same.
pub(crate) fn write(workspace: &Workspace) -> Outcome {
    let built = component::artefact()?;
    let [first, second] = ["image", "image-again"].map(|name| built.with_file_name(name));
    // An index has the manifest's digest, and the manifest those of all that it names.
    if write_to(workspace, &built, &first)? != write_to(workspace, &built, &second)? {
        let places = format!("{} and {}", first.display(), second.display());
        return Err(Failure::new(format!("one component has two images: {places}")));
    }
    Ok(Tally::PASSED)
}

/// Gives the index.
fn write_to(workspace: &Workspace, built: &Path, out: &Path) -> Result<Vec<u8>, Failure> {
    let manifest = workspace.path(MANIFEST);
    let text = fs::read_to_string(&manifest)
        .map_err(|error| Failure::new(format!("cannot read {MANIFEST}: {error}")))?;
    workspace
        .cargo()
        .args(["run", "--locked", "--quiet", "--package", "weir-image", "--"])
        .args(["--tag", version(&text)?, "--manifest"])
        .args([&manifest])
        .args(["--component"])
        .args([built])
        .args(["--out"])
        .args([out])
        .run()?;
    let index = out.join("index.json");
    fs::read(&index).map_err(|error| Failure::new(format!("cannot read {}: {error}", index.display())))
}

/// The application's version, which is the image's tag.
fn version(manifest: &str) -> Result<&str, Failure> {
    let application = manifest.split("[application]").nth(1).unwrap_or_default();
    let section = application.split("\n[").next().unwrap_or_default();
    let mut pairs = section.lines().filter_map(|line| line.split_once('='));
    let version =
        pairs.find(|(name, _)| name.trim() == "version").map(|(_, value)| value.trim().trim_matches('"'));
    version.ok_or_else(|| Failure::new(format!("{MANIFEST} has no version")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_the_version_of_the_application() {
        let cases = [
            ("a = 1\n[application]\nname    = \"weir\"\nversion = \"0.1.0\"\n[variables]\n", Some("0.1.0")),
            ("[application]\nname = \"weir\"\n[other]\nversion = \"0.1.0\"\n", None),
            ("", None),
        ];
        for (manifest, expected) in cases {
            assert_eq!(version(manifest).ok(), expected, "{manifest}");
        }
    }
}

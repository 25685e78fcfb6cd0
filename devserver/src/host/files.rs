//! Files that `spin.toml` gives to the component.

use std::path::{Path, PathBuf};

use super::manifest::{Manifest, Mount};
use crate::cli::Failed;

/// Folders of this machine that the component may read, and where it finds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Vec<(PathBuf, String)>);

impl Files {
    /// Folders are given as they are. A pattern would need copies, which nothing here has a use for yet: it is
    /// refused, so that no component misses a file without anybody knowing.
    pub(super) fn gather(manifest: &Manifest) -> Result<Self, Failed> {
        let mut folders = Vec::new();
        for mount in manifest.files() {
            match mount {
                Mount::Folder { source, destination } => {
                    let source = manifest.folder().join(source);
                    if !source.is_dir() {
                        return Err(Failed(format!("files: {}: not a folder", source.display())));
                    }
                    folders.push((source, destination.clone()));
                }
                Mount::Pattern(pattern) => {
                    let advice =
                        "this host takes folders: { source = \"assets\", destination = \"/assets\" }";
                    return Err(Failed(format!("files: \"{pattern}\": {advice}")));
                }
            }
        }
        Ok(Self(folders))
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().map(|(source, destination)| (source.as_path(), destination.as_str()))
    }
}

//! Secrets that lie in files of their own: which there are, and whether one has changed.
//!
//! Kubernetes replaces a mounted secret by swapping a link two folders away, and tells nobody. So contents are
//! compared. A file that is gone or empty for a while, as some writers leave it, costs nothing: the last secret that
//! was read from it stays.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir::config::Surroundings;
use weir::identity::caller::KeyHash;
use weir::routing::upstream::connection::Dialer;
use weir::secret::Secret;

/// The files that the configuration in force has named, by path.
#[derive(Debug, Default)]
pub(super) struct SecretFiles(Mutex<BTreeMap<String, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Of what was found at the last look; `None`: it could not be read, or held nothing.
    seen: Option<KeyHash>,
    /// The last that was read.
    good: Option<Secret>,
}

impl SecretFiles {
    /// What surrounds the process; which files are read is noted.
    pub(super) fn through<'a, S>(&'a self, machine: &'a S) -> Through<'a, S> {
        Through { files: self, machine }
    }

    /// Whether a file holds something else than when the configuration was read.
    pub(super) fn have_changed(&self) -> bool {
        self.known().iter().any(|(path, known)| {
            let content = std::fs::read_to_string(path).ok().filter(|content| !content.trim().is_empty());
            content.map(|content| KeyHash::of(&content)) != known.seen
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads as the machine does, but that a secret outlives its file.
#[derive(Debug)]
pub(super) struct Through<'a, S> {
    files: &'a SecretFiles,
    machine: &'a S,
}

impl<S: Surroundings> Surroundings for Through<'_, S> {
    fn env(&self, name: &str) -> Option<String> {
        self.machine.env(name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let found = self.machine.file(path);
        let mut files = self.files.known();
        let known = files.entry(path.to_owned()).or_default();
        match &found {
            Ok(content) if !content.trim().is_empty() => {
                known.seen = Some(KeyHash::of(content));
                known.good = Some(Secret::new(content.clone()));
                found
            }
            Ok(_) | Err(_) => {
                known.seen = None;
                let Some(good) = &known.good else { return found };
                tracing::error!(path, "a secret is not in its file any more: the last one is used");
                Ok(good.expose().to_owned())
            }
        }
    }

    fn simulated(&self) -> Option<http::Uri> {
        self.machine.simulated()
    }

    fn dialer(&self) -> Option<&dyn Dialer> {
        self.machine.dialer()
    }
}

//! Programs and packages that the checks need, kept outside the tree between runs.

mod inventory;

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use self::inventory::Inventory;
use crate::step::Failure;

#[derive(Debug)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// `$XDG_CACHE_HOME/weir`, or `~/.cache/weir`.
    pub(crate) fn open() -> Result<Self, Failure> {
        let named = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let base = named
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .ok_or_else(|| Failure::new("neither XDG_CACHE_HOME nor HOME is set: nowhere to install to"))?;
        let dir = base.join("weir");
        fs::create_dir_all(&dir).map_err(|error| unusable(&dir, &error))?;
        Ok(Self(dir))
    }

    /// The directory `name`-hash(`inputs`), filled by `install` unless an earlier run has done that.
    ///
    /// Its `.complete` file lists what was installed. A directory without one is what an interrupted run has left, one
    /// that lacks something is what a cleaner has left: both are removed. Two runs at once take turns.
    pub(crate) fn installed(
        &self,
        name: &str,
        inputs: &[&[u8]],
        install: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let dir = self.0.join(format!("{name}-{}", digest(inputs)));
        let complete = dir.join(".complete");
        let _turn = self.turn()?;
        match fs::read_to_string(&complete).ok().as_deref().and_then(Inventory::parse) {
            Some(inventory) => match inventory.missing(&dir) {
                None => {
                    println!("{name}: already installed in {}", dir.display());
                    return Ok(dir);
                }
                Some(lost) => println!("{name}: {} is not as it was installed", dir.join(lost).display()),
            },
            None if complete.exists() => println!("{name}: {} lists nothing", complete.display()),
            None => {}
        }
        println!("{name}: installing into {}", dir.display());
        remove(&dir).and_then(|()| fs::create_dir_all(&dir)).map_err(|error| unusable(&dir, &error))?;
        install(&dir)?;
        let inventory = Inventory::take(&dir).map_err(|error| unusable(&dir, &error))?;
        fs::write(&complete, inventory.to_string()).map_err(|error| unusable(&complete, &error))?;
        Ok(dir)
    }

    fn turn(&self) -> Result<File, Failure> {
        let path = self.0.join("lock");
        File::create(&path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| unusable(&path, &error))
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot use {}: {error}", path.display()))
}

/// Short, and different for inputs that differ in any byte or in where one ends.
fn digest(inputs: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update(input.len().to_le_bytes());
        hash.update(input);
    }
    hash.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_not_installed_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().to_owned());
        let first = cache.installed("tool", &[b"1"], |_| Ok(())).unwrap();
        let second = cache.installed("tool", &[b"1"], |_| Err(Failure::new("again"))).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn an_interrupted_install_starts_from_an_empty_directory() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().to_owned());
        let half = |dir: &Path| {
            fs::write(dir.join("half"), "").unwrap();
            Err(Failure::new("interrupted"))
        };
        cache.installed("tool", &[b"1"], half).unwrap_err();
        let whole = cache.installed("tool", &[b"1"], |_| Ok(())).unwrap();
        assert!(!whole.join("half").exists());
    }

    #[test]
    fn what_a_cleaner_has_thinned_out_is_installed_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(dir.path().to_owned());
        let install = |dir: &Path| {
            fs::create_dir_all(dir.join("packages/deep")).unwrap();
            for file in ["packages/deep/module", "packages/empty"] {
                fs::write(dir.join(file), "").unwrap();
            }
            Ok(())
        };
        let installed = cache.installed("tool", &[b"1"], install).unwrap();
        fs::write(installed.join("made while it was used"), "").unwrap();
        let untouched = |_: &Path| Err(Failure::new("again"));
        cache.installed("tool", &[b"1"], untouched).unwrap();
        for thinned in ["packages/deep/module", "packages/empty"] {
            fs::remove_file(installed.join(thinned)).unwrap();
            cache.installed("tool", &[b"1"], install).unwrap();
            assert!(installed.join(thinned).exists(), "{thinned}");
        }
        fs::write(installed.join("packages/empty"), "cut or grown").unwrap();
        cache.installed("tool", &[b"1"], untouched).unwrap_err();
    }

    #[test]
    fn another_input_is_another_directory() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}

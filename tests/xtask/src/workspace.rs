//! Where the tree is and where things that do not belong in it are kept.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{cache::Cache, program::Program, step::Failure};

#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    cache: Cache,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self, Failure> {
        // Read at run time: two checkouts may share a target directory, and with it this very binary.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .ok_or_else(|| Failure::new("run this as `cargo xtask`: cargo says where the tree is"))?;
        let root = Path::new(&package)
            .ancestors()
            .nth(2)
            .ok_or_else(|| Failure::new("xtask has left tests/xtask"))?;
        Ok(Self { root: root.to_owned(), cache: Cache::open()? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A path given from the root.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// `program`, to be run in the root.
    pub(crate) fn program(&self, program: impl AsRef<Path>) -> Program {
        Program::new(program.as_ref(), &self.root)
    }

    /// The cargo that runs us.
    pub(crate) fn cargo(&self) -> Program {
        self.program(env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from))
    }

    /// A binary that cargo has built: it lies beside this one, wherever the target directory is.
    pub(crate) fn built(binary: &str) -> Result<PathBuf, Failure> {
        let this = env::current_exe().map_err(|error| Failure::new(format!("no path to xtask: {error}")))?;
        Ok(this.with_file_name(binary))
    }
}

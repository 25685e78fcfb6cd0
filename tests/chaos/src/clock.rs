//! A clock in place of the machine's, for one process; it can be turned while the process runs.

use std::path::PathBuf;

use tempfile::TempDir;

/// The variable that names the library; `cargo xtask chaos` installs it and sets this.
const LIBRARY: &str = "WEIR_FAKETIME";

#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
    _folder: TempDir,
}

impl Clock {
    /// A clock that is right.
    pub(crate) fn new() -> Self {
        let library = std::env::var_os(LIBRARY);
        let library = library.unwrap_or_else(|| panic!("no {LIBRARY}: run it by `cargo xtask chaos`")).into();
        let folder = tempfile::tempdir().unwrap();
        let clock = Self { library, file: folder.path().join("clock"), _folder: folder };
        clock.turn(0);
        clock
    }

    /// Sets it so many seconds ahead.
    pub(crate) fn turn(&self, seconds: i32) {
        // A reader must never find half a line.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}s\n")).unwrap();
        std::fs::rename(&next, &self.file).unwrap();
    }

    /// Variables for the environment of the process.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        // libc's allocator stands before the process's own: the library deadlocks with one that asks for the time.
        vec![
            ("LD_PRELOAD", format!("{}:libc.so.6", self.library.display())),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

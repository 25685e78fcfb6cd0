//! Descriptors of open files: each connection is one, and systems allow few unless they are asked.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises what may be open to what the system allows, and tells it.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        tracing::info!(open_files = current, "as many files may be open as the system allows");
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::info!(from = current, open_files = maximum, "more files may be open now"),
        Err(error) => tracing::warn!(open_files = current, %error, "no more files may be open than before"),
    }
}

/// Whether an error says that the process or the machine may open no more files.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

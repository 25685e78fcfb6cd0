//! How many instructions a call costs in user space, counted by valgrind's callgrind: the same on a busy
//! machine as on an idle one. Valgrind has no instructions for SHA-256, so each hash counts for more
//! than it costs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::ask::Ask;
use crate::child::{self, Server};
use crate::cli::{Failed, Kind};
use crate::sample::float;

const VALGRIND: &str = "/usr/bin/valgrind";

/// The difference of a long and a short run is calls and nothing else.
const SHORT: u64 = 300;
const LONG: u64 = 1500;

/// Of a gateway that `start` starts with the command it is given.
pub(crate) fn of_a_call(
    folder: &Path,
    start: impl Fn(Command) -> Result<Server, Failed>,
) -> Result<f64, Failed> {
    if !Path::new(VALGRIND).is_file() {
        return Err(Failed("there is no valgrind; install it: apt-get install valgrind".into()));
    }
    let counted = folder.join("callgrind.out");
    let run = |millis| -> Result<(u64, u64), Failed> {
        // What an earlier run told is not to be taken for this one's.
        let _ = fs::remove_file(&counted);
        let mut counting = child::program(Path::new(VALGRIND));
        counting.args(["--tool=callgrind", "--quiet"]).arg(out_file(&counted));
        let server = start(counting)?;
        let sample = child::load(&server, &Kind::Serial { ask: Ask::Json, millis })?;
        // It writes when it ends.
        drop(server);
        let text = fs::read_to_string(&counted).map_err(|e| Failed::because("no counts", e))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
        Ok((total.ok_or_else(|| Failed("callgrind told no totals".into()))?, sample.answered))
    };
    let ((few, calls), (many, more_calls)) = (run(SHORT)?, run(LONG)?);
    Ok(float(many.saturating_sub(few)) / float(more_calls.saturating_sub(calls).max(1)))
}

fn out_file(path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("--callgrind-out-file=");
    argument.push(path);
    argument
}

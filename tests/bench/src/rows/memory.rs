//! Memory: before work, after work, and for each stream that is held.

use std::thread;
use std::time::Duration;

use crate::ask::Ask;
use crate::bed::Bed;
use crate::child::{self, Holder, Server};
use crate::cli::{Failed, Kind, say};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::Setup;
use crate::process;
use crate::sample::float;

/// Time for a server to come to rest.
const REST: Duration = Duration::from_millis(500);

pub(super) const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Files of a gateway that are no streams.
const OTHER_FILES: u64 = 200;

pub(super) fn idle(bed: &Bed, millis: u64) -> Result<Vec<Figure>, Failed> {
    let weir = bed.fresh_weir(Setup::Usual)?;
    let nginx = bed.fresh_nginx(0)?;
    let fresh = (resident(&nginx), resident(&weir));
    for server in [&nginx, &weir] {
        for ask in [Ask::Json, Ask::Stream(20)] {
            child::load(server, &Kind::Throughput { ask, connections: 32, millis })?;
        }
    }
    let used = (resident(&nginx), resident(&weir));
    let line = |what: &str, (nginx, weir): (f64, f64)| {
        Figure::once(format!("resident, {what}"), Unit::Mebibytes, Aim::Most(60.0), nginx / MIB, weir / MIB)
    };
    Ok(vec![line("just started", fresh), line("after load", used)])
}

pub(super) fn held(bed: &Bed, wanted: usize) -> Result<Vec<Figure>, Failed> {
    // A stream is a connection on each side.
    let files = process::raise_files(wanted as u64 * 2 + OTHER_FILES);
    let possible = usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX);
    let streams = wanted.min(possible);
    if streams < wanted {
        say(format_args!("only {streams} streams are held: {files} open files are allowed (`ulimit -Hn`)"));
    }
    let nginx = of_each(&bed.fresh_nginx(streams)?, streams)?;
    let weir = of_each(&bed.fresh_weir(Setup::Usual)?, streams)?;
    let what = format!("each of {streams} streams held");
    Ok(vec![Figure::once(what, Unit::Kibibytes, Aim::Most(32.0), nginx / KIB, weir / KIB)])
}

/// Resident bytes that `server` has more for each of `streams`.
pub(super) fn of_each(server: &Server, streams: usize) -> Result<f64, Failed> {
    let before = resident(server);
    let (holder, open) = Holder::start(server.address, streams)?;
    let after = resident(server);
    drop(holder);
    Ok((after - before) / float(open.max(1)))
}

fn resident(server: &Server) -> f64 {
    thread::sleep(REST);
    float(process::resident(&server.pids()))
}

//! What the kernel says of a process and of those it started.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A process and its children, which is all that nginx and Weir are.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    [pid].into_iter().chain(children).collect()
}

/// Resident bytes of all of them. Pages that they share count for each.
pub(crate) fn resident(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    pids.iter().map(of).sum()
}

/// Processor time that they have used, to 10 ms.
pub(crate) fn cpu(pids: &[u32]) -> Duration {
    let ticks = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything, the fields are numbers; user and system time are 12th and
        // 13th of them.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum::<u64>()
    };
    let ticks: u64 = pids.iter().map(ticks).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

/// Lets this process and those it starts have `wanted` files open, as far as it may; tells how many it is.
pub(crate) fn raise_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let (Some(current), Some(most)) = (limit.current, limit.maximum) else { return u64::MAX };
    if current >= wanted {
        return current;
    }
    // Only root may go beyond the hard limit.
    for reachable in [wanted, wanted.min(most)] {
        let limit = Rlimit { current: Some(reachable), maximum: Some(most.max(reachable)) };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return reachable;
        }
    }
    current
}

//! What the process that listens at an address has in memory.

use std::fs;
use std::net::SocketAddr;

/// Bytes; 0 where nobody is found.
pub(crate) fn of_listener(address: SocketAddr) -> u64 {
    let Some(inode) = inode(address) else { return 0 };
    let link = format!("socket:[{inode}]");
    let holds = |process: &fs::DirEntry| {
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { return false };
        open.flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == link.as_str()))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let found: Vec<_> = processes.filter(holds).collect();
    found.iter().filter_map(|process| resident(&process.path())).max().unwrap_or(0)
}

/// Of the socket that listens (state `0A`) at the port.
fn inode(address: SocketAddr) -> Option<String> {
    let port = format!(":{:04X}", address.port());
    fs::read_to_string("/proc/net/tcp").ok()?.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
        is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}

fn resident(process: &std::path::Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

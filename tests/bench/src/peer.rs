//! nginx as the peer: a reverse proxy that does what is measured and nothing else, with the settings that
//! suit it best here. And Redis, where state is measured that replicas share.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::child::{self, Cores, Server};
use crate::cli::Failed;

/// Where Debian puts it; that folder is not on everybody's path.
const DEBIAN: &str = "/usr/sbin/nginx";

/// Finds the program, or says how to get it.
pub(crate) fn find() -> Result<PathBuf, Failed> {
    find_program("nginx").or_else(|| Some(PathBuf::from(DEBIAN)).filter(|path| path.is_file())).ok_or_else(
        || Failed("there is no nginx to measure beside; install it: apt-get install nginx-light".into()),
    )
}

fn find_program(name: &str) -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&on_path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Starts a Redis that keeps nothing on disk.
pub(crate) fn redis(folder: &Path, cores: Cores) -> Result<Server, Failed> {
    let program = find_program("redis-server").ok_or_else(|| {
        Failed("there is no redis-server to measure with; install it: apt-get install redis-server".into())
    })?;
    let address = free_port()?;
    let mut command = child::program_on(&program, cores);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(folder);
    command.args(["--port", &address.port().to_string()]);
    Server::start_at("redis-server", command, address)
}

/// What it does with a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Serving {
    /// Passes it on, and the answer as it comes.
    Proxy,
    /// Keeps answers and gives them to the same bodies again.
    Cache,
    /// Passes it on unless so many are under way.
    Bounded(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) workers: usize,
    /// For each worker; a call that is passed on needs two.
    pub(crate) connections: usize,
    pub(crate) serving: Serving,
}

/// Starts one in front of `upstream`.
pub(crate) fn start(peer: Peer<'_>, upstream: SocketAddr) -> Result<Server, Failed> {
    let address = free_port()?;
    let prefix = peer.folder.join(format!("nginx-{}", address.port()));
    let failed = |e: std::io::Error| Failed::because(prefix.display(), e);
    fs::create_dir_all(&prefix).map_err(failed)?;
    let path = prefix.join("nginx.conf");
    fs::write(&path, document(peer, address, upstream)).map_err(failed)?;
    let mut command = child::program(peer.program);
    command.arg("-p").arg(&prefix).arg("-c").arg(&path).arg("-e").arg(prefix.join("error.log"));
    Server::start_at("nginx", command, address).map_err(|Failed(why)| {
        let log = fs::read_to_string(prefix.join("error.log")).unwrap_or_default();
        Failed(format!("{why}\n{log}"))
    })
}

/// Neither tells which port it took, so each is given one that is free now.
fn free_port() -> Result<SocketAddr, Failed> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map_err(|e| Failed::because("no free port", e))
}

/// Of the module that is asked: what stands beside the server, and what stands in its location.
fn parts(serving: Serving) -> (String, String) {
    match serving {
        Serving::Proxy => (String::new(), "proxy_buffering off;".into()),
        // Bodies lie in files, and the kernel keeps those in memory; names and descriptors are kept open.
        Serving::Cache => (
            "proxy_cache_path cache levels=1:2 keys_zone=bench:8m max_size=256m inactive=1h use_temp_path=off;
    open_file_cache max=1000 inactive=1h;
    open_file_cache_valid 1h;"
                .into(),
            r#"proxy_cache bench;
            proxy_cache_methods POST;
            proxy_cache_key "$request_uri $http_authorization $request_body";
            proxy_cache_valid 200 1h;
            add_header X-Cache-Status $upstream_cache_status;"#
                .into(),
        ),
        Serving::Bounded(calls) => (
            "limit_conn_zone $server_name zone=bench:1m;
    limit_conn_log_level info;"
                .into(),
            format!("proxy_buffering off;\n            limit_conn bench {calls};"),
        ),
    }
}

fn document(peer: Peer<'_>, listen: SocketAddr, upstream: SocketAddr) -> String {
    let Peer { workers, connections, serving, .. } = peer;
    let (beside, location) = parts(serving);
    format!(
        r#"daemon off;
pid nginx.pid;
worker_processes {workers};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {beside}
    upstream bench {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen {listen} backlog=4096;
        server_name bench;
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 600s;
            {location}
        }}
    }}
}}
"#
    )
}

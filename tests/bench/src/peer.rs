//! nginx as the peer: a reverse proxy that does nothing but pass on, with the settings that suit it best here.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::child::{self, Server};
use crate::cli::Failed;

/// Where Debian puts it; that folder is not on everybody's path.
const DEBIAN: &str = "/usr/sbin/nginx";

/// Finds the program, or says how to get it.
pub(crate) fn find() -> Result<PathBuf, Failed> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&on_path).map(|folder| folder.join("nginx"));
    folders.chain([PathBuf::from(DEBIAN)]).find(|path| path.is_file()).ok_or_else(|| {
        Failed("there is no nginx to measure beside; install it: apt-get install nginx-light".into())
    })
}

/// Starts it with `connections` for each worker; a stream that is held needs two.
pub(crate) fn start(
    nginx: &Path,
    folder: &Path,
    upstream: SocketAddr,
    workers: usize,
    connections: usize,
) -> Result<Server, Failed> {
    let prefix = folder.join(format!("nginx-{connections}"));
    let failed = |e: std::io::Error| Failed::because(prefix.display(), e);
    fs::create_dir_all(&prefix).map_err(failed)?;
    let address = free_port()?;
    let path = prefix.join("nginx.conf");
    fs::write(&path, document(address, upstream, workers, connections)).map_err(failed)?;
    let mut command = child::program(nginx);
    command.arg("-p").arg(&prefix).arg("-c").arg(&path).arg("-e").arg(prefix.join("error.log"));
    Server::start_at("nginx", command, address).map_err(|Failed(why)| {
        let log = fs::read_to_string(prefix.join("error.log")).unwrap_or_default();
        Failed(format!("{why}\n{log}"))
    })
}

/// nginx does not tell which port it took, so it is given one that is free now.
fn free_port() -> Result<SocketAddr, Failed> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map_err(|e| Failed::because("no free port", e))
}

fn document(listen: SocketAddr, upstream: SocketAddr, workers: usize, connections: usize) -> String {
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
    upstream bench {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
}}
"#
    )
}

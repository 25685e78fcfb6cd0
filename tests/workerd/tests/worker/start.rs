//! From its start to the first answer, beside a Worker of one line in JavaScript.

use std::fs;
use std::io::{Read as _, Write as _, stderr};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::built;

/// Far above what it takes, so that a busy machine fails nobody; what it takes is printed.
const MOST: Duration = Duration::from_secs(10);

const HELLO: &str = "export default { fetch: () => new Response('hello') };";

const ROUNDS: usize = 5;

/// Ended by its id when it is dropped.
struct Workerd(Child);

impl Drop for Workerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_answers_soon_after_its_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.js"), HELLO).unwrap();
    for file in ["index.js", "index_bg.wasm"] {
        fs::copy(built().folder().join(file), folder.path().join(file)).unwrap();
    }
    let weir = "modules = [(name = \"index.js\", esModule = embed \"index.js\"), (name = \"./index_bg.wasm\", wasm = \
        embed \"index_bg.wasm\")], bindings = [(name = \"WEIR_CONFIG\", text = \"auth = \\\"open\\\"\\n[upstream.u]\\n\
        dialect = \\\"openai\\\"\\nbase_url = \\\"http://127.0.0.1:9\\\"\\n[[route]]\\nmodel = \\\"*\\\"\\n\
        to = [\\\"u\\\"]\\n\"), (name = \"DESKS\", durableObjectNamespace = \"Desk\")], \
        durableObjectNamespaces = [(className = \"Desk\", uniqueKey = \"desk\", enableSql = true)], \
        durableObjectStorage = (inMemory = void),";
    let hello = "modules = [(name = \"hello.js\", esModule = embed \"hello.js\")],";
    let mut medians = Vec::new();
    for (name, worker) in [("weir", weir), ("hello", hello)] {
        let mut took: Vec<_> = (0..ROUNDS).map(|_| first_answer(folder.path(), worker)).collect();
        took.sort();
        medians.push((name, took[ROUNDS / 2]));
    }
    for (name, median) in medians {
        // Past the harness, which would keep it for itself.
        let took = median.as_millis();
        writeln!(stderr(), "{name}: {took} ms from the start of workerd to its first answer").unwrap();
        assert!(median < MOST, "{name}: {median:?}");
    }
}

fn first_answer(folder: &Path, worker: &str) -> Duration {
    let address = free();
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\nconst config :Workerd.Config = (services = [(name = \
         \"main\", worker = (compatibilityDate = \"2026-07-30\", compatibilityFlags = [\"enable_request_signal\"], \
         {worker}))], sockets = [(name = \"http\", address = \"{address}\", http = (), service = \"main\")]);\n"
    );
    let path = folder.join("config.capnp");
    fs::write(&path, config).unwrap();
    let started = Instant::now();
    let mut command = Command::new(built().workerd().unwrap());
    command.args(["serve", "--experimental"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut workerd = Workerd(command.spawn().unwrap());
    loop {
        if let Some(answer) = get(address) {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            return started.elapsed();
        }
        assert!(workerd.0.try_wait().unwrap().is_none(), "workerd has ended");
        assert!(started.elapsed() < MOST, "no answer");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Nobody listens there now.
fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn get(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

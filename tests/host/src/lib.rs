//! Runs the real `weir` as a host of `tests/guest`, and talks to it over real sockets.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use weir_native_tests::{Program, Raw, target_folder, wait, weir};

static COMPONENT: OnceLock<PathBuf> = OnceLock::new();

/// The component, built once a test process.
fn component() -> &'static Path {
    COMPONENT.get_or_init(|| {
        let target = target_folder().join("guest");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--locked", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest"));
        let built = cargo.status().expect("cargo can be run");
        assert!(built.success(), "no component to test; this fails: {cargo:?}");
        target.join("wasm32-wasip2/debug/weir_test_guest.wasm")
    })
}

/// A host that runs. Dropped, it ends.
#[derive(Debug)]
pub struct Host {
    pub address: SocketAddr,
    pub program: Program,
    _folder: TempDir,
}

impl Host {
    /// With more arguments, and `lines` in the component's part of its manifest.
    pub async fn start(lines: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("spin.toml");
        std::fs::write(&manifest, manifest_with(lines)).unwrap();
        let mut command = weir(&["serve", "--listen", "127.0.0.1:0", "--component"]);
        command.arg(component()).arg("--manifest").arg(&manifest).args(arguments);
        command.env("XDG_CACHE_HOME", folder.path());
        let mut program = Program::run(command);
        let patience = wait::PATIENCE * 4;
        let address = wait::until_within(patience, "`listening on`", async || {
            if let Some(status) = program.ended() {
                panic!("it ended: {status}\n{}", program.stderr.text());
            }
            let lines = program.stdout.now();
            let address = lines.iter().find_map(|line| line.strip_prefix("listening on http://"))?;
            Some(address.parse().unwrap())
        })
        .await;
        Self { address, program, _folder: folder }
    }

    /// Everything that comes for `GET path`, until the connection is closed.
    pub async fn get(&self, path: &str) -> String {
        let mut raw = self.ask(path).await;
        raw.to_end().await
    }

    /// A connection on which `GET path` was sent.
    pub async fn ask(&self, path: &str) -> Raw {
        let mut raw = Raw::connect(self.address).await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        assert!(raw.send(request).await, "the request is taken");
        raw
    }
}

fn manifest_with(lines: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
         [variables]\nknown = {{ default = \"of the manifest\" }}\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"guest\"\n\
         [component.guest]\nsource = \"weir_test_guest.wasm\"\n{lines}\n\
         [component.guest.variables]\nknown = \"{{{{ known }}}}\"\n"
    )
}

/// Whether a chunked answer came to its end.
pub fn is_whole(answer: &str) -> bool {
    answer.ends_with("\r\n0\r\n\r\n")
}

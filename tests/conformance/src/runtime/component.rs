//! The Spin component as it is shipped, in the host that `weir serve --component` is, with its state in a Redis.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use toml::{Table, Value};
use weir_native_tests::{Launch, Program, target_folder, weir};

use super::redis::Stores;
use super::{Given, Running, Runtime};

/// Where the component is built for.
const TARGET: &str = "wasm32-wasip2";

/// What a gateway has at least.
const LEAST: &str = "auth = \"open\"\n[upstream.none]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:9\"\n\
    [[route]]\nmodel = \"*\"\nto = [\"none\"]\n";

/// For the host to compile it, on a busy machine.
const COMPILING: Duration = Duration::from_mins(5);

/// Upstreams of cases stand on ports that nobody knows before.
const LOOPBACK: [(&str, &str); 2] = [
    ("SPIN_VARIABLE_UPSTREAM_HOST", "http://127.0.0.1:*"),
    ("SPIN_VARIABLE_REDIS_HOST", "redis://127.0.0.1:*"),
];

#[derive(Debug, Default)]
pub struct Component {
    stores: Stores,
    artefact: OnceLock<PathBuf>,
}

impl Runtime for Component {
    fn name(&self) -> &'static str {
        "component on wasmtime"
    }

    /// A caller who is turned away before anything is asked of Redis costs it no connection, and is logged only.
    fn untold(&self) -> &'static [&'static str] {
        &["weir_refusals_total"]
    }

    fn prepare(&self) -> Result<(), String> {
        let said = weir(&["serve", "--help"]).output().map_err(|e| format!("weir: {e}"))?;
        if !String::from_utf8_lossy(&said.stdout).contains("--component") {
            return Err("this weir hosts no component: build it with --features wasm".into());
        }
        let artefact = build()?;
        self.stores.prepare();
        self.compile(&artefact)?;
        self.artefact.get_or_init(|| artefact);
        Ok(())
    }

    fn start<'a>(&'a self, given: &'a Given) -> LocalBoxFuture<'a, Result<Box<dyn Running>, String>> {
        Box::pin(async move {
            let artefact = self.artefact.get().ok_or("it was not prepared")?;
            let given = self.stores.give(given)?;
            let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
            let manifest = folder.path().join("spin.toml");
            std::fs::write(&manifest, manifest_with(&given, artefact)?).map_err(|e| e.to_string())?;
            let mut launch = Launch::of(&given.config)
                .arg("--component")
                .arg(&artefact.to_string_lossy())
                .arg("--manifest")
                .arg(&manifest.to_string_lossy());
            let environment = given.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            for (name, value) in environment.chain(LOOPBACK) {
                launch = launch.env(name, value);
            }
            Ok(Box::new(launch.say_listening().await) as Box<dyn Running>)
        })
    }
}

impl Component {
    /// Starts it once, so that the host keeps its machine code: a compiler that is not optimised itself takes its time.
    fn compile(&self, artefact: &Path) -> Result<(), String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let given = self.stores.give(&Given { config: LEAST.to_owned(), ..Given::default() })?;
        let (manifest, config) = (folder.path().join("spin.toml"), folder.path().join("weir.toml"));
        std::fs::write(&manifest, manifest_with(&given, artefact)?).map_err(|e| e.to_string())?;
        std::fs::write(&config, &given.config).map_err(|e| e.to_string())?;
        let mut host = weir(&["serve", "--listen", "127.0.0.1:0"]);
        host.arg("--config").arg(config).arg("--component").arg(artefact).arg("--manifest").arg(manifest);
        let mut host = Program::run(host);
        let deadline = Instant::now() + COMPILING;
        while Instant::now() < deadline {
            if host.stdout.now().iter().any(|line| line.starts_with("listening on")) {
                return Ok(());
            }
            if let Some(status) = host.ended() {
                return Err(format!("the host ended: {status}\n{}", host.stderr.text()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the component was not compiled in {COMPILING:?}"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The artefact of the working tree; when it is fresh that takes a moment.
fn build() -> Result<PathBuf, String> {
    let target = target_folder();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--locked", "--package", "weir-spin", "--profile", "component"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target)
        .current_dir(root());
    let built = cargo.status().map_err(|e| format!("cargo: {e}"))?;
    if built.success() {
        Ok(target.join(TARGET).join("component/weir_spin.wasm"))
    } else {
        Err(format!("no component to test; this fails: {cargo:?} (rustup target add {TARGET})"))
    }
}

/// The manifest that is shipped, with the secrets of the case among its variables: a runtime gives a component no
/// others.
fn manifest_with(given: &Given, artefact: &Path) -> Result<String, String> {
    let path = root().join("edge/spin/spin.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut manifest: Table = text.parse().map_err(|e| format!("{}: {e}", path.display()))?;
    for name in given.environment.keys() {
        let name = name.to_lowercase();
        let declared =
            Table::from_iter([("default".to_owned(), "".into()), ("secret".to_owned(), true.into())]);
        table(&mut manifest, &["variables"])?.insert(name.clone(), Value::Table(declared));
        let handed = format!("{{{{ {name} }}}}");
        table(&mut manifest, &["component", "weir", "variables"])?.insert(name, handed.into());
    }
    let source = artefact.to_string_lossy().into_owned();
    table(&mut manifest, &["component", "weir"])?.insert("source".into(), source.into());
    Ok(manifest.to_string())
}

fn table<'t>(manifest: &'t mut Table, path: &[&str]) -> Result<&'t mut Table, String> {
    path.iter().try_fold(manifest, |table, key| {
        table.get_mut(*key).and_then(Value::as_table_mut).ok_or(format!("the manifest has no table {path:?}"))
    })
}

//! The artefact that is deployed on Spin, served on this machine.
//!
//! What answers is the very `.wasm` of a deployment: this host gives it what Spin would, through wasmtime, and
//! takes from `spin.toml` what Spin takes from it. A fresh instance answers each request, so nothing is kept in
//! the process but connections to upstreams. Where it differs from Spin it is stricter: an instance has a bound on
//! its memory and its computing, and an answer that is not finished never looks as if it were.

mod allowed;
mod answer;
mod bindings;
mod budget;
mod component;
mod engine;
mod files;
mod guest;
mod key_value;
mod manifest;
mod outbound;
mod output;
mod redis;
mod server;
mod slots;
mod spawned;
mod template;
mod variables;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use weir::Config;
use weir::config::{Document, Faults, Format, StoreKind, Surroundings};

use self::component::Program;
use self::engine::Ticker;
use self::files::Files;
use self::manifest::Manifest;
use self::server::Settings;
use self::spawned::Spawned;
use self::variables::Variables;
use crate::cli::{Failed, Hosting, RedisSource, Serve};
use crate::client::Trust;
use crate::connections::{Ending, Patience};
use crate::crew::{self, Crew, Door, Entry};
use crate::crowd::{Bounds, Full};
use crate::descriptors;
use crate::document::{self, Machine};
use crate::logs;

/// The variable that says where the component's Redis is.
const REDIS_VARIABLE: &str = "redis_url";

/// The variable that holds the text of a `weir.toml`.
const CONFIG_VARIABLE: &str = "config";

/// Serves the component in `file` until it is asked to stop.
pub(crate) fn serve(flags: &Serve, file: &Path) -> Result<(), Failed> {
    logs::init(flags.log_format, flags.log_level);
    descriptors::raise();
    let hosting = &flags.hosting;
    let manifest = Manifest::find(file, hosting.manifest.as_deref())?;
    let mut given = Vec::new();
    if let Some(config) = &flags.config {
        let text = std::fs::read_to_string(config);
        let text = text.map_err(|e| Failed::because(&config.display().to_string(), e))?;
        given.push((CONFIG_VARIABLE, text));
    }
    let engine = engine::engine(hosting)?;
    let program = Program::load(&engine, file)?;
    let redis = redis_of(hosting, &program, &manifest, &given)?;
    given.extend(redis.address.clone().map(|address| (REDIS_VARIABLE, address)));
    let variables = Variables::new(&manifest, given, variables::environment)?;
    let config = config_of(flags, &variables)?;
    let mut allowed = manifest.allowed_hosts(&variables)?;
    if let Some(address) = &redis.address {
        allowed.add_redis(address).map_err(|why| Failed(format!("--redis: {why}")))?;
    }
    let files = Files::gather(&manifest)?;

    let address = flags.listen.unwrap_or(config.listen);
    let listener = TcpListener::bind(address).map_err(|e| Failed::because(&address.to_string(), e))?;
    let address = listener.local_addr().map_err(|e| Failed::because("no address", e))?;
    let settings = Arc::new(Settings::new(hosting, manifest, variables, allowed, files));
    let trust = Trust::of_machine()?;
    let ending = Ending::default();
    let patience = Patience::of(&config.server);
    let crew = Crew::start(&config.server, |arrivals| {
        server::work(
            program.clone(),
            Arc::clone(&settings),
            trust.clone(),
            patience,
            arrivals,
            ending.clone(),
        )
    })?;
    let _ticker = Ticker::start(&engine)?;
    let greet = || {
        let mut lines = vec![format!("weir: {} answers, as it would on Spin", file.display())];
        if let Some(spawned) = &redis.spawned {
            let address = spawned.address();
            lines.push(format!("weir: its Redis is {address}, which keeps nothing and ends with this"));
        }
        lines.push(format!("listening on http://{address}"));
        lines.join("\n")
    };
    let grace = config.server.grace;
    let entry = Hosted(Bounds::of(&config.server));
    crew::runtime()?.block_on(async {
        let doors = vec![Door::new(listener, false)?];
        crew.serve(doors, entry, &ending, greet, || grace).await
    })
}

/// As the document said when the host began.
#[derive(Clone, Copy)]
struct Hosted(Bounds);

impl Entry for Hosted {
    fn bounds(&self) -> Bounds {
        self.0
    }

    fn turned_away(&self, full: Full) {
        tracing::warn!(bound = full.name(), "a connection was refused: there are too many");
    }
}

/// Where the component's Redis is, if that is for this host to say.
struct Redis {
    address: Option<String>,
    /// Ends when this is dropped.
    spawned: Option<Spawned>,
}

/// With nothing said of a Redis there is none, and a component that asks for one gets one of its own: it runs at
/// once, and nothing is pretended, for it is a Redis.
fn redis_of(
    hosting: &Hosting,
    program: &Program,
    manifest: &Manifest,
    given: &[(&'static str, String)],
) -> Result<Redis, Failed> {
    let is_wanted = match &hosting.redis {
        Some(RedisSource::At(address)) => return Ok(Redis { address: Some(address.clone()), spawned: None }),
        Some(RedisSource::Spawn) => true,
        None => {
            let variables = Variables::lenient(manifest, given.to_vec(), variables::environment);
            program.wants_redis() && !is_redis_named(&variables)
        }
    };
    if !is_wanted {
        return Ok(Redis { address: None, spawned: None });
    }
    let spawned = Spawned::start()?;
    Ok(Redis { address: Some(spawned.address()), spawned: Some(spawned) })
}

/// Whether somebody on this machine has said where the Redis is: the variable, or the configuration in words of its
/// own. A default in `spin.toml` is a deployment's.
fn is_redis_named(variables: &Variables) -> bool {
    let is_set = variables.outside(REDIS_VARIABLE).is_some_and(|address| !address.is_empty());
    let is_in_config = || {
        let text = variables.find(CONFIG_VARIABLE)?;
        // Without the default, a configuration that leaves it to the variable has a fault.
        let surroundings = At { variables, unsaid: &[REDIS_VARIABLE] };
        let config = load(&text, &surroundings).ok()?;
        Some(matches!(config.store.kind, StoreKind::Redis(_)))
    };
    is_set || is_in_config().unwrap_or(false)
}

/// What the component's configuration says of a server; the built-in one where it has none.
fn config_of(flags: &Serve, variables: &Variables) -> Result<Config, Failed> {
    let text = variables.find(CONFIG_VARIABLE).filter(|text| !text.is_empty());
    let Some(text) = text else {
        let machine = Machine { simulated: http::Uri::from_static("http://127.0.0.1/v1") };
        let built_in = document::load(None, &machine).map_err(|e| Failed(e.to_string()))?;
        return Ok(built_in.config);
    };
    let name = flags.config.as_ref().map_or_else(|| "config".to_owned(), |path| path.display().to_string());
    load(&text, &At { variables, unsaid: &[] }).map_err(|faults| Failed(format!("{name}: {faults}")))
}

fn load(text: &str, surroundings: &At<'_>) -> Result<Config, Faults> {
    let format = if text.trim_start().starts_with('{') { Format::Json } else { Format::Toml };
    let document = Document { name: CONFIG_VARIABLE, text, format };
    Config::load(&document, surroundings).map(|loaded| loaded.config)
}

/// What a configuration in a variable may refer to.
struct At<'a> {
    variables: &'a Variables,
    /// Variables that count as not set.
    unsaid: &'a [&'a str],
}

impl Surroundings for At<'_> {
    fn env(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        if self.unsaid.contains(&name.as_str()) { None } else { self.variables.find(&name) }
    }

    fn file(&self, _path: &str) -> Result<String, String> {
        Err("a component has no files of this machine".to_owned())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}

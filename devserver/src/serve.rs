//! `weir serve`: the native gateway, its banner.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use weir::Config;
use weir::config::StoreKind;
use weir::identity::access::Auth;
use weir::routing::upstream::Dialect;
use weir::telemetry::metrics::Family;

use crate::cli::{Failed, Serve};
use crate::client::{Clients, EnvironmentProxies, Trust};
use crate::connections::Ending;
use crate::crew::{self, Crew, Door, Entry};
use crate::crowd::{Bounds, Full};
use crate::document::Machine;
use crate::live::{Bound, Live};
use crate::metrics::Metrics;
use crate::native::{Native, Process};
use crate::store::Shared;
use crate::{descriptors, logs, worker};

/// Serves until it is asked to stop.
pub(crate) fn serve(flags: Serve) -> Result<(), Failed> {
    logs::init(flags.log_format, flags.log_level);
    descriptors::raise();
    let runtime = crew::runtime()?;
    let simulated = runtime.block_on(weir_provider::bind(SocketAddr::from(([127, 0, 0, 1], 0))));
    let simulated = simulated.map_err(|e| Failed::because("no port for the simulated provider", e))?;
    let machine = Machine { simulated: simulated_base(simulated.addr())? };
    let is_trial = flags.config.is_none();
    let proxies = Arc::new(EnvironmentProxies::of_process());
    let live = Arc::new(Live::load(flags.config, machine, Arc::clone(&proxies))?);
    let config = live.config();
    let address = flags.listen.unwrap_or(config.listen);
    config.check_listen(address, "--listen").map_err(|fault| Failed(fault.to_string()))?;

    let (listener, address) = bind(address)?;
    let operators = config.admin.listen.map(bind).transpose()?;
    let bound = Bound { callers: address, operators: operators.as_ref().map(|(_, address)| *address) };
    let process = Arc::new(Process::new()?);
    process.follow(&config);
    let ending = Ending::default();
    let crew = start_workers(&config, &process, &live, &proxies, &ending)?;

    runtime.block_on(async {
        // It costs nothing until a configuration names it.
        let provider = tokio::spawn(simulated.run(ending.aborted()));
        let follow = Arc::clone(&live).follow(Arc::clone(&process), bound);
        let following = tokio::spawn(ending.stop.clone().run_until_cancelled_owned(async move {
            if let Err(Failed(why)) = follow.await {
                tracing::error!("{why}: the configuration will not be read again");
            }
        }));
        let greet = || greet(&config, bound, is_trial);
        let mut doors = vec![Door::new(listener, false)?];
        if let Some((listener, _)) = operators {
            doors.push(Door::new(listener, true)?);
        }
        let entry = Gate { live: Arc::clone(&live), metrics: process.metrics.clone() };
        crew.serve(doors, entry, &ending, greet, || live.config().server.grace).await?;
        let _ = (following.await, provider.await);
        Ok(())
    })
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failed> {
    let listener = TcpListener::bind(address).map_err(|e| Failed::because(&address.to_string(), e))?;
    let address = listener.local_addr().map_err(|e| Failed::because("no address", e))?;
    Ok((listener, address))
}

/// By the configuration in force.
#[derive(Clone)]
struct Gate {
    live: Arc<Live>,
    metrics: Metrics,
}

impl Entry for Gate {
    fn bounds(&self) -> Bounds {
        Bounds::of(&self.live.config().server)
    }

    fn turned_away(&self, full: Full) {
        self.metrics.count(Family::ConnectionsRefused, &[full.name()], 1);
    }
}

fn simulated_base(address: SocketAddr) -> Result<http::Uri, Failed> {
    format!("http://{address}/v1").parse().map_err(|e| Failed::because("no address", e))
}

fn start_workers(
    config: &Config,
    process: &Arc<Process>,
    live: &Arc<Live>,
    proxies: &Arc<EnvironmentProxies>,
    ending: &Ending,
) -> Result<Crew, Failed> {
    let trust = Trust::of_machine()?;
    Crew::start(&config.server, |arrivals| {
        let shared = match &config.store.kind {
            StoreKind::Embedded => None,
            StoreKind::Redis(place) => {
                let trust = Arc::clone(trust.config());
                Some(Shared::new(place.clone(), trust, process.metrics.clone(), process.cache()))
            }
        };
        let clients = Clients::new(trust.clone(), Arc::clone(proxies), process.metrics.clone());
        let native = Native::new(Arc::clone(process), clients, shared, ending.clone());
        worker::work(native, Arc::clone(live), arrivals, ending.clone())
    })
}

/// A model that some route serves, where none is named.
fn some_model(config: &Config) -> String {
    const KNOWN: &str = "gpt-4o";
    let patterns = || config.routes.iter().map(|route| &route.pattern);
    let serves_known = patterns().any(|pattern| pattern.matches(KNOWN));
    let first = patterns().next().filter(|_| !serves_known);
    first.map_or_else(|| KNOWN.to_owned(), |pattern| pattern.as_str().replace('*', ""))
}

/// Says where it listens and how to try it.
fn greet(config: &Config, bound: Bound, is_trial: bool) -> String {
    let address = bound.callers;
    let models = config.aliases.keys().map(String::as_str);
    let exact = config.routes.iter().filter(|r| r.pattern.is_exact()).map(|r| r.pattern.as_str());
    let advertised = config.routes.iter().flat_map(|route| &route.advertise).map(String::as_str);
    let mut names: Vec<&str> = models.chain(exact).chain(advertised).collect();
    names.dedup();
    let model = names.first().map_or_else(|| some_model(config), |name| (*name).to_owned());
    let key = match config.auth {
        Auth::Open { .. } => "",
        Auth::Keys => " -H \"Authorization: Bearer $WEIR_API_KEY\"",
    };
    let host = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    let mut lines: Vec<String> = Vec::new();
    if is_trial {
        lines.push(
            "weir: no --config given, so a simulated provider answers; nothing leaves this machine.".into(),
        );
    }
    if config.upstreams.iter().any(|upstream| upstream.dialect == Dialect::Simulated) {
        lines.push(
            "weir: faults can be tried by name: sim-latency-2s, sim-status-500, sim-cut-5, sim-reset-5 …"
                .into(),
        );
    }
    lines.push(format!("weir: models {}", names.join(", ")));
    lines.push(format!(
        "weir: try\n\n  curl http://{host}/v1/chat/completions{key} -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'\n"
    ));
    if let Some(operators) = bound.operators {
        lines.push(format!("weir: operators at http://{operators}/ready and /metrics"));
    }
    lines.push(format!("listening on http://{address}"));
    lines.join("\n")
}

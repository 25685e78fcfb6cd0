//! `weir serve`: threads, sockets, the banner, the end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use weir::Config;
use weir::config::{Auth, Dialect, StoreKind};

use crate::cli::{Failed, Serve, say};
use crate::client::{self, Clients};
use crate::document::Machine;
use crate::drain::{self, Stop};
use crate::live::Live;
use crate::logs;
use crate::native::{Native, Process};
use crate::store::Shared;
use crate::worker::{self, Ending, Inbox};

/// The pause after a failed accept, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is asked to stop.
pub(crate) fn serve(flags: Serve) -> Result<(), Failed> {
    logs::init(flags.log_format, flags.log_level);
    let runtime = runtime()?;
    let simulated = runtime.block_on(weir_simulated::bind(SocketAddr::from(([127, 0, 0, 1], 0))));
    let simulated = simulated.map_err(|e| Failed::because("no port for the simulated provider", e))?;
    let machine = Machine { simulated: simulated_base(simulated.addr())? };
    let is_trial = flags.config.is_none();
    let live = Arc::new(Live::load(flags.config, machine)?);
    let config = live.config();
    let address = flags.listen.unwrap_or(config.listen);
    config.check_listen(address).map_err(|fault| Failed(fault.to_string()))?;

    let listener = TcpListener::bind(address).map_err(|e| Failed::because(&address.to_string(), e))?;
    let address = listener.local_addr().map_err(|e| Failed::because("no address", e))?;
    let process = Process::new().map_err(|e| Failed::because("no randomness", e))?;
    let process = Arc::new(process);
    process.follow(&config);
    let ending = Ending { stop: CancellationToken::new(), abort: CancellationToken::new() };
    let (inboxes, workers) = start_workers(&config, &process, &live, &ending)?;

    runtime.block_on(async {
        // It costs nothing until a configuration names it.
        let provider = tokio::spawn(simulated.run(ending.abort.clone().cancelled_owned()));
        let follow = Arc::clone(&live).follow(Arc::clone(&process));
        let following = tokio::spawn(async move {
            if let Err(Failed(why)) = follow.await {
                tracing::error!("{why}: the configuration will not be read again");
            }
        });
        let acceptor = tokio::spawn(accept(listener, inboxes, ending.stop.clone()));
        // Signals are heeded before anyone is told where it listens.
        let mut stop = Stop::listen()?;
        tokio::task::yield_now().await;
        greet(&config, address, is_trial);
        stop.asked().await;
        ending.stop.cancel();
        following.abort();
        let grace = live.config().server.grace;
        tracing::info!(grace_s = grace.as_secs(), "stopping: no new connections, open requests are finished");
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has told so on standard error.
                let _ = worker.join();
            }
        });
        let finished = drain::within_grace(grace, &mut stop, async { drop(joined.await) }).await;
        ending.abort.cancel();
        let _ = (acceptor.await, provider.await);
        tracing::info!(finished, "stopped");
        Ok(())
    })
}

fn runtime() -> Result<Runtime, Failed> {
    Builder::new_current_thread().enable_all().build().map_err(|e| Failed::because("no runtime", e))
}

fn simulated_base(address: SocketAddr) -> Result<http::Uri, Failed> {
    format!("http://{address}/v1").parse().map_err(|e| Failed::because("no address", e))
}

type Workers = (Vec<Inbox>, Vec<thread::JoinHandle<()>>);

fn start_workers(
    config: &Config,
    process: &Arc<Process>,
    live: &Arc<Live>,
    ending: &Ending,
) -> Result<Workers, Failed> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let count = if config.server.workers == 0 { cores } else { config.server.workers };
    let tls = client::tls().map_err(|e| Failed::because("no TLS", e))?;
    let (mut inboxes, mut threads) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (inbox, connections) = worker::inbox();
        let shared = match &config.store.kind {
            StoreKind::Embedded => None,
            StoreKind::Redis(place) => {
                Some(Shared::new(place.clone(), Arc::clone(&tls), process.metrics.store.clone()))
            }
        };
        let native = Native::new(Arc::clone(process), Clients::new(Arc::clone(&tls)), shared);
        let runtime = runtime()?;
        let work =
            worker::work(native, Arc::clone(live), connections, Arc::clone(&inbox.load), ending.clone());
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(work))
            .map_err(|e| Failed::because("no thread", e))?;
        inboxes.push(inbox);
        threads.push(thread);
    }
    Ok((inboxes, threads))
}

/// Hands each connection to the worker that has the fewest.
async fn accept(listener: TcpListener, inboxes: Vec<Inbox>, stop: CancellationToken) -> Result<(), Failed> {
    let failed = |e| Failed::because("the listener cannot be used", e);
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let connection = match accepted {
            Ok((connection, _)) => connection.into_std(),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let idlest = inboxes.iter().min_by_key(|inbox| inbox.load.load(Ordering::Relaxed));
        if let (Ok(connection), Some(inbox)) = (connection, idlest) {
            inbox.give(connection);
        }
    }
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
fn greet(config: &Config, address: SocketAddr, is_trial: bool) {
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
    if is_trial {
        say("weir: no --config given, so a simulated provider answers; nothing leaves this machine.");
    }
    if config.upstreams.iter().any(|upstream| upstream.dialect == Dialect::Simulated) {
        say("weir: faults can be tried by name: sim-latency-2s, sim-status-500, sim-cut-5, sim-reset-5 …");
    }
    say(format_args!("weir: models {}", names.join(", ")));
    say(format_args!(
        "weir: try\n\n  curl http://{host}/v1/chat/completions{key} -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'\n"
    ));
    say(format_args!("listening on http://{address}"));
}

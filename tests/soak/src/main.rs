//! Ten tenants within their limits while an eleventh tries what a threat table knows: the ten see no refusal, no
//! answer that is not theirs, no wait that is twice the usual one, and the gateway's memory stays flat.
//!
//! `cargo xtask soak [--minutes 10] [--on native]` runs it on the native server with its own store, on the native server
//! with a Redis of 64 MiB, and on workerd. It is no part of CI: it measures waits, and machines are noisy.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "it is a test for whoever runs it"
)]

mod attacks;
mod resident;
mod tenants;
mod upstream;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rustix::process::setpriority_process;
use tokio::runtime::Runtime as Threads;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_conformance::runtime::{Given, Native, Runtime, Workerd};
use weir_native_tests::hash;
use weir_redis_tests::Server;

use crate::tenants::Seen;

const TENANTS: usize = 10;

/// How much memory may grow from one third of the attack to its end: a sixth, and what an allocator keeps by.
const SLACK: u64 = 24 << 20;

#[derive(Debug, Parser)]
struct Flags {
    /// How long each runtime is attacked.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// `native`, `redis` or `workerd`; all of them without it.
    #[arg(long)]
    on: Option<String>,
}

/// Those who would have machines of their own, each on a thread of its own: what a tenant waits for is the gateway, and
/// not whoever shares its thread.
#[derive(Debug)]
struct Sides {
    provider: Threads,
    /// It takes what time the others leave: making what it sends costs as much as refusing it. So do the provider's
    /// large answers, which are his.
    attacker: Threads,
}

impl Sides {
    fn new() -> Self {
        let one = |name| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).thread_name(name).enable_all();
            builder
        };
        let last = || setpriority_process(None, 19).unwrap();
        Self {
            provider: one("provider").build().unwrap(),
            attacker: one("attacker").on_thread_start(last).build().unwrap(),
        }
    }
}

/// What one runtime did.
#[derive(Debug)]
struct Outcome {
    quiet: Seen,
    attacked: Seen,
    /// Bytes resident before the attack, when a third of it was over, and at its end.
    resident: [u64; 3],
    tried: attacks::Tried,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sides = Sides::new();
    let (mut held, mut broke) = (0, 0);
    for name in ["native", "redis", "workerd"] {
        if flags.on.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let outcome = runtime.block_on(run(name, Duration::from_secs_f64(flags.minutes * 60.0), &sides));
        let faults = outcome.faults();
        println!("\n{name}\n{outcome}");
        for fault in &faults {
            println!("  BROKE: {fault}");
        }
        if faults.is_empty() { held += 1 } else { broke += 1 }
    }
    println!("\nsoak: {held} held, {broke} broke");
    if broke == 0 && held > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(name: &str, span: Duration, sides: &Sides) -> Outcome {
    let upstream = sides.provider.spawn(upstream::start(sides.attacker.handle().clone())).await.unwrap();
    let redis = (name == "redis")
        .then(|| Server::with(&["--maxmemory", "64mb", "--maxmemory-policy", "noeviction", "--save", ""]));
    let store = redis.as_ref().map(|redis| format!("[store]\nkind = \"redis\"\nurl = \"{}\"\n", redis.url()));
    let given =
        Given { config: format!("{}{}", document(upstream), store.unwrap_or_default()), ..Given::default() };
    let runtime: Box<dyn Runtime> =
        if name == "workerd" { Box::<Workerd>::default() } else { Box::new(Native) };
    runtime.prepare().unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let gateway = runtime.start(&given).await.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let address = gateway.address();

    let quiet = phase(address, span.div_f64(5.0).min(Duration::from_mins(1)), None).await;
    let mut resident = [resident::of_listener(address), 0, 0];
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let tried = {
        let _there = sides.attacker.enter();
        attacks::begin(address, &stop, &tasks)
    };
    let first = phase(address, span.div_f64(3.0), Some(&quiet)).await;
    resident[1] = resident::of_listener(address);
    let rest = phase(address, span.mul_f64(2.0 / 3.0), Some(&first)).await;
    resident[2] = resident::of_listener(address);
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(30), tasks.wait()).await;
    Outcome { quiet, attacked: first.and(rest), resident, tried }
}

/// All tenants, for so long. Their calls go on counting where `before` ended.
async fn phase(address: SocketAddr, span: Duration, before: Option<&Seen>) -> Seen {
    let begun = before.map_or(0, |seen| seen.next);
    let end = tokio::time::Instant::now() + span;
    let calling: Vec<_> =
        (0..TENANTS).map(|number| tokio::spawn(tenants::call(address, number, begun, end))).collect();
    let mut all = Seen::default();
    for calling in calling {
        all = all.and(calling.await.unwrap());
    }
    all
}

fn document(upstream: SocketAddr) -> String {
    let tenant = |number: usize| {
        format!(
            "[key.t{number}]\nhash = \"{}\"\nlimits = {{ concurrent = 20 }}\n",
            hash(tenants::key(number))
        )
    };
    let attacker = |attack: usize| {
        let hash = hash(attacks::key(attack));
        format!(
            "[key.mallory-{attack}]\nhash = \"{hash}\"\ntenant = \"mallory\"\nlimits = {{ requests = \"600/min\", concurrent = 4 }}\n"
        )
    };
    let keys: String = (0..TENANTS).map(tenant).chain((0..attacks::KEYS).map(attacker)).collect();
    format!(
        r#"
[upstream.one]
dialect  = "openai"
base_url = "http://{upstream}/v1"
[[route]]
model = "*"
to    = ["one"]
[[route]]
model = "kept"
to    = ["one"]
cache = {{ ttl = "60s" }}
{keys}"#
    )
}

impl Outcome {
    fn faults(&self) -> Vec<String> {
        let mut faults = self.quiet.faults.clone();
        faults.extend(self.attacked.faults.iter().take(10).cloned());
        let (usual, now) = (self.quiet.at(0.99), self.attacked.at(0.99));
        if now > usual * 2 {
            faults.push(format!("p99 {now:?} is more than twice {usual:?}"));
        }
        let [_, third, end] = self.resident;
        if end > third + third / 6 + SLACK {
            faults.push(format!("resident {} -> {} MiB", third >> 20, end >> 20));
        }
        faults
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, seen) in [("quiet", &self.quiet), ("attacked", &self.attacked)] {
            let (p50, p99, worst) = (seen.at(0.5), seen.at(0.99), seen.at(1.0));
            let (calls, faults) = (seen.waits.len(), seen.faults.len());
            writeln!(
                f,
                "  {name:<9} {calls} calls, {faults} faults, p50 {p50:.1?}, p99 {p99:.1?}, worst {worst:.1?}"
            )?;
        }
        let [before, third, end] = self.resident.map(|bytes| bytes >> 20);
        writeln!(f, "  resident  {before} MiB, a third in {third} MiB, at the end {end} MiB")?;
        write!(f, "  tried     {}", self.tried)
    }
}

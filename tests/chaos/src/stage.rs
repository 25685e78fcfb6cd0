//! The set-up of one cell: gateways, their store, a provider, and the links between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use weir_native_tests::{Gateway, Launch, Resolver};
use weir_redis_tests::Server;
use weir_worker_tests::Built;

use crate::cell::{Cell, Fault, Part};
use crate::clock::Clock;
use crate::link::Link;
use crate::load::{Doors, keys};
use crate::objects::Objects;
use crate::provider::{NAME, Provider, Speaks};

const REPLICAS: usize = 3;

/// Dropped, all of it ends.
pub(crate) struct Stage {
    pub(crate) doors: Doors,
    pub(crate) gateways: Gateways,
    pub(crate) redis: Option<Server>,
    pub(crate) provider: Provider,
    /// Link to the provider.
    pub(crate) upstream: Link,
    /// Link to Redis.
    pub(crate) store: Option<Link>,
    pub(crate) resolver: Option<Resolver>,
    /// Clock of the part that fails.
    pub(crate) clock: Option<Clock>,
    document: String,
    cell: Cell,
}

pub(crate) enum Gateways {
    Native(Vec<Gateway>),
    Workerd { gateway: Option<weir_worker_tests::Gateway>, objects: Objects, built: Built },
}

impl Stage {
    pub(crate) async fn set(cell: Cell, built: Option<Built>) -> Self {
        let speaks = if cell.part == Part::Http2 { Speaks::Http2 } else { Speaks::Http1 };
        let has_name = cell.part == Part::Resolver || cell.fault == Fault::NewAddress;
        let provider = Provider::start(speaks, if has_name { NAME } else { "127.0.0.1" }).await;
        let address = if has_name { fresh_address() } else { Ipv4Addr::LOCALHOST };
        let upstream = Link::at((address, 0).into(), provider.address).await;
        let resolver = has_name.then(|| Resolver::start(NAME, address));
        let clock = matches!(cell.fault, Fault::Clock(_)).then(Clock::new);
        let upstream_table = upstream_table(&provider, upstream.address, resolver.is_some(), cell.part);
        let mut document = format!("{upstream_table}{}", keys());
        let doors = Doors::default();
        if cell.part == Part::Object {
            let built = built.unwrap_or_else(|| panic!("the Worker was not built"));
            let objects = Objects::start().await;
            let gateway = workerd(&built, &document, &objects).await;
            doors.set(vec![gateway.address]);
            let gateways = Gateways::Workerd { gateway: Some(gateway), objects, built };
            let (redis, store) = (None, None);
            return Self {
                doors,
                gateways,
                redis,
                provider,
                upstream,
                store,
                resolver,
                clock,
                document,
                cell,
            };
        }
        let environment = clock.as_ref().filter(|_| cell.part == Part::Redis).map(Clock::variables);
        // Redis notices a full disk only where it saves.
        let redis = Server::started(
            &["--save", "3600 1", "--enable-protected-configs", "yes"],
            &environment.unwrap_or_default(),
        );
        let store = Link::start(redis.address).await;
        document = format!("{document}[store]\nkind = \"redis\"\nurl = \"redis://{}\"\n", store.address);
        let stage = Self {
            doors,
            gateways: Gateways::Native(Vec::new()),
            redis: Some(redis),
            provider,
            upstream,
            store: Some(store),
            resolver,
            clock,
            document,
            cell,
        };
        let gateways = join_all((0..REPLICAS).map(|number| stage.replica(number))).await;
        stage.doors.set(gateways.iter().map(|gateway| gateway.address).collect());
        Self { gateways: Gateways::Native(gateways), ..stage }
    }

    /// Starts a replica. Number 0 is the one that fails.
    pub(crate) async fn replica(&self, number: usize) -> Gateway {
        let mut launch = Launch::of(&self.document);
        if let Some(resolver) = &self.resolver {
            launch = launch.resolv_conf(resolver.file.clone());
        }
        if number == 0 && self.cell.part == Part::Replica {
            for (name, value) in self.clock.iter().flat_map(Clock::variables) {
                launch = launch.env(name, &value);
            }
            launch = match self.cell.fault {
                Fault::FullDisk => {
                    launch.stderr(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
                }
                Fault::DeadReader => launch.stderr(unread()),
                _ => launch,
            };
        }
        launch.start().await
    }

    pub(crate) fn natives(&self) -> &[Gateway] {
        match &self.gateways {
            Gateways::Native(gateways) => gateways,
            Gateways::Workerd { .. } => &[],
        }
    }

    /// Starts the Worker again, with the state of its objects.
    pub(crate) async fn restart_worker(&mut self) {
        let Gateways::Workerd { gateway, objects, built } = &mut self.gateways else { return };
        let started = workerd(built, &self.document, objects).await;
        self.doors.set(vec![started.address]);
        *gateway = Some(started);
    }
}

/// An address of loopback that this process has not used before.
pub(crate) fn fresh_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., process] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 54, process, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    // Closed, it would break instead of fill.
    std::mem::forget(reader);
    writer.into()
}

fn upstream_table(provider: &Provider, link: SocketAddr, has_name: bool, part: Part) -> String {
    let scheme = if provider.authority.is_some() { "https" } else { "http" };
    let host = if has_name { NAME.to_owned() } else { link.ip().to_string() };
    let port = link.port();
    let ca = provider.authority.as_ref().map(|path| format!("tls = {{ ca = \"{}\" }}\n", path.display()));
    format!(
        "auth = \"keys\"\n[upstream.one]\ndialect = \"openai\"\nbase_url = \"{scheme}://{host}:{port}/v1\"\n\
         timeout = {{ connect = \"2s\", first_byte = \"3s\" }}\n{}{}\
         [[route]]\nmodel = \"*\"\nto = [\"one\"]\n\
         [[route]]\nmodel = \"kept\"\nto = [\"one\"]\ncache = {{ ttl = \"60s\" }}\n",
        ca.unwrap_or_default(),
        // A short age makes the gateway resolve again and again.
        if part == Part::Resolver { "connection_age = \"1s\"\n" } else { "" },
    )
}

async fn workerd(built: &Built, document: &str, objects: &Objects) -> weir_worker_tests::Gateway {
    let document = format!("public = [\"explain\", \"metrics\", \"ready\"]\n{document}");
    let given = json!({
        "bindings": { "WEIR_CONFIG": document },
        "desks": objects.module(),
        "persist": objects.folder(),
    });
    let built = built.clone();
    tokio::task::spawn_blocking(move || built.start(&given).unwrap()).await.unwrap()
}

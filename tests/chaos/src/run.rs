//! Runs one cell: a steady load, a fault in its middle, and the checks behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weir_worker_tests::Built;

use crate::act::act;
use crate::cell::{Cell, Fault, Part};
use crate::load::{self, CONCURRENT, GREEDY, Http, Load, RATE, TENANTS, tenant};
use crate::provider::HOLD;
use crate::stage::Stage;

/// Time before the fault, in which nothing may fail.
const CALM: Duration = Duration::from_secs(2);

/// Time behind the fault, within which all must be as before.
const BOUND: Duration = Duration::from_secs(30);

/// Slack for checks that take a moment, on busy machines.
const GRACE: Duration = Duration::from_secs(4);

/// Time without a failure that counts as healed.
const STEADY: Duration = Duration::from_secs(3);

/// Share of a limit that a replica admits by itself while the store is lost: the default of `local_share`.
const LOCAL_SHARE: f64 = 0.25;

/// A row of the table.
#[derive(Debug)]
pub struct Outcome {
    pub cell: Cell,
    /// Calls from the fault's beginning until it had healed.
    pub calls: usize,
    pub refused: usize,
    /// Causes of refusals, with their counts.
    pub reasons: BTreeMap<String, usize>,
    /// Time from the fault's end to the last call that failed.
    pub healed: Duration,
    /// Time from the fault's end until every caller had all of its places.
    pub places: Duration,
    /// Time from the fault's end until no breaker was open.
    pub breakers: Duration,
    pub faults: Vec<String>,
}

/// Runs `cell`. `built` is the Worker, for the cells that need it.
pub(crate) async fn run(cell: Cell, built: Option<Built>) -> Outcome {
    let mut stage = Stage::set(cell, built).await;
    let begun = Instant::now();
    let mut load = Load::begin(&stage.doors);
    sleep(CALM).await;
    let fault_began = Instant::now();
    act(cell, &mut stage).await;
    let fault_ended = Instant::now();
    let deadline = fault_ended + BOUND;

    let ((), (breakers, open)) =
        tokio::join!(until_steady(&load, fault_ended, deadline), until_closed(&stage, fault_ended, deadline));
    load.end().await;
    let (places, lacking) = until_all_places(&stage, fault_ended, deadline).await;

    let mut faults = [open, lacking].concat();
    faults.extend(busy(&stage).await);
    let seen = load.seen();
    faults.extend(seen.wrong.iter().take(3).cloned());
    if seen.wrong.len() > 3 {
        faults.push(format!("and {} more answers that are wrong", seen.wrong.len() - 3));
    }
    let early = seen.calls.iter().filter(|call| call.ended < fault_began);
    let early = early.filter_map(|call| call.failure.as_ref()).take(3);
    faults.extend(early.map(|why| format!("before the fault: {why}")));
    let last = seen.calls.iter().filter(|call| call.failure.is_some()).map(|call| call.begun).max();
    let healed = last.map_or(Duration::ZERO, |at| at.saturating_duration_since(fault_ended));
    if healed > BOUND + GRACE {
        faults.push(format!("calls fail {healed:.1?} behind it"));
    }
    let admitted = stage.provider.asked_for(&tenant(GREEDY));
    let most = most_admitted(cell, begun.elapsed());
    if admitted > most {
        faults.push(format!("{admitted} calls were admitted of a tenant who may make {most}"));
    }
    let end = fault_ended + healed;
    let during = || seen.calls.iter().filter(|call| call.ended >= fault_began && call.begun <= end);
    let mut reasons = BTreeMap::new();
    for why in during().filter_map(|call| call.failure.clone()) {
        *reasons.entry(why).or_default() += 1;
    }
    let (calls, refused) = (during().count(), reasons.values().sum());
    Outcome { cell, calls, refused, reasons, healed, places, breakers, faults }
}

/// Waits until no call has failed for a while.
async fn until_steady(load: &Load, fault_ended: Instant, deadline: Instant) {
    loop {
        let last =
            load.seen().calls.iter().filter(|call| call.failure.is_some()).map(|call| call.ended).max();
        let steady = last.map_or(fault_ended, |last| last.max(fault_ended)) + STEADY;
        if Instant::now() >= steady || steady > deadline + GRACE {
            return;
        }
        sleep_until(steady).await;
    }
}

/// Waits until no breaker is open and the store answers; returns how long that took, and what is still wrong.
async fn until_closed(stage: &Stage, since: Instant, deadline: Instant) -> (Duration, Vec<String>) {
    let client = load::client();
    loop {
        let open: Vec<String> =
            join_all(stage.doors.all().into_iter().map(|door| open_breakers(&client, door))).await.concat();
        if open.is_empty() || Instant::now() > deadline + GRACE {
            return (since.elapsed(), open);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn open_breakers(client: &Http, door: SocketAddr) -> Vec<String> {
    let Some(ready) = get(client, door, "/ready").await else { return vec![format!("{door} says nothing")] };
    let ready: Value = serde_json::from_str(&ready).unwrap_or_default();
    let one = &ready["upstreams"]["one"];
    let models = one["models"].as_object().into_iter().flatten().map(|(_, state)| state.clone());
    let states = std::iter::once(one["breaker"].clone()).chain(models);
    let mut open: Vec<String> = states
        .filter(|state| state != "closed")
        .map(|state| format!("a breaker is {state} at {door}"))
        .collect();
    if ready["store"] != "ok" {
        open.push(format!("the store is {} at {door}", ready["store"]));
    }
    open
}

async fn get(client: &Http, door: SocketAddr, path: &str) -> Option<String> {
    let request = Request::get(format!("http://{door}{path}")).body(Full::default()).unwrap();
    let answer = timeout(Duration::from_secs(5), client.request(request)).await.ok()?.ok()?;
    let body = timeout(Duration::from_secs(5), answer.into_body().collect()).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// Waits until every tenant has all of its places and no more; returns how long that took, and what is still wrong.
async fn until_all_places(stage: &Stage, since: Instant, deadline: Instant) -> (Duration, Vec<String>) {
    let client = load::client();
    loop {
        let tenants = (0..TENANTS).filter(|number| *number != GREEDY);
        let lacking: Vec<String> = join_all(tenants.map(|number| places(stage, &client, number)))
            .await
            .into_iter()
            .flatten()
            .collect();
        if lacking.is_empty() || Instant::now() > deadline + GRACE {
            return (since.elapsed(), lacking);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Takes all places of a tenant, and one too many; returns what is wrong.
async fn places(stage: &Stage, client: &Http, number: usize) -> Option<String> {
    let doors = stage.doors.all();
    let mut streams = Vec::new();
    let name = tenant(number);
    for place in 0..CONCURRENT {
        match hold(client, doors[place % doors.len()], number, place).await {
            Ok(stream) => streams.push(stream),
            Err(why) => return Some(format!("{name} has {} of {CONCURRENT} places: {why}", streams.len())),
        }
    }
    let more = hold(client, doors[0], number, CONCURRENT).await;
    drop(streams);
    match more {
        Err(why) if why == "429" => None,
        Err(why) => Some(format!("{name} holds all places, and one more is {why}")),
        Ok(_) => Some(format!("{name} has more than {CONCURRENT} places")),
    }
}

/// A stream that does not end until it is dropped.
async fn hold(client: &Http, door: SocketAddr, number: usize, place: usize) -> Result<Incoming, String> {
    let prompt = format!("{HOLD} {} in place {place}", tenant(number));
    let request = load::request(door, number).body(load::body(&prompt, false, true)).unwrap();
    let answer = timeout(Duration::from_secs(10), client.request(request)).await;
    let answer = answer.map_err(|_| "no answer in time")?.map_err(|e| e.to_string())?;
    if answer.status() != 200 {
        return Err(answer.status().as_u16().to_string());
    }
    let mut body = answer.into_body();
    match timeout(Duration::from_secs(10), body.frame()).await {
        Ok(Some(Ok(_))) => Ok(body),
        _ => Err("no word in time".into()),
    }
}

/// Calls and attempts that are still counted as in flight.
async fn busy(stage: &Stage) -> Option<String> {
    let deadline = Instant::now() + GRACE;
    let client = load::client();
    loop {
        let mut busy = Vec::new();
        for gateway in stage.natives() {
            let metrics = get(&client, gateway.address, "/metrics").await.unwrap_or_default();
            let count = |name: &str| -> f64 {
                let lines = metrics.lines().filter(|line| line.starts_with(name));
                lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
            };
            let (calls, attempts) = (count("weir_in_flight"), count("weir_upstream_in_flight"));
            if metrics.is_empty() || calls != 0.0 || attempts != 0.0 {
                busy.push(format!(
                    "{calls} calls and {attempts} attempts are under way at {}",
                    gateway.address
                ));
            }
        }
        if busy.is_empty() {
            return None;
        }
        if Instant::now() > deadline {
            return Some(busy.join(", "));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Bound on the admitted calls of the greedy tenant: a minute's calls at once, the rate for the time that has passed, the
/// share of each replica while the store is lost, and one more minute where Redis forgets or its clock jumps ahead.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bound"
)]
fn most_admitted(cell: Cell, elapsed: Duration) -> u64 {
    let rate = RATE as f64;
    let own = rate + rate * elapsed.as_secs_f64() / 60.0;
    let replicas = if cell.part == Part::Object { 1.0 } else { 3.0 };
    let is_store = matches!(cell.part, Part::Redis | Part::Object);
    let local = if is_store || cell.part == Part::Replica { own * replicas * LOCAL_SHARE } else { 0.0 };
    let forgets = matches!(cell.fault, Fault::Kill | Fault::Clock(1..)) && cell.part == Part::Redis;
    let again = if forgets { rate } else { 0.0 };
    // A call that breaks is retried.
    (own + local + again).ceil() as u64 + 2
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell: Cell { part, fault }, calls, refused, reasons, healed, places, breakers, faults } =
            self;
        let reasons: Vec<String> = reasons.iter().map(|(why, count)| format!("{count} × {why}")).collect();
        let held = if faults.is_empty() { "yes" } else { "NO" };
        let [healed, places, breakers] = [healed, places, breakers].map(|span: &Duration| span.as_secs_f64());
        write!(
            f,
            "| {part} | {fault} | {refused} of {calls} | {} | {healed:.1} s | {breakers:.1} s | {places:.1} s | {held} |",
            reasons.join(", ")
        )?;
        faults.iter().try_for_each(|fault| write!(f, "\n  BROKE: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_on_what_is_admitted_depends_on_what_is_lost() {
        let most = |part, fault| most_admitted(Cell { part, fault }, Duration::from_mins(1));
        let own = 2 * RATE + 2;
        assert_eq!(most(Part::Http1, Fault::Cut), own, "no counter is lost");
        assert_eq!(most(Part::Redis, Fault::Cut), own + 45, "three replicas may admit a quarter each");
        assert_eq!(most(Part::Redis, Fault::Kill), own + 45 + RATE, "and Redis has forgotten a minute");
        assert_eq!(most(Part::Object, Fault::BlackHole), own + 15, "the Worker is one");
    }
}
